package cassandra

import (
	"context"
	"fmt"
	"math"

	"github.com/gocql/gocql"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/cassandra/threadlog"
)

// quorum makes the statements of the log. None is ever repeated by the driver.
type quorum struct{ s *Store }

const (
	selectIndexed = `SELECT DISTINCT thread_id, bucket, indexed FROM messages WHERE thread_id = ? AND bucket = ?`
	selectRows    = `SELECT seq, epoch, start, message_id, sender, receiver, sent, type, client_id, language, content, encrypted, media, reply_to
		FROM messages WHERE thread_id = ? AND bucket = ? AND seq >= ? AND seq <= ?`
	insertRow = `INSERT INTO messages (thread_id, bucket, seq, epoch, start, message_id, sender, receiver, sent, type, client_id, language, content,
		encrypted, media, reply_to) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?`
	updateIndexed = `UPDATE messages USING TIMESTAMP ? SET indexed = ? WHERE thread_id = ? AND bucket = ?`

	selectID  = `SELECT message_id, thread_id, seq, sent, body_hash FROM message_ids WHERE message_id = ?`
	selectIDs = `SELECT message_id, thread_id, seq, sent, body_hash FROM message_ids WHERE message_id IN ?`
	insertID  = `INSERT INTO message_ids (message_id, thread_id, seq, sent, body_hash) VALUES (?, ?, ?, ?, ?)`

	selectHint   = `SELECT last_bucket, last_seq FROM threads WHERE thread_id = ?`
	updateBucket = `UPDATE threads USING TIMESTAMP ? SET last_bucket = ? WHERE thread_id = ?`
	firstThread  = `UPDATE threads USING TIMESTAMP 0 SET a = ?, b = ?, created = ? WHERE thread_id = ?`
	firstOfUser  = `INSERT INTO threads_by_user (user_id, thread_id, peer, last_ts) VALUES (?, ?, ?, ?) USING TIMESTAMP 0`
	recentThread = `UPDATE threads USING TIMESTAMP ? SET last_seq = ?, last_ts = ?, last_sender = ?, last_type = ?, last_text = ? WHERE thread_id = ?`
	recentOfUser = `UPDATE threads_by_user USING TIMESTAMP ? SET last_ts = ? WHERE user_id = ? AND thread_id = ?`

	selectVersion = `SELECT DISTINCT log, version FROM log_slots WHERE log = ?`
	selectSlots   = `SELECT version, slot, owner, epoch FROM log_slots WHERE log = ?`
	bumpSlots     = `UPDATE log_slots SET version = ? WHERE log = ? IF version = ?`
	takeSlot      = `UPDATE log_slots SET owner = ?, epoch = ? WHERE log = ? AND slot = ?`
	selectNodes   = `SELECT node, address, pid, beat FROM log_nodes WHERE log = ?`
	insertNode    = `INSERT INTO log_nodes (log, node, address, pid, beat) VALUES (?, ?, ?, ?, ?) USING TTL 86400`
	deleteNode    = `DELETE FROM log_nodes WHERE log = ? AND node = ?`
)

// query is one statement, tried once.
func (q quorum) query(ctx context.Context, stmt string, args ...any) *gocql.Query {
	return q.s.session.Session.Query(stmt, args...).WithContext(ctx).RetryPolicy(nil)
}

// unlogged is one unlogged batch, tried once.
func (q quorum) unlogged(ctx context.Context) *gocql.Batch {
	return q.s.session.NewBatch(gocql.UnloggedBatch).WithContext(ctx).RetryPolicy(nil)
}

// wrote maps the error of a write.
func wrote(err error) error {
	switch {
	case err == nil:
		return nil
	case neverSent(err):
		return fmt.Errorf("%w: cassandra %s: %s", threadlog.ErrRefused, causeOf(err), explain(err))
	default:
		return fmt.Errorf("cassandra %s: %s", causeOf(err), explain(err))
	}
}

