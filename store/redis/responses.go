package redis

import (
	"context"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/tolkflip/tolkflip/store"
)

// responses keeps under a key either a value, after a byte 1, or the ticket of the newest Drop, after a
// byte 0. Who read the main store before that Drop has another ticket, and is not let in.
type responses struct{ c *client }

const (
	isDropped = 0
	isValue   = 1
)

//nolint:gochecknoglobals // never changes
var putScript = newScript(`
local have = redis.call('GET', KEYS[1])
if have then
  if string.byte(have, 1) ~= 0 or string.sub(have, 2) ~= ARGV[1] then return 0 end
elseif ARGV[1] ~= '0' then
  return 0
end
redis.call('SET', KEYS[1], '\001' .. ARGV[2], 'PX', ARGV[3])
return 1`)

func (v responses) key(key string) string {
	if len(key) > 256 {
		return v.c.sealedKey(responseKeys, key)
	}
	return v.c.cfg.Prefix + responseKeys + key
}

// Get gives the value, or a ticket.
func (v responses) Get(ctx context.Context, key string) (store.Response, error) {
	m, err := v.c.do(ctx, responseGet, v.c.build().Get().Key(v.key(key)).Build())
	if err != nil || m.IsNil() {
		return store.Response{}, err
	}
	b, err := m.AsBytes()
	if err != nil || len(b) == 0 {
		return store.Response{}, v.c.fail(ctx, responseGet, errAnswer)
	}
	if b[0] == isValue {
		return store.Response{Value: b[1:], Found: true}, nil
	}
	ticket, err := strconv.ParseUint(string(b[1:]), 10, 64)
	if err != nil {
		return store.Response{}, v.c.fail(ctx, responseGet, errAnswer)
	}
	return store.Response{Ticket: ticket}, nil
}

// Put stores a value, unless its ticket is old.
func (v responses) Put(ctx context.Context, key string, ticket uint64, value []byte, ttl time.Duration) error {
	if len(value) > store.MaxResponse {
		v.c.metrics.large.Inc()
		return nil
	}
	_, err := v.c.eval(ctx, responsePut, run{
		putScript,
		[]string{v.key(key)},
		[]string{strconv.FormatUint(ticket, 10), rueidis.BinaryString(value), millis(ttl)},
	})
	return err
}

// Drop leaves a ticket in place of each value.
func (v responses) Drop(ctx context.Context, keys ...string) error {
	cmds := make([]rueidis.Completed, len(keys))
	for i, k := range keys {
		ticket := strconv.AppendUint([]byte{isDropped}, rand.Uint64()|1, 10) // never that of a key that is absent
		cmds[i] = v.c.build().Set().Key(v.key(k)).Value(string(ticket)).PxMilliseconds(v.c.cfg.Dropped.Milliseconds()).Build()
	}
	_, err := v.c.all(ctx, responseDrop, cmds)
	return err
}
