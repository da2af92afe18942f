package redis

import (
	"context"
	"strconv"
	"sync"

	"github.com/redis/rueidis"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// recency keeps a sorted set a user: threads by the time of their newest message, and one member of 17 bytes
// below all of them that says what the set is: h (held: these are all of the user's threads) or p (pending:
// a Fill is awaited, and these are the Touches that came meanwhile), and then the reign under which that was
// written.
//
// A reign is what Redis calls master_replid: it changes when a server starts and when a replica becomes the
// primary. Both may have lost the last writes, of which one may be the Touch of a list that is still there;
// such a list would be in the wrong order, or lack a thread, for hours. So a list of another reign is none.
type recency struct {
	c *client

	mu   sync.Mutex
	owed map[id.User]uint64 // lists that a failed Touch may have missed, to be forgotten; by the failure's number
	last uint64
}

const (
	reignScript = `local reign = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
local held, pending = 'h' .. string.sub(reign, 1, 16), 'p' .. string.sub(reign, 1, 16)`

	// fillAtOnce is how many threads one step of a Fill writes: Redis does nothing else meanwhile.
	fillAtOnce = 1000
	// maxOwed bounds the users whose lists are to be forgotten once Redis can be reached.
	maxOwed = 64 << 10
	// payAtOnce is how many are forgotten in one call.
	payAtOnce = 256
)

// The order of equal scores is that of the members' bytes; Lua's own comparison asks the locale.
//
//nolint:gochecknoglobals // they never change
var (
	newestScript = newScript(reignScript, `
local k, at, thread, limit = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
if not redis.call('ZSCORE', k, held) then
  if not redis.call('ZSCORE', k, pending) then
    redis.call('DEL', k)
    redis.call('ZADD', k, '-inf', pending)
  end
  redis.call('PEXPIRE', k, ARGV[4])
  return false
end
if limit < 1 then return {} end
local function before(a, b)
  for i = 1, 16 do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return false
end
local from = 0
if thread ~= '' then
  from = redis.call('ZCOUNT', k, '(' .. at, '+inf')
  local till = from + redis.call('ZCOUNT', k, at, at)
  while from < till do
    local mid = math.floor((from + till) / 2)
    if before(redis.call('ZRANGE', k, mid, mid, 'REV')[1], thread) then till = mid else from = mid + 1 end
  end
end
local list = redis.call('ZRANGE', k, from, from + limit - 1, 'REV', 'WITHSCORES')
if #list > 0 and #list[#list - 1] ~= 16 then
  list[#list] = nil
  list[#list] = nil
end
return list`)

	touchScript = newScript(`if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end`, reignScript, `
if not redis.call('ZSCORE', KEYS[1], held) and not redis.call('ZSCORE', KEYS[1], pending) then
  redis.call('DEL', KEYS[1])
  return 0
end
redis.call('ZADD', KEYS[1], 'GT', ARGV[1], ARGV[2])
return 1`)

	fillScript = newScript(reignScript, `
local isHeld = redis.call('ZSCORE', KEYS[1], held)
if not isHeld and not redis.call('ZSCORE', KEYS[1], pending) then return 0 end
if #ARGV > 3 then redis.call('ZADD', KEYS[1], 'GT', unpack(ARGV, 4)) end
if isHeld then return 1 end
if ARGV[1] == '1' then
  redis.call('ZREM', KEYS[1], pending)
  redis.call('ZADD', KEYS[1], '-inf', held)
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1`)
)

func newRecency(c *client) *recency { return &recency{c: c, owed: map[id.User]uint64{}} }

func (v *recency) key(u id.User) string { return v.c.cfg.Prefix + recencyKeys + u.String() }

// Touch moves a thread forward where it is held or awaited.
func (v *recency) Touch(ctx context.Context, t id.Thread, at int64, users []id.User) error {
	args := []string{strconv.FormatInt(at, 10), string(t.ID[:])}
	runs := make([]run, len(users))
	for i, u := range users {
		runs[i] = run{touchScript, []string{v.key(u)}, args}
	}
	list, err := v.c.evalAll(ctx, recencyTouch, runs)
	if err == nil {
		return nil
	}
	for i, a := range list {
		if a.err != nil {
			v.owe(users[i])
		}
	}
	return err
}

// Newest gives a part of the list.
func (v *recency) Newest(ctx context.Context, u id.User, after store.Place, limit int) ([]store.Place, bool, error) {
	if v.owes(u) {
		if err := v.forget(ctx, []id.User{u}); err != nil {
			return nil, false, err
		}
	}
	thread := ""
	if after != (store.Place{}) {
		thread = string(after.Thread.ID[:])
	}
	m, err := v.c.eval(ctx, recencyNewest, run{newestScript, []string{v.key(u)}, []string{
		strconv.FormatInt(after.At, 10), thread, strconv.Itoa(limit), millis(v.c.cfg.FillLife),
	}})
	if err != nil || m.IsNil() {
		return nil, false, err
	}
	list, err := m.AsStrSlice()
	if err != nil || len(list)%2 != 0 {
		return nil, false, v.c.fail(ctx, recencyNewest, errAnswer)
	}
	places := make([]store.Place, 0, len(list)/2)
	for ; len(list) > 0; list = list[2:] {
		at, err := strconv.ParseFloat(list[1], 64)
		if err != nil || len(list[0]) != 16 {
			return nil, false, v.c.fail(ctx, recencyNewest, errAnswer)
		}
		p := store.Place{At: int64(at)}
		copy(p.Thread.ID[:], list[0])
		places = append(places, p)
	}
	return places, true, nil
}

// Fill writes a list in steps, and makes it held with the last.
func (v *recency) Fill(ctx context.Context, u id.User, all []store.Place) error {
	key := v.key(u)
	for {
		step := all[:min(len(all), fillAtOnce)]
		all = all[len(step):]
		args := make([]string, 3, 3+2*len(step))
		args[0], args[1], args[2] = "0", millis(v.c.cfg.RecencyLife), millis(v.c.cfg.FillLife)
		if len(all) == 0 {
			args[0] = "1"
		}
		for _, p := range step {
			args = append(args, strconv.FormatInt(p.At, 10), string(p.Thread.ID[:]))
		}
		m, err := v.c.eval(ctx, recencyFill, run{fillScript, []string{key}, args})
		if err != nil {
			return err
		}
		if known, err := m.AsInt64(); err != nil {
			return v.c.fail(ctx, recencyFill, errAnswer)
		} else if known == 0 || len(all) == 0 {
			return nil
		}
	}
}

func (v *recency) owe(u id.User) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.owed[u]; !ok && len(v.owed) >= maxOwed {
		v.c.metrics.unpaid.Inc()
		return
	}
	v.last++
	v.owed[u] = v.last
}