// reads maps the error of a read.
func reads(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cassandra %s: %s", causeOf(err), explain(err))
}

// stamp is the timestamp of a row of messages.
func stamp(epoch uint32, seq uint64) int64 { return int64(epoch)<<32 | int64(seq) }

func (q quorum) Indexed(ctx context.Context, t id.Thread, bucket uint64) (uint64, error) {
	var tt gocql.UUID
	var b int64
	var indexed int64
	query := q.query(ctx, selectIndexed, gocql.UUID(t.ID), int64(bucket))
	defer query.Release()
	if err := query.Scan(&tt, &b, &indexed); err != nil && err != gocql.ErrNotFound { //nolint:errorlint // the driver returns it bare
		return 0, reads(err)
	}
	return uint64(indexed), nil
}

func (q quorum) Rows(ctx context.Context, r threadlog.Range, page []byte, into []threadlog.Row) ([]threadlog.Row, []byte, error) {
	query := q.query(ctx, selectRows, gocql.UUID(r.Thread.ID), int64(r.Bucket), int64(r.From), int64(min(r.To, math.MaxInt64))).
		PageSize(r.Limit).PageState(page)
	defer query.Release()
	it := query.Iter()
	var seq, start, sent int64
	var epoch int32
	var kind int8
	var message, sender, receiver, reply gocql.UUID
	for {
		// The driver copies into slices that it is given: each row needs new ones.
		m := store.Message{Thread: r.Thread}
		if !it.Scan(&seq, &epoch, &start, &message, &sender, &receiver, &sent, &kind, &m.ClientID, &m.Language, &m.Content, &m.Encrypted, &m.MediaURLs, &reply) {
			break
		}
		m.Seq, m.Sent, m.Type = uint64(seq), sent, proto.MessageType(kind)
		m.ID.ID, m.Sender.ID, m.Receiver.ID, m.ReplyTo.ID = id.ID(message), id.ID(sender), id.ID(receiver), id.ID(reply)
		into = append(into, threadlog.Row{Term: threadlog.Term{Epoch: uint32(epoch), Start: uint64(start)}, Message: m})
		message, sender, receiver, reply = gocql.UUID{}, gocql.UUID{}, gocql.UUID{}, gocql.UUID{}
	}
	next := it.PageState()
	if err := it.Close(); err != nil {
		return into, nil, reads(err)
	}
	if len(next) == 0 {
		next = nil
	}
	return into, next, nil
}

// unset leaves a column out where there is nothing, rather than write its absence.
func unset(b []byte) any {
	if len(b) == 0 {
		return gocql.UnsetValue
	}
	return b
}

func unsetID(v id.ID) any {
	if v.IsZero() {
		return gocql.UnsetValue
	}
	return gocql.UUID(v)
}

func (q quorum) Write(ctx context.Context, t id.Thread, bucket uint64, under threadlog.Term, messages []store.Message) error {
	b := q.unlogged(ctx)
	for i := range messages {
		m := &messages[i]
		var urls any = gocql.UnsetValue
		if len(m.MediaURLs) > 0 {
			urls = m.MediaURLs
		}
		b.Query(insertRow, gocql.UUID(t.ID), int64(bucket), int64(m.Seq), int32(under.Epoch), int64(under.Start), gocql.UUID(m.ID.ID), gocql.UUID(m.Sender.ID),
			unsetID(m.Receiver.ID), m.Sent, int8(m.Type), unset(m.ClientID), unset(m.Language), unset(m.Content), unset(m.Encrypted),
			urls, unsetID(m.ReplyTo.ID), stamp(under.Epoch, m.Seq))
	}
	return wrote(q.s.session.ExecuteBatch(b))
}

func (q quorum) SetIndexed(ctx context.Context, t id.Thread, bucket uint64, seq uint64) error {
	query := q.query(ctx, updateIndexed, int64(seq), int64(seq), gocql.UUID(t.ID), int64(bucket))
	defer query.Release()
	return wrote(query.Exec())
}

