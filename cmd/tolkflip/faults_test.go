package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// fault is something that happens to the stores under a running server.
type fault struct {
	name  string
	cause func(*trial)
	mend  func(*trial)

	refused bool   // no message may be acked while it lasts
	ready   string // what /ready must name while it lasts
	files   bool   // uploads are refused while it lasts
}

// trial is one server on the wreck with people on it.
type trial struct {
	t      *testing.T
	w      *wreck
	child  *child
	crowd  *crowd
	window time.Duration

	watcher  *chatter // of a group with everybody
	guest    person   // in that group; comes and goes
	guestOn  *socket
	revoked  []string // tokens
	keptFile string   // the address of a file that was stored before
}

// recovery is how long everything may take to be right again.
const recovery = 30 * time.Second

// TestFaults lets 200 people chat on real stores and breaks one after the other, each for
// TOLKFLIP_TEST_FAULTS. Through all of it: nothing acked is lost or shown twice, each thread is dense and
// in order, revoked tokens stay revoked, nobody is logged out, no socket is lost, presence is right again
// within 30 seconds, and the server is never restarted.
func TestFaults(t *testing.T) {
	window := faultWindow(t)
	w := newWreck(t)
	for _, c := range []struct {
		cache  string
		faults []fault
	}{
		{"redis", append(append(cassandraFaults(), proxyFaults()...), append(redisFaults(), minioFault())...)},
		{"sentinel", []fault{sentinelFault()}},
		{"cluster", []fault{clusterFault()}},
	} {
		t.Run(c.cache, func(t *testing.T) {
			tr := newTrial(t, w, c.cache, window)
			for _, f := range c.faults {
				t.Run(f.name, func(t *testing.T) { tr.suffer(t, f) })
			}
			tr.end(t)
		})
	}
}

func cassandraFaults() []fault {
	stop := func(names ...string) func(*trial) {
		return func(tr *trial) { tr.w.signal(syscall.SIGSTOP, names...) }
	}
	goOn := func(names ...string) func(*trial) {
		return func(tr *trial) { tr.w.signal(syscall.SIGCONT, names...) }
	}
	return []fault{
		{
			name:  "one Cassandra node is killed",
			cause: func(tr *trial) { tr.w.kill("cassandra-2") },
			mend:  func(tr *trial) { tr.w.restart("cassandra") },
		},
		{name: "one Cassandra node is stopped", cause: stop("cassandra-3"), mend: goOn("cassandra-3")},
		{
			name: "two Cassandra nodes are stopped", refused: true, ready: "store",
			cause: stop("cassandra-1", "cassandra-2"), mend: goOn("cassandra-1", "cassandra-2"),
		},
		{
			name: "all Cassandra nodes are killed and restarted", refused: true, ready: "store",
			cause: func(tr *trial) { tr.w.kill("cassandra-1", "cassandra-2", "cassandra-3") },
			mend:  func(tr *trial) { tr.w.restart("cassandra") },
		},
	}
}

// proxyFaults spoil what goes between the server and Cassandra.
func proxyFaults() []fault {
	spoil := func(lose, late int32, by time.Duration) func(*trial) {
		return func(tr *trial) {
			for _, f := range tr.w.fronts {
				f.spoil(lose, late, by)
			}
		}
	}
	calm := func(tr *trial) {
		var lost, held int64
		for _, f := range tr.w.fronts {
			f.spoil(0, 0, 0)
			lost += f.lost.Swap(0)
			held += f.held.Swap(0)
		}
		tr.t.Logf("%d answers lost, %d requests late", lost, held)
		if lost+held == 0 {
			tr.t.Error("nothing was spoiled")
		}
	}
	return []fault{
		{name: "answers are lost after the write", cause: spoil(20, 0, 0), mend: calm},
		{name: "requests come after the time-out", cause: spoil(0, 20, statementTime+2*time.Second), mend: calm},
	}
}

func redisFaults() []fault {
	return []fault{
		{
			name:  "Redis forgets everything",
			cause: func(tr *trial) { tr.w.redis(tr.w.env["TOLKFLIP_TEST_REDIS"], "flushall") },
		},
		{
			name:  "Redis is killed and comes back empty",
			cause: func(tr *trial) { tr.w.kill("redis") },
			mend:  func(tr *trial) { tr.w.restart("redis") },
		},
	}
}