func (v *recency) owes(u id.User) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, ok := v.owed[u]
	return ok
}

// pay forgets what is owed, as long as that succeeds.
func (v *recency) pay(ctx context.Context) error {
	for {
		v.mu.Lock()
		users := make([]id.User, 0, min(payAtOnce, len(v.owed)))
		for u := range v.owed {
			if len(users) == payAtOnce {
				break
			}
			users = append(users, u)
		}
		v.mu.Unlock()
		if len(users) == 0 {
			return nil
		}
		if err := v.forget(ctx, users); err != nil {
			return err
		}
	}
}

// forget deletes lists that are owed. One that a Touch failed to reach meanwhile stays owed.
func (v *recency) forget(ctx context.Context, users []id.User) error {
	cmds, numbers := make([]rueidis.Completed, len(users)), make([]uint64, len(users))
	v.mu.Lock()
	for i, u := range users {
		numbers[i] = v.owed[u]
		cmds[i] = v.c.build().Unlink().Key(v.key(u)).Build()
	}
	v.mu.Unlock()
	list, err := v.c.all(ctx, recencyForget, cmds)
	v.mu.Lock()
	defer v.mu.Unlock()
	for i, a := range list {
		if a.err == nil && v.owed[users[i]] == numbers[i] {
			delete(v.owed, users[i])
		}
	}
	return err
}