// Lookup asks for several ids in one statement, whose coordinator asks the replicas beside each other.
func (q quorum) Lookup(ctx context.Context, ids []id.Message, places []threadlog.Place) error {
	var query *gocql.Query
	if len(ids) == 1 {
		query = q.query(ctx, selectID, gocql.UUID(ids[0].ID))
	} else {
		in := make([]gocql.UUID, len(ids))
		for i, m := range ids {
			in[i] = gocql.UUID(m.ID)
		}
		query = q.query(ctx, selectIDs, in)
	}
	defer query.Release()
	clear(places)
	it := query.Iter()
	var message, thread gocql.UUID
	var seq, sent int64
	var hash []byte
	for it.Scan(&message, &thread, &seq, &sent, &hash) {
		p := threadlog.Place{Message: id.Message{ID: id.ID(message)}, Thread: id.Thread{ID: id.ID(thread)}, Seq: uint64(seq), Sent: sent}
		copy(p.Hash[:], hash)
		for i, m := range ids { // rarely any, and each may be asked for twice
			if m == p.Message {
				places[i] = p
			}
		}
	}
	return reads(it.Close())
}

func (q quorum) Index(ctx context.Context, places []threadlog.Place) error {
	b := q.unlogged(ctx)
	for i := range places {
		p := &places[i]
		b.Query(insertID, gocql.UUID(p.Message.ID), gocql.UUID(p.Thread.ID), int64(p.Seq), p.Sent, p.Hash[:])
	}
	return wrote(q.s.session.ExecuteBatch(b))
}

func (q quorum) Hint(ctx context.Context, t id.Thread) (threadlog.Hint, error) {
	query := q.query(ctx, selectHint, gocql.UUID(t.ID))
	defer query.Release()
	var bucket, seq int64
	if err := query.Scan(&bucket, &seq); err != nil && err != gocql.ErrNotFound { //nolint:errorlint // the driver returns it bare
		return threadlog.Hint{}, reads(err)
	}
	return threadlog.Hint{Bucket: uint64(bucket), LastSeq: uint64(seq)}, nil
}

func (q quorum) SetBucket(ctx context.Context, t id.Thread, bucket uint64) error {
	query := q.query(ctx, updateBucket, int64(bucket), int64(bucket), gocql.UUID(t.ID))
	defer query.Release()
	return wrote(query.Exec())
}

func (q quorum) First(ctx context.Context, f threadlog.First) error {
	b := q.unlogged(ctx)
	t := gocql.UUID(f.Thread.ID)
	people := []id.User{f.A}
	if f.B != f.A {
		people = append(people, f.B)
	}
	b.Query(firstThread, gocql.UUID(f.A.ID), gocql.UUID(f.B.ID), f.Created, t)
	for _, u := range people {
		peer := f.B
		if u == f.B {
			peer = f.A
		}
		b.Query(firstOfUser, gocql.UUID(u.ID), t, gocql.UUID(peer.ID), f.Created)
	}
	if err := q.s.session.ExecuteBatch(b); err != nil {
		return wrote(err)
	}
	// A cached list that has not heard of the thread would not show it until the next message.
	return q.s.recency.touch(ctx, f.Thread, f.Created, people)
}

