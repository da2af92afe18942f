package redis

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"sync"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// leases keeps what this node holds in memory, and the same in Redis, in 256 buckets of users:
//
//	lease:{7f}              hash of node to version
//	lease:{7f}:<node>       set of the 16-byte ids of the bucket's users that the node holds
//
// So a beat is at most 256 steps, however many users there are, and each checks that Redis has the version
// that was written last. Where it has not (it was emptied, it restarted with old data, a replica that
// lacked the last writes took over, a write's outcome is unknown), the bucket is written anew. Both keys of
// a dead node expire; the step that renews takes its field out of the hash of those that live.
//
// One goroutine writes: it takes what waits, writes it in one go, and then lets go all that waited for it.
type leases struct {
	c     *client
	node  string
	first int64 // below every version of this process

	start sync.Once
	wake  chan struct{}
	stop  chan struct{}
	done  chan struct{}

	mu struct {
		sync.Mutex
		buckets [leaseBuckets]bucket
		next    *round // what the next write is waited for by
		round   uint64
		held    int
		closed  bool
	}
}

const (
	leaseBuckets = 256
	// leaseStep is how many users one step names.
	leaseStep = 200
)

// bucket is a 256th of the users. Its changed users are written by the next round.
type bucket struct {
	users   map[id.User]struct{}
	changed map[id.User]struct{}
	version int64  // the newest that was sent
	synced  bool   // Redis has that version
	empty   bool   // of a synced one: Redis has nothing of this node
	done    uint64 // the last round that has done with it
	passes  int    // of this round, in which Redis had another version
}

// round is one write. err is set before done is closed.
type round struct {
	done chan struct{}
	err  error
}

func newRound() *round { return &round{done: make(chan struct{})} }