func sentinelFault() fault {
	return fault{
		name: "a primary that sentinels watch is killed",
		cause: func(tr *trial) {
			_, hosts, _ := strings.Cut(tr.w.env["TOLKFLIP_TEST_SENTINEL"], "@")
			sentinel, _, _ := strings.Cut(hosts, ",")
			host, port, _ := strings.Cut(strings.TrimSpace(tr.w.redis(sentinel, "sentinel", "get-master-addr-by-name", "tolkflip")), "\n")
			tr.w.kill(tr.w.at(strings.TrimSpace(host) + ":" + strings.TrimSpace(port)))
		},
		mend: func(tr *trial) { tr.w.restart("sentinel") },
	}
}

func clusterFault() fault {
	return fault{
		name: "a primary of the cluster is killed",
		cause: func(tr *trial) {
			first, _, _ := strings.Cut(tr.w.env["TOLKFLIP_TEST_CLUSTER"], ",")
			for node := range strings.SplitSeq(tr.w.redis(first, "cluster", "nodes"), "\n") {
				if fields := strings.Fields(node); len(fields) > 2 && strings.Contains(fields[2], "master") {
					address, _, _ := strings.Cut(fields[1], "@")
					tr.w.kill(tr.w.at(address))
					return
				}
			}
			tr.t.Fatal("the cluster has no primary")
		},
		mend: func(tr *trial) { tr.w.restart("cluster") },
	}
}

func minioFault() fault {
	return fault{
		name: "MinIO is gone", files: true,
		cause: func(tr *trial) { tr.w.kill("minio") },
		mend:  func(tr *trial) { tr.w.restart("minio") },
	}
}

// newTrial starts a server and 200 people who chat on it.
func newTrial(t *testing.T, w *wreck, cache string, window time.Duration) *trial {
	t.Helper()
	tr := &trial{t: t, w: w, window: window}
	w.migrate("faults_" + cache)
	tr.child = w.serve(filepath.Join(t.TempDir(), "data"), "faults_"+cache, cache)
	tr.crowd = newCrowd(t, tr.child.URL, 200, 4*time.Second)
	tr.watcher = tr.crowd.people[0]
	tr.guest = tr.newcomer()
	ids := []string{tr.guest.ID}
	for _, p := range tr.crowd.people {
		ids = append(ids, p.ID)
	}
	tr.ask(t, 201, "POST", "/api/groups", tr.watcher.Token, map[string]any{"name": "everybody", "memberIds": ids})
	for range 5 {
		tr.revoke(t)
	}
	var status int
	if status, tr.keptFile = tr.upload(t); status != http.StatusOK {
		t.Errorf("upload: %d", status)
	}
	tr.crowd.start()
	tr.progress(t)
	return tr
}

// fileText is what the file of upload holds.
const fileText = "a file of the crowd"

// upload stores a file and gives its address.
func (tr *trial) upload(t *testing.T) (status int, url string) {
	t.Helper()
	status, out, err := call(t.Context(), "POST", tr.child.URL+"/api/media/upload", tr.watcher.Token,
		map[string]any{"fileName": "crowd.txt", "contentType": "text/plain", "data": base64.StdEncoding.EncodeToString([]byte(fileText))})
	if err != nil {
		t.Errorf("upload: %v", err)
	}
	url, _ = out["url"].(string)
	if strings.HasPrefix(url, "/") {
		url = tr.child.URL + url
	}
	return status, url
}

// files waits until files come and go again.
func (tr *trial) files(t *testing.T) {
	t.Helper()
	within(t, "files are stored and read", func() (bool, string) {
		status, _ := tr.upload(t)
		if status != http.StatusOK {
			return false, fmt.Sprint("upload: ", status)
		}
		reply, err := http.Get(tr.keptFile)
		if err != nil {
			return false, err.Error()
		}
		defer reply.Body.Close()
		b, err := io.ReadAll(reply.Body)
		return err == nil && string(b) == fileText, fmt.Sprintf("%s %v %q", reply.Status, err, b)
	})
}

// newcomer registers a person that does not write.
func (tr *trial) newcomer() person {
	tr.t.Helper()
	return must[person](tr.t, "register")(register(tr.t.Context(), tr.child.URL, tr.crowd.numbers.number(), "newcomer"))
}

// ask makes a request that must have an outcome, and gives the reply.
func (tr *trial) ask(t *testing.T, want int, method, path, token string, in any) map[string]any {
	t.Helper()
	status, out, err := call(t.Context(), method, tr.child.URL+path, token, in)
	if err != nil || status != want {
		t.Errorf("%s %s: %d %v %v, want %d", method, path, status, out, err, want)
	}
	return out
}

