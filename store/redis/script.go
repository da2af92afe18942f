package redis

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis names scripts so
	"encoding/hex"
	"errors"
	"strings"

	"github.com/redis/rueidis"
)

// script is a step that Redis does as one. Each reads and writes the keys that it is given, and those that
// begin with one of them, which have the same hash tag.
type script struct{ text, sha string }

func newScript(parts ...string) script {
	text := strings.Join(parts, "\n")
	sum := sha1.Sum([]byte(text)) //nolint:gosec // Redis names scripts so
	return script{text, hex.EncodeToString(sum[:])}
}

// run is one run of a script.
type run struct {
	script script
	keys   []string
	args   []string
}

func (c *client) sha(r run) rueidis.Completed {
	return c.build().Evalsha().Sha1(r.script.sha).Numkeys(int64(len(r.keys))).Key(r.keys...).Arg(r.args...).Build()
}

func (c *client) text(r run) rueidis.Completed {
	return c.build().Eval().Script(r.script.text).Numkeys(int64(len(r.keys))).Key(r.keys...).Arg(r.args...).Build()
}

// eval runs a script by its name, and by its text on a server that does not know it yet.
func (c *client) eval(ctx context.Context, k command, r run) (rueidis.RedisMessage, error) {
	m, err := c.do(ctx, k, c.sha(r))
	if isUnknown(err) {
		return c.do(ctx, k, c.text(r))
	}
	return m, err
}

// evalAll runs several at once, in order where they have the same hash tag.
func (c *client) evalAll(ctx context.Context, k command, runs []run) ([]answer, error) {
	cmds := make([]rueidis.Completed, len(runs))
	for i, r := range runs {
		cmds[i] = c.sha(r)
	}
	list, first := c.all(ctx, k, cmds)
	if first == nil {
		return list, nil
	}
	var again []rueidis.Completed
	var at []int
	for i, a := range list {
		if isUnknown(a.err) {
			again, at = append(again, c.text(runs[i])), append(at, i)
		}
	}
	if len(again) > 0 {
		more, _ := c.all(ctx, k, again)
		for i, a := range more {
			list[at[i]] = a
		}
	}
	for _, a := range list {
		if a.err != nil {
			return list, a.err
		}
	}
	return list, nil
}

// errUnknown says that a server does not know a script by its name. It does not leave this file's functions.
var errUnknown = errors.New("no such script")

func isUnknown(err error) bool { return errors.Is(err, errUnknown) }
