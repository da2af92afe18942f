package redis

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/tolkflip/tolkflip/store"
)

// codes keeps under a hash of the phone the hash of the code (32 bytes) and the tries that are left.
type codes struct{ c *client }

const (
	tryExpired = -1
	tryTooMany = -2
	tryRight   = -3
)

// tryScript compares and counts in one step: guesses at once are taken one after the other. The comparison
// looks at every byte, and what it compares is a keyed hash, so the time it takes says nothing of a code.
//
//nolint:gochecknoglobals // never changes
var tryScript = newScript(`
local have = redis.call('GET', KEYS[1])
if not have then return -1 end
local left = tonumber(string.sub(have, 33))
if left <= 0 then
  redis.call('DEL', KEYS[1])
  return -2
end
local diff = 0
for i = 1, 32 do
  diff = bit.bor(diff, bit.bxor(string.byte(have, i), string.byte(ARGV[1], i)))
end
if diff == 0 then
  redis.call('DEL', KEYS[1])
  return -3
end
redis.call('SET', KEYS[1], string.sub(have, 1, 32) .. (left - 1), 'KEEPTTL')
return left - 1`)

func (v codes) code(phone, code string) string {
	return string(v.c.sealed("code", phone, code))
}

// Put stores a code in place of any other.
func (v codes) Put(ctx context.Context, phone, code string, ttl time.Duration, tries int) error {
	value := v.code(phone, code) + strconv.Itoa(tries)
	_, err := v.c.do(ctx, codePut, v.c.build().Set().Key(v.c.sealedKey(codeKeys, phone)).Value(value).
		PxMilliseconds(max(1, ttl.Milliseconds())).Build())
	return err
}

// Try compares and counts.
func (v codes) Try(ctx context.Context, phone, code string) (store.Verdict, error) {
	m, err := v.c.eval(ctx, codeTry, run{tryScript, []string{v.c.sealedKey(codeKeys, phone)}, []string{v.code(phone, code)}})
	if err != nil {
		return store.Verdict{}, err
	}
	n, err := m.AsInt64()
	switch {
	case err != nil || n < tryRight:
		return store.Verdict{}, v.c.fail(ctx, codeTry, errAnswer)
	case n == tryExpired:
		return store.Verdict{Expired: true}, nil
	case n == tryTooMany:
		return store.Verdict{TooMany: true}, nil
	case n == tryRight:
		return store.Verdict{OK: true}, nil
	}
	return store.Verdict{Left: int(n)}, nil
}

// Grant notes that a phone was verified from an address.
func (v codes) Grant(ctx context.Context, phone, address string, ttl time.Duration) error {
	_, err := v.c.do(ctx, grantPut, v.c.build().Set().Key(v.c.sealedKey(grantKeys, phone, address)).Value("1").
		PxMilliseconds(max(1, ttl.Milliseconds())).Build())
	return err
}

// Granted reports whether a grant stands.
func (v codes) Granted(ctx context.Context, phone, address string, take bool) (bool, error) {
	key := v.c.sealedKey(grantKeys, phone, address)
	cmd := v.c.build().Get().Key(key).Build()
	if take {
		cmd = v.c.build().Getdel().Key(key).Build()
	}
	m, err := v.c.do(ctx, grantGet, cmd)
	if err != nil {
		return false, err
	}
	return !m.IsNil(), nil
}

// limits counts in Redis, and while that cannot be asked, in this process: a server that nobody can log in
// to, because the cache is away, is worse than a limit that is as many times as high as there are nodes.
type limits struct{ c *client }

//nolint:gochecknoglobals // never changes
var takeScript = newScript(`
local limit = tonumber(ARGV[1])
local n = tonumber(redis.call('GET', KEYS[1]) or '0')
if n >= limit then return {0, 0, redis.call('PTTL', KEYS[1])} end
n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return {1, limit - n, redis.call('PTTL', KEYS[1])}`)

// Take counts one event of key.
func (v limits) Take(ctx context.Context, key string, limit int, window time.Duration) (store.Taken, error) {
	m, err := v.c.eval(ctx, limitTake, run{
		takeScript,
		[]string{v.c.sealedKey(limitKeys, key)},
		[]string{strconv.Itoa(limit), millis(window)},
	})
	if err != nil {
		if v.c.cfg.Fallback == nil || v.c.closed.Load() {
			return store.Taken{}, err
		}
		v.c.metrics.fallback.Inc()
		t, err := v.c.cfg.Fallback.Take(ctx, key, limit, window)
		if err != nil {
			return t, fmt.Errorf("count in this process: %w", err)
		}
		return t, nil
	}
	list, err := m.AsIntSlice()
	if err != nil || len(list) != 3 {
		return store.Taken{}, v.c.fail(ctx, limitTake, errAnswer)
	}
	t := store.Taken{OK: list[0] == 1, Remaining: int(list[1]), Reset: time.Duration(list[2]) * time.Millisecond}
	if list[2] < 0 { // a limit of none: there is no window
		t.Reset = window
	}
	return t, nil
}