// revoke logs somebody out. While the stores are broken that may be refused.
func (tr *trial) revoke(t *testing.T) {
	t.Helper()
	p, err := register(t.Context(), tr.child.URL, tr.crowd.numbers.number(), "to be logged out")
	if err != nil {
		t.Logf("nobody can register to be logged out: %v", err)
		return
	}
	if status, out, err := call(t.Context(), "POST", tr.child.URL+"/api/auth/logout", p.Token, map[string]any{}); err != nil || status != 200 {
		t.Logf("logout: %d %v %v", status, out, err)
		return
	}
	tr.revoked = append(tr.revoked, p.Token)
}

// suffer is one fault from its beginning to the proof that nothing of it is left.
func (tr *trial) suffer(t *testing.T, f fault) {
	before := tr.t
	tr.t = t
	defer func() { tr.t = before }()
	acks, refusals := tr.crowd.acks.Load(), tr.crowd.refusals.Load()
	f.cause(tr)
	tr.endure(t, f)
	meanwhile := tr.crowd.acks.Load() - acks
	tr.toggle(t)
	if f.mend != nil {
		f.mend(tr)
	}
	began := time.Now()
	tr.recovers(t)
	t.Logf("%d acked and %d refused meanwhile; right again after %.1f s", meanwhile, tr.crowd.refusals.Load()-refusals, time.Since(began).Seconds())
	if !f.refused && meanwhile == 0 {
		t.Error("nobody could write")
	}
}

// endure waits through a fault's window.
func (tr *trial) endure(t *testing.T, f fault) {
	half := tr.window / 2
	if f.refused {
		tr.refuses(t, half)
	} else {
		pause(t.Context(), half)
		tr.revoke(t)
	}
	if f.files {
		if status, _ := tr.upload(t); status != http.StatusServiceUnavailable {
			t.Errorf("an upload without a store of files: %d", status)
		}
	}
	if f.ready != "" {
		within(t, "/ready names "+f.ready, func() (bool, string) {
			status, out, err := call(t.Context(), "GET", tr.child.URL+"/ready", "", nil)
			return err == nil && status == http.StatusServiceUnavailable && strings.Contains(fmt.Sprint(out), f.ready), fmt.Sprint(status, out, err)
		})
	}
	pause(t.Context(), half)
}

// refuses waits until what was under way has ended, and then sees only refusals.
func (tr *trial) refuses(t *testing.T, long time.Duration) {
	t.Helper()
	acks, still := tr.crowd.acks.Load(), 0
	within(t, "acks end", func() (bool, string) {
		now := tr.crowd.acks.Load()
		if still++; now != acks {
			acks, still = now, 0
		}
		return still == 10, "messages are acked without a quorum"
	})
	refusals := tr.crowd.refusals.Load()
	pause(t.Context(), long)
	within(t, "sends are refused", func() (bool, string) {
		return tr.crowd.refusals.Load() > refusals, "there is no answer"
	})
	if n := tr.crowd.acks.Load() - acks; n != 0 {
		t.Errorf("%d messages were acked without a quorum", n)
	}
}

// recovers checks everything that must be right within the time of recovery.
func (tr *trial) recovers(t *testing.T) {
	t.Helper()
	var all sync.WaitGroup
	all.Go(func() { tr.progress(t) })
	all.Go(func() {
		within(t, "/ready is green", func() (bool, string) {
			status, out, err := call(t.Context(), "GET", tr.child.URL+"/ready", "", nil)
			return err == nil && status == 200, fmt.Sprint(status, out, err)
		})
	})
	all.Go(func() { tr.presence(t) })
	all.Go(func() { tr.sessions(t) })
	all.Go(func() { tr.files(t) })
	all.Wait()
	if n := tr.crowd.drops.Load(); n != 0 {
		t.Errorf("%d sockets were lost", n)
		tr.crowd.drops.Store(0)
	}
	if err := tr.child.cmd.Process.Signal(syscall.Signal(0)); err != nil {
		t.Fatalf("the server is gone: %v", err)
	}
}

// progress waits until everybody has got another ack.
func (tr *trial) progress(t *testing.T) {
	t.Helper()
	start := make([]int64, len(tr.crowd.people))
	for i, p := range tr.crowd.people {
		start[i] = p.acked.Load()
	}
	within(t, "everybody writes", func() (bool, string) {
		waiting := 0
		for i, p := range tr.crowd.people {
			if p.acked.Load() == start[i] {
				waiting++
			}
		}
		return waiting == 0, fmt.Sprintf("%d have no ack", waiting)
	})
}