// recent keeps what lists show, at most threadlog.MaxRecent threads at a time.
func (s *Store) recent(ctx context.Context, list []threadlog.Recent) error {
	c := &call{Context: ctx, caller: ctx, s: s}
	type statement struct {
		cql  string
		args []any
	}
	all := make([]statement, 0, 3*len(list))
	for i := range list {
		r := &list[i]
		p, t := &r.Last, gocql.UUID(r.Thread.ID)
		all = append(all, statement{recentThread, []any{
			int64(p.Seq), int64(p.Seq), p.Sent, gocql.UUID(p.Sender.ID), int8(p.Type), p.Text, t,
		}})
		if r.Group() {
			continue
		}
		all = append(all, statement{recentOfUser, []any{int64(p.Seq), p.Sent, gocql.UUID(r.A.ID), t}})
		if r.B != r.A {
			all = append(all, statement{recentOfUser, []any{int64(p.Seq), p.Sent, gocql.UUID(r.B.ID), t}})
		}
	}
	n := (len(all) + indexBatch - 1) / indexBatch
	err := c.each(n, func(i int) error {
		return c.batch(func(b *gocql.Batch) {
			for _, s := range all[i*indexBatch : min((i+1)*indexBatch, len(all))] {
				b.Query(s.cql, s.args...)
			}
		})
	})
	if err != nil {
		return reads(err)
	}
	for i := range list {
		if r := &list[i]; !r.Group() {
			if err := s.recency.touch(ctx, r.Thread, r.Last.Sent, []id.User{r.A, r.B}); err != nil {
				return fmt.Errorf("tell the cache of moved threads: %w", err)
			}
		}
	}
	return nil
}

func (q quorum) Version(ctx context.Context) (int64, error) {
	query := q.query(ctx, selectVersion, q.s.cfg.logName)
	defer query.Release()
	var log string
	var version int64
	if err := query.Scan(&log, &version); err != nil && err != gocql.ErrNotFound { //nolint:errorlint // the driver returns it bare
		return 0, reads(err)
	}
	return version, nil
}

func (q quorum) Slots(ctx context.Context, serial bool, into *threadlog.Slots) error {
	query := q.query(ctx, selectSlots, q.s.cfg.logName).PageSize(2 * threadlog.SlotCount)
	if serial {
		query.Consistency(gocql.Consistency(q.s.serialConsistency()))
	}
	defer query.Release()
	*into = threadlog.Slots{}
	it := query.Iter()
	var version int64
	var slot, epoch *int32
	var owner gocql.UUID
	for it.Scan(&version, &slot, &owner, &epoch) {
		into.Version = version
		if slot == nil || *slot < 0 || *slot >= threadlog.SlotCount || epoch == nil {
			continue
		}
		into.Owner[*slot], into.Epoch[*slot] = threadlog.Node(owner), uint32(*epoch)
	}
	return reads(it.Close())
}

func (q quorum) Take(ctx context.Context, have int64, owner threadlog.Node, slots []int) (bool, error) {
	b := q.s.session.NewBatch(gocql.LoggedBatch).WithContext(ctx).RetryPolicy(nil).DefaultTimestamp(false)
	var was any // null where nobody ever took a slot
	if have > 0 {
		was = have
	}
	b.Query(bumpSlots, have+1, q.s.cfg.logName, was)
	for _, slot := range slots {
		b.Query(takeSlot, gocql.UUID(owner), int32(have+1), q.s.cfg.logName, int32(slot))
	}
	applied, it, err := q.s.session.MapExecuteBatchCAS(b, map[string]any{})
	if it != nil {
		if e := it.Close(); err == nil {
			err = e
		}
	}
	return applied, wrote(err)
}

func (q quorum) Nodes(ctx context.Context) ([]threadlog.Member, error) {
	query := q.query(ctx, selectNodes, q.s.cfg.logName)
	defer query.Release()
	it := query.Iter()
	var list []threadlog.Member
	var node gocql.UUID
	var m threadlog.Member
	for it.Scan(&node, &m.Address, &m.PID, &m.Beat) {
		m.Node = threadlog.Node(node)
		list = append(list, m)
	}
	return list, reads(it.Close())
}

func (q quorum) Beat(ctx context.Context, m threadlog.Member) error {
	query := q.query(ctx, insertNode, q.s.cfg.logName, gocql.UUID(m.Node), m.Address, m.PID, m.Beat)
	defer query.Release()
	return wrote(query.Exec())
}

func (q quorum) Leave(ctx context.Context, n threadlog.Node) error {
	query := q.query(ctx, deleteNode, q.s.cfg.logName, gocql.UUID(n))
	defer query.Release()
	return wrote(query.Exec())
}
