package cassandra

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sync"

	"github.com/gocql/gocql"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

type threads struct{ s *Store }

const (
	threadColumns = `SELECT thread_id, a, b, created, group_created, last_seq, last_ts, last_sender, last_type, last_text FROM threads WHERE thread_id `
	selectThread  = threadColumns + `= ?`
	selectThreads = threadColumns + `IN ?`
	selectDirects = `SELECT thread_id, last_ts FROM threads_by_user WHERE user_id = ?`
	selectPeers   = `SELECT thread_id, peer FROM threads_by_user WHERE user_id = ? AND thread_id IN ?`
	selectSetting = `SELECT language, original, emotion FROM thread_settings WHERE thread_id = ? AND user_id = ?`
)

// threadsAtOnce is how many partitions one statement asks for.
const threadsAtOnce = 200

type threadRow struct {
	ThreadID     gocql.UUID
	A, B         *gocql.UUID
	Created      *int64
	GroupCreated *int64
	LastSeq      int64
	LastTs       int64
	LastSender   gocql.UUID
	LastType     int8
	LastText     string
}

// there reports whether the row is one of a thread: it may have no more than what a message in a group that
// is gone left.
func (r *threadRow) there() bool {
	return r.GroupCreated != nil || r.A != nil && r.B != nil && r.Created != nil
}

// thread is the row for one of its people; head is what the log knows better, or 0.
func (r *threadRow) thread(u id.User, head uint64) store.ThreadOf {
	t := store.ThreadOf{Thread: store.Thread{ID: id.Thread{ID: id.ID(r.ThreadID)}, Head: max(head, uint64(r.LastSeq))}}
	if r.LastSeq > 0 {
		t.Last = store.Preview{
			Seq: uint64(r.LastSeq), Sent: r.LastTs, Sender: id.User{ID: id.ID(r.LastSender)},
			Type: proto.MessageType(r.LastType), Text: r.LastText,
		}
	}
	if r.GroupCreated != nil {
		t.Group, t.Created = true, *r.GroupCreated
		return t
	}
	t.Created = *r.Created
	t.A.ID, t.B.ID = id.ID(*r.A), id.ID(*r.B)
	t.Peer = t.B
	if t.B == u {
		t.Peer = t.A
	}
	return t
}

// at is where the thread stands in lists.
func (r *threadRow) at() int64 {
	switch {
	case r.LastSeq > 0:
		return r.LastTs
	case r.GroupCreated != nil:
		return *r.GroupCreated
	default:
		return *r.Created
	}
}

// Get asks the log for the head, which the row may lag.
func (v threads) Get(ctx context.Context, t id.Thread) (store.Thread, error) {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return store.Thread{}, err
	}
	defer c.end()
	var r threadRow
	if err := c.read(selectThread, gocql.UUID(t.ID)).GetRelease(&r); err != nil {
		return store.Thread{}, c.failed("read a thread", err)
	}
	if !r.there() {
		return store.Thread{}, store.ErrNotFound
	}
	head, err := v.s.messages.Head(c, t)
	if err != nil {
		return store.Thread{}, c.failed("read a thread's head", err)
	}
	if r.GroupCreated == nil && head == 0 { // its first message is not acked yet
		return store.Thread{}, store.ErrNotFound
	}
	return r.thread(id.User{}, head).Thread, nil
}

// position is a place in a user's list: the newest first, and of those that are equally old the one with
// the greater id.
type position struct {
	at     int64
	thread id.Thread
}

const (
	positionV1  = 1
	positionLen = 1 + 8 + 16
)

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(q.at, p.at), bytes.Compare(q.thread.ID[:], p.thread.ID[:]))
}

func (p position) encode() []byte {
	b := binary.BigEndian.AppendUint64([]byte{positionV1}, uint64(p.at))
	return append(b, p.thread.ID[:]...)
}

func decodePosition(b []byte) (p position, err error) {
	if len(b) != positionLen || b[0] != positionV1 {
		return p, store.ErrPosition
	}
	p.at = int64(binary.BigEndian.Uint64(b[1:]))
	copy(p.thread.ID[:], b[9:])
	return p, nil
}