// toggle lets the guest come or go.
func (tr *trial) toggle(t *testing.T) {
	t.Helper()
	if tr.guestOn != nil {
		tr.guestOn.close()
		tr.guestOn = nil
		return
	}
	sock, err := connect(t.Context(), tr.child.URL, tr.guest.Token, nil)
	if err != nil {
		t.Errorf("the guest cannot connect: %v", err)
		return
	}
	tr.guestOn = sock
}

// presence waits until the watcher reads what is the case of everybody.
func (tr *trial) presence(t *testing.T) {
	t.Helper()
	want := map[string]string{tr.guest.ID: "offline"}
	if tr.guestOn != nil {
		want[tr.guest.ID] = "online"
	}
	for _, p := range tr.crowd.people {
		want[p.ID] = "online"
	}
	var ids []string
	for who := range want {
		ids = append(ids, who)
	}
	within(t, "presence is right", func() (bool, string) {
		var asking sync.WaitGroup
		var wrong atomic.Int64
		for part := range slices.Chunk(ids, 25) {
			asking.Go(func() {
				status, out, err := call(t.Context(), "POST", tr.child.URL+"/api/presence/users/batch", tr.watcher.Token, map[string]any{"userIds": part})
				states, _ := out["presences"].(map[string]any)
				for _, who := range part {
					if state, _ := states[who].(map[string]any); err != nil || status != http.StatusOK || state["status"] != want[who] {
						wrong.Add(1)
					}
				}
			})
		}
		asking.Wait()
		return wrong.Load() == 0, fmt.Sprintf("%d of %d are wrong", wrong.Load(), len(want))
	})
}

// sessions checks that nobody was logged out, and that who was, still is.
func (tr *trial) sessions(t *testing.T) {
	t.Helper()
	within(t, "everybody is logged in", func() (bool, string) {
		var asking sync.WaitGroup
		var refused atomic.Int64
		for part := range slices.Chunk(tr.crowd.people, 25) {
			asking.Go(func() {
				for _, p := range part {
					status, out, err := call(t.Context(), "GET", tr.child.URL+"/api/users/profile/"+p.ID, p.Token, nil)
					if status == http.StatusUnauthorized {
						t.Errorf("%s was logged out: %v", p.ID, out)
					}
					if err != nil || status != http.StatusOK {
						refused.Add(1)
					}
				}
			})
		}
		asking.Wait()
		return refused.Load() == 0, fmt.Sprintf("%d cannot read their profile", refused.Load())
	})
	for _, token := range tr.revoked {
		tr.ask(t, http.StatusUnauthorized, "GET", "/api/chat/threads", token, nil)
		sock, err := dial(t.Context(), tr.child.URL)
		if err != nil {
			t.Error(err)
			continue
		}
		if err := sock.send(map[string]any{"action": "authenticate", "token": token}); err != nil {
			t.Error(err)
		}
		if f, err := sock.receive(); err != nil || f.Type != "auth_error" {
			t.Errorf("a revoked token has %+v %v", f, err)
		}
		var c closed
		if _, err := sock.receive(); !errors.As(err, &c) || c.code != ws.StatusCode(4401) {
			t.Errorf("a revoked token's socket ends with %v", err)
		}
		sock.close()
	}
}

// end compares everything that was said with what is stored, and stops the server.
func (tr *trial) end(t *testing.T) {
	t.Helper()
	tr.crowd.end()
	tr.crowd.catchUp()
	tr.crowd.close()
	if tr.guestOn != nil {
		tr.guestOn.close()
	}
	tr.crowd.verify()
	if code, err := tr.child.terminate(); err != nil || code != exitOK {
		t.Errorf("the server ended with %d %v", code, err)
	}
}

// within waits until something holds, for as long as recovery may take. A time in which this process did
// not run itself proves nothing of another and is not counted.
func within(t *testing.T, what string, holds func() (bool, string)) {
	t.Helper()
	const step = 200 * time.Millisecond
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	last := time.Now()
	for waited := time.Duration(0); ; {
		ok, state := holds()
		if ok {
			return
		}
		if waited > recovery {
			t.Errorf("%s: not within %v: %s", what, recovery, state)
			return
		}
		select {
		case <-ticker.C:
		case <-t.Context().Done():
			return
		}
		waited += min(time.Since(last), 5*step)
		last = time.Now()
	}
}
