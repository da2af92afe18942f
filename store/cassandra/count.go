package cassandra

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"

	"github.com/gocql/gocql"
)

// How a table is walked through: in parts of the ring, some at once, a page at a time.
const (
	countParts = 64
	countCalls = 8
	countPage  = 2000
)

// Count reads the whole keyspace and gives how many there are of each kind: users, phones, sessions,
// revocations, devices, groups, members, "thread settings", media, threads (that have messages), messages,
// "message ids" and cursors. Sessions and revocations are those that end after a time (Unix milliseconds).
// It is meant for a keyspace that nobody writes. It needs constant memory and, on one small machine, some ten
// seconds a million rows.
func Count(ctx context.Context, cfg Config, after int64, log *slog.Logger) (map[string]int64, error) {
	a, err := openAdmin(ctx, &cfg, log)
	if err != nil {
		return nil, err
	}
	cfg.DC = a.dc
	a.close()
	s := &Store{cfg: cfg, log: log, metrics: newMetrics(), again: again{times: 5}}
	s.health = newHealth(s)
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	defer s.session.Close()
	all := map[string]int64{}
	for _, w := range walks(after) {
		found, err := w.through(ctx, s)
		if err != nil {
			return nil, mapped(ctx, "count what is in "+w.table, err)
		}
		for kind, n := range found {
			all[kind] += n
		}
	}
	return all, nil
}

// walk is one way through a table.
type walk struct {
	table, key, columns string
	rows                func(it *gocql.Iter, add func(kind string)) // of one part of the ring
}

// walks are all of Count's. A partition that has static columns alone is read as a row without the others.
func walks(after int64) []walk {
	ids := func(kind string) func(*gocql.Iter, func(string)) {
		return func(it *gocql.Iter, add func(string)) {
			for a, b := (gocql.UUID{}), ""; it.Scan(&a, &b); {
				add(kind)
			}
		}
	}
	pairs := func(kind string) func(*gocql.Iter, func(string)) {
		return func(it *gocql.Iter, add func(string)) {
			for a, b := (gocql.UUID{}), (gocql.UUID{}); it.Scan(&a, &b); {
				add(kind)
			}
		}
	}
	ending := func(kind string) func(*gocql.Iter, func(string)) {
		return func(it *gocql.Iter, add func(string)) {
			for expires := int64(0); it.Scan(&expires); expires = 0 {
				if expires > after {
					add(kind)
				}
			}
		}
	}
	return []walk{
		{"users", "user_id", "phone", func(it *gocql.Iter, add func(string)) {
			for phone := ""; it.Scan(&phone); phone = "" {
				if phone != "" { // else it is only known when the user was last seen
					add("users")
				}
			}
		}},
		{"users_by_phone", "phone", "user_id, phone", ids("phones")},
		{"sessions_by_user", "user_id", "expires", ending("sessions")},
		{"revoked", "bucket, shard", "expires", ending("revocations")},
		{"devices_by_user", "user_id", "user_id, push_token", ids("devices")},
		{"groups", "group_id", "group_id, user_id, state", countGroups},
		{"thread_settings", "thread_id, user_id", "thread_id, user_id", pairs("thread settings")},
		{"media", "media_id", "media_id, key", ids("media")},
		{"messages", "thread_id, bucket", "thread_id, bucket, seq", countMessages},
		{"message_ids", "message_id", "message_id, thread_id", pairs("message ids")},
		{"cursors", "thread_id", "thread_id, user_id", pairs("cursors")},
	}
}

// countGroups counts groups that live, and their members.
func countGroups(it *gocql.Iter, add func(string)) {
	var group, last gocql.UUID
	var user *gocql.UUID
	var is int8
	for it.Scan(&group, &user, &is) {
		if state(is) != live {
			continue
		}
		if group != last {
			add("groups")
			last = group
		}
		if user != nil {
			add("members")
		}
	}
}

// countMessages counts each seq once, whatever epochs wrote it, and each thread at its first.
func countMessages(it *gocql.Iter, add func(string)) {
	var thread, last gocql.UUID
	var bucket, before int64
	var seq *int64
	for it.Scan(&thread, &bucket, &seq) {
		if seq == nil || thread == last && *seq == before {
			continue
		}
		last, before = thread, *seq
		add("messages")
		if *seq == 1 {
			add("threads")
		}
	}
}

// through reads all parts of the table.
func (w walk) through(ctx context.Context, s *Store) (map[string]int64, error) {
	stmt := fmt.Sprintf("SELECT %s FROM %s WHERE token(%s) > ? AND token(%s) <= ?", w.columns, w.table, w.key, w.key)
	var mu sync.Mutex
	found := map[string]int64{}
	var first error
	next := 0
	var crew sync.WaitGroup
	for range countCalls {
		crew.Go(func() {
			for {
				mu.Lock()
				part := next
				next++
				over := first != nil || part >= countParts
				mu.Unlock()
				if over {
					return
				}
				from, to := ringPart(part)
				it := s.session.Session.Query(stmt, from, to).WithContext(ctx).PageSize(countPage).Idempotent(true).RetryPolicy(s.again).Iter()
				here := map[string]int64{}
				w.rows(it, func(kind string) { here[kind]++ })
				err := it.Close()
				mu.Lock()
				if err != nil && first == nil {
					first = err
				}
				for kind, n := range here {
					found[kind] += n
				}
				mu.Unlock()
			}
		})
	}
	crew.Wait()
	return found, first
}

// ringPart gives the tokens of a part: those above from, up to to. No partition has the lowest token.
func ringPart(part int) (from, to int64) {
	const size = math.MaxUint64 / countParts
	at := func(i int) int64 { return int64(uint64(1)<<63 + uint64(i)*size) }
	from, to = at(part), at(part+1)
	if part == countParts-1 {
		to = math.MaxInt64
	}
	return from, to
}