// ByUser asks the cache for the order of the direct threads, and the store for the user's groups (one
// statement) and for the rows of the threads in question (another). Without the cache's help the direct
// threads are read whole, beside the groups.
func (v threads) ByUser(ctx context.Context, u id.User, after []byte, limit int) ([]store.ThreadOf, []byte, error) {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return nil, nil, err
	}
	defer c.end()
	var from *position
	if len(after) > 0 {
		p, err := decodePosition(after)
		if err != nil {
			return nil, nil, err
		}
		from = &p
	}
	if limit < 1 {
		return nil, after, nil
	}
	list, next, err := v.page(c, u, from, limit)
	if err != nil {
		return nil, nil, c.failed("list a user's threads", err)
	}
	return list, next, nil
}

// page gives one page of a user's list.
func (v threads) page(c *call, u id.User, from *position, limit int) ([]store.ThreadOf, []byte, error) {
	var places []position
	var groups []id.Thread
	var directErr, groupErr error
	var wait sync.WaitGroup
	wait.Go(func() { groups, groupErr = members(v).groupsOf(c, u, id.Thread{}, math.MaxInt32) })
	// One more than asked for says whether there are more.
	places, directErr = v.directs(c, u, from, limit+1)
	wait.Wait()
	if err := errors.Join(directErr, groupErr); err != nil {
		return nil, nil, err
	}
	ask := slices.Clone(groups)
	for _, p := range places {
		ask = append(ask, p.thread)
	}
	rows, err := v.rows(c, ask)
	if err != nil {
		return nil, nil, err
	}
	for _, g := range groups {
		r := rows[g]
		if r == nil || r.GroupCreated == nil { // it is being made, or gone
			continue
		}
		if p := (position{r.at(), g}); from == nil || p.compare(*from) > 0 {
			places = append(places, p)
		}
	}
	slices.SortFunc(places, position.compare)
	var next []byte
	if len(places) > limit {
		places = places[:limit]
		next = places[limit-1].encode()
	}
	list := make([]store.ThreadOf, 0, len(places))
	for _, p := range places {
		r := rows[p.thread]
		if r == nil || !r.there() {
			continue
		}
		head, _ := v.s.messages.Known(p.thread)
		list = append(list, r.thread(u, head))
	}
	return list, next, nil
}

// rows reads the rows of threads.
func (v threads) rows(c *call, list []id.Thread) (map[id.Thread]*threadRow, error) {
	all := make(map[id.Thread]*threadRow, len(list))
	var mu sync.Mutex
	n := (len(list) + threadsAtOnce - 1) / threadsAtOnce
	return all, c.each(n, func(i int) error {
		part := list[i*threadsAtOnce : min((i+1)*threadsAtOnce, len(list))]
		ids := make([]gocql.UUID, len(part))
		for i, t := range part {
			ids[i] = gocql.UUID(t.ID)
		}
		var rows []threadRow
		if err := c.read(selectThreads, ids).SelectRelease(&rows); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for i := range rows {
			all[id.Thread{ID: id.ID(rows[i].ThreadID)}] = &rows[i]
		}
		return nil
	})
}

// directs gives the places of a user's direct threads after from, at most limit.
func (v threads) directs(c *call, u id.User, from *position, limit int) ([]position, error) {
	var after store.Place
	if from != nil {
		after = store.Place{At: from.at, Thread: from.thread}
	}
	if places, known := v.s.recency.newest(c, u, after, limit); known {
		list := make([]position, len(places))
		for i, p := range places {
			list[i] = position{p.At, p.Thread}
		}
		return list, nil
	}
	all, err := v.scan(c, u)
	if err != nil {
		return nil, err
	}
	if from != nil {
		at, found := slices.BinarySearchFunc(all, *from, position.compare)
		if found {
			at++
		}
		all = all[at:]
	}
	return all[:min(limit, len(all))], nil
}