func newLeases(c *client, node store.Node) *leases {
	v := &leases{
		c: c, node: hex.EncodeToString(node.ID[:]),
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	v.mu.next = newRound()
	// A process that takes a dead one's place under the same name begins above its versions; if the clock
	// was set back, the first refusal says where to go on.
	v.first = c.cfg.Now().UnixMicro()
	for i := range v.mu.buckets {
		v.mu.buckets[i] = bucket{users: map[id.User]struct{}{}, changed: map[id.User]struct{}{}, version: v.first}
	}
	return v
}

// bucketOf spreads any ids, not only random ones.
func bucketOf(u id.User) int {
	h := fnv.New32a()
	_, _ = h.Write(u.ID[:]) // never fails
	n := h.Sum32()
	return int((n ^ n>>8 ^ n>>16 ^ n>>24) % leaseBuckets)
}

func (v *leases) index(bucket int) string {
	return fmt.Sprintf("%s%s{%02x}", v.c.cfg.Prefix, leaseKeys, bucket)
}

// Hold notes that users are connected here.
func (v *leases) Hold(ctx context.Context, users ...id.User) error { return v.change(ctx, users, true) }

// Release notes that they are not.
func (v *leases) Release(ctx context.Context, users ...id.User) error {
	return v.change(ctx, users, false)
}

func (v *leases) change(ctx context.Context, users []id.User, hold bool) error {
	v.start.Do(func() { go v.run() })
	v.mu.Lock()
	if v.mu.closed {
		v.mu.Unlock()
		return store.ErrClosed
	}
	wait := false
	for _, u := range users {
		b := &v.mu.buckets[bucketOf(u)]
		_, held := b.users[u]
		switch {
		case hold && !held:
			b.users[u] = struct{}{}
			b.changed[u] = struct{}{}
			v.mu.held++
		case !hold && held:
			delete(b.users, u)
			b.changed[u] = struct{}{}
			v.mu.held--
		}
		wait = wait || !b.synced || len(b.changed) > 0
	}
	v.c.metrics.held.Set(float64(v.mu.held))
	r := v.mu.next
	v.mu.Unlock()
	if !wait {
		return nil
	}
	select {
	case v.wake <- struct{}{}:
	default:
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return v.c.fail(ctx, leaseWrite, ctx.Err())
	}
}

// ofScript asks each node's set at once. The sets begin with the key that it is given.
//
//nolint:gochecknoglobals // never changes
var ofScript = newScript(`
local out = {}
for _, node in ipairs(redis.call('HKEYS', KEYS[1])) do
  local is = redis.call('SMISMEMBER', KEYS[1] .. ':' .. node, unpack(ARGV))
  out[#out + 1] = node
  out[#out + 1] = table.concat(is)
end
return out`)

// Of asks Redis for the nodes of users.
func (v *leases) Of(ctx context.Context, users []id.User) ([][]store.Node, error) {
	var at [leaseBuckets][]int // places in users
	for i, u := range users {
		b := bucketOf(u)
		at[b] = append(at[b], i)
	}
	var runs []run
	var asked [][]int
	for b, places := range at {
		for part := range slices.Chunk(places, leaseStep) {
			args := make([]string, len(part))
			for i, p := range part {
				args[i] = string(users[p].ID[:])
			}
			runs, asked = append(runs, run{ofScript, []string{v.index(b)}, args}), append(asked, part)
		}
	}
	if len(runs) == 0 {
		return make([][]store.Node, len(users)), nil
	}
	answers, err := v.c.evalAll(ctx, leaseOf, runs)
	if err != nil {
		return nil, err
	}
	list := make([][]store.Node, len(users))
	for i, a := range answers {
		words, err := a.message.AsStrSlice()
		if err != nil || !gather(list, asked[i], words) {
			return nil, v.c.fail(ctx, leaseOf, errAnswer)
		}
	}
	for _, nodes := range list {
		slices.SortFunc(nodes, func(a, b store.Node) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	}
	return list, nil
}

// gather reads pairs of a node and a digit for each of the users at places.
func gather(list [][]store.Node, places []int, words []string) bool {
	for ; len(words) >= 2; words = words[2:] {
		var n store.Node
		if len(words[0]) != 32 || len(words[1]) != len(places) {
			return false
		}
		if _, err := hex.Decode(n.ID[:], []byte(words[0])); err != nil {
			return false
		}
		for i, p := range places {
			if words[1][i] == '1' {
				list[p] = append(list[p], n)
			}
		}
	}
	return len(words) == 0
}

// changeScript writes what changed since the version that Redis must have, and answers 0, or -1 when Redis
// has another.
//
//nolint:gochecknoglobals // never changes
var changeScript = newScript(`
local index, set, node = KEYS[1], KEYS[2], ARGV[1]
if redis.call('HGET', index, node) ~= ARGV[3] then return -1 end
local adds = tonumber(ARGV[5])
if adds > 0 then redis.call('SADD', set, unpack(ARGV, 6, 5 + adds)) end
if #ARGV > 5 + adds then redis.call('SREM', set, unpack(ARGV, 6 + adds)) end
redis.call('HSET', index, node, ARGV[4])
redis.call('PEXPIRE', index, ARGV[2])
redis.call('PEXPIRE', set, ARGV[2])
return 0`)

// replaceScript writes a bucket anew, in steps into a set of its own; the last, which alone is told how many
// users there are in all, puts it in place. It answers 0, or the version that Redis has when that is not
// older, or -1 when a step is missing.
//
//nolint:gochecknoglobals // never changes
var replaceScript = newScript(`
local index, set, fresh, node = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local have = tonumber(redis.call('HGET', index, node) or '0')
if have >= tonumber(ARGV[3]) then return have end
if #ARGV > 4 then
  redis.call('SADD', fresh, unpack(ARGV, 5))
  redis.call('PEXPIRE', fresh, ARGV[2])
end
if ARGV[4] == '' then return 0 end
if redis.call('SCARD', fresh) ~= tonumber(ARGV[4]) then return -1 end
if ARGV[4] == '0' then
  redis.call('DEL', set)
  redis.call('HDEL', index, node)
  return 0
end
redis.call('RENAME', fresh, set)
redis.call('PEXPIRE', set, ARGV[2])
redis.call('HSET', index, node, ARGV[3])
redis.call('PEXPIRE', index, ARGV[2])
return 0`)

// renewScript lengthens the life of a bucket, if Redis has its version, and takes out who is dead.
//
//nolint:gochecknoglobals // never changes
var renewScript = newScript(`
local index, set, node = KEYS[1], KEYS[2], ARGV[1]
if redis.call('HGET', index, node) ~= ARGV[3] then return -1 end
if redis.call('PEXPIRE', set, ARGV[2]) == 0 then return -1 end
redis.call('PEXPIRE', index, ARGV[2])
for _, other in ipairs(redis.call('HKEYS', index)) do
  if redis.call('EXISTS', index .. ':' .. other) == 0 then redis.call('HDEL', index, other) end
end
return 0`)

func (v *leases) changeRun(i int, from, to int64, adds, removes []string) run {
	args := make([]string, 0, 5+len(adds)+len(removes))
	args = append(args, v.node, millis(v.c.cfg.LeaseLife), strconv.FormatInt(from, 10), strconv.FormatInt(to, 10), strconv.Itoa(len(adds)))
	index := v.index(i)
	return run{changeScript, []string{index, index + ":" + v.node}, append(append(args, adds...), removes...)}
}

func (v *leases) replaceRun(i int, version int64, total string, users []string) run {
	args := make([]string, 0, 4+len(users))
	args = append(args, v.node, millis(v.c.cfg.LeaseLife), strconv.FormatInt(version, 10), total)
	index := v.index(i)
	set := index + ":" + v.node
	return run{replaceScript, []string{index, set, fmt.Sprintf("%s:%d", set, version)}, append(args, users...)}
}

func (v *leases) renewRun(i int, version int64) run {
	index := v.index(i)
	return run{renewScript, []string{index, index + ":" + v.node}, []string{
		v.node, millis(v.c.cfg.LeaseLife), strconv.FormatInt(version, 10),
	}}
}