// scan reads all of a user's direct threads, newest first, and lets the cache have them.
func (v threads) scan(c *call, u id.User) ([]position, error) {
	v.s.metrics.scans.Inc()
	misses := v.s.recency.misses(u)
	q := c.read(selectDirects, gocql.UUID(u.ID))
	q.Query.PageSize(10_000)
	it := q.Iter()
	var all []position
	var t gocql.UUID
	var at int64
	for it.Scan(&t, &at) {
		all = append(all, position{at, id.Thread{ID: id.ID(t)}})
	}
	if err := it.Close(); err != nil {
		return nil, err
	}
	slices.SortFunc(all, position.compare)
	if v.s.recency.cache != nil {
		places := make([]store.Place, len(all))
		for i, p := range all {
			places[i] = store.Place{At: p.at, Thread: p.thread}
		}
		v.s.recency.fill(c, u, places, misses)
	}
	return all, nil
}

// Peers reads the newest direct threads' places, and then who they are with, which is one statement on the
// user's own partition.
func (v threads) Peers(ctx context.Context, u id.User, limit int) ([]id.User, error) {
	if limit < 1 {
		return nil, nil
	}
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer c.end()
	places, err := v.directs(c, u, nil, limit)
	if err != nil {
		return nil, c.failed("list a user's peers", err)
	}
	with := make(map[gocql.UUID]gocql.UUID, len(places))
	for part := range slices.Chunk(places, threadsAtOnce) {
		ids := make([]gocql.UUID, len(part))
		for i, p := range part {
			ids[i] = gocql.UUID(p.thread.ID)
		}
		it := c.read(selectPeers, gocql.UUID(u.ID), ids).Iter()
		var t, peer gocql.UUID
		for it.Scan(&t, &peer) {
			with[t] = peer
		}
		if err := it.Close(); err != nil {
			return nil, c.failed("list a user's peers", err)
		}
	}
	var peers []id.User
	for _, p := range places {
		if peer, ok := with[gocql.UUID(p.thread.ID)]; ok {
			peers = append(peers, id.User{ID: id.ID(peer)})
		}
	}
	return peers, nil
}

func (v threads) Settings(ctx context.Context, t id.Thread, u id.User) (store.ThreadSettings, error) {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return store.ThreadSettings{}, err
	}
	defer c.end()
	return v.settings(c, t, u)
}

func (v threads) settings(c *call, t id.Thread, u id.User) (store.ThreadSettings, error) {
	r := store.DefaultThreadSettings()
	var row struct {
		Language          string
		Original, Emotion *bool
	}
	err := c.read(selectSetting, gocql.UUID(t.ID), gocql.UUID(u.ID)).GetRelease(&row)
	if errors.Is(err, gocql.ErrNotFound) {
		return r, nil
	}
	if err != nil {
		return r, c.failed("read a thread's settings", err)
	}
	r.PreferredLanguage = row.Language
	if row.Original != nil {
		r.ShowOriginal = *row.Original
	}
	if row.Emotion != nil {
		r.DetectEmotion = *row.Emotion
	}
	return r, nil
}

// SetSettings writes the named columns alone.
func (v threads) SetSettings(ctx context.Context, t id.Thread, u id.User, p store.ThreadSettingsPatch) (store.ThreadSettings, error) {
	c, err := v.s.begin(ctx, 0)
	if err != nil {
		return store.ThreadSettings{}, err
	}
	defer c.end()
	if stmt, args := updateSettings(t, u, p); stmt != "" {
		if err := c.write(stmt, args...).ExecRelease(); err != nil {
			return store.ThreadSettings{}, c.failed("change a thread's settings", err)
		}
	}
	return v.settings(c, t, u)
}

// updateSettings is the statement for a patch; there are seven of them.
func updateSettings(t id.Thread, u id.User, p store.ThreadSettingsPatch) (stmt string, args []any) {
	set := ""
	column := func(name string, to any) {
		if set != "" {
			set += ", "
		}
		set, args = set+name+" = ?", append(args, to)
	}
	if p.PreferredLanguage != nil {
		column("language", *p.PreferredLanguage)
	}
	if p.ShowOriginal != nil {
		column("original", *p.ShowOriginal)
	}
	if p.DetectEmotion != nil {
		column("emotion", *p.DetectEmotion)
	}
	if set == "" {
		return "", nil
	}
	return "UPDATE thread_settings SET " + set + " WHERE thread_id = ? AND user_id = ?", append(args, gocql.UUID(t.ID), gocql.UUID(u.ID))
}
