package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/pebble"
)

// keyspace gives a test a keyspace of its own, which is removed at its end.
func keyspace(t *testing.T) (address string) {
	t.Helper()
	name := fmt.Sprintf("tfm_%08x", rand.Uint32())
	address = realAddress(t, "TOLKFLIP_TEST_CASSANDRA", func(v string) string { return "cassandra://" + v + "/" + name + "?timeout=10s" })
	t.Cleanup(func() {
		if err := dropKeyspace(name); err != nil {
			t.Errorf("drop %s: %v", name, err)
		}
	})
	return address
}

// TestMigrate moves an installation in which people have chatted, and more than they would write by hand.
// The move is killed in the middle, twice, and run again. What people see afterwards is the same.
func TestMigrate(t *testing.T) {
	t.Parallel()
	address := keyspace(t)
	s := start(t, onDisk)
	people, groups := town(t, s)
	data := s.Data
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s = start(t, func(c *Config) { c.Store, c.Data = "", data }) // its lists do not lag any more
	before := views(t, s.URL, people)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	crowd := fillStore(t, filepath.Join(data, "store"), 60, 500)

	args := []string{"migrate", "--from", "pebble:" + filepath.Join(data, "store"), "--to", address}
	for range 2 {
		killMove(t, args)
	}
	code, out, errs := runProgram(t, args)
	for code == exitFailed && strings.Contains(errs, "run the same command again") && strings.Contains(errs, "cassandra timeout") {
		t.Log(errs) // the servers of a busy machine answer late
		code, out, errs = runProgram(t, args)
	}
	if code != exitOK {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	t.Log(out)
	if code, again, errs := runProgram(t, args); code != exitOK || !strings.Contains(again, "; 0 messages") {
		t.Errorf("moved again: exit %d\n%s%s", code, again, errs)
	}

	secret := must[[]byte](t, "secret")(os.ReadFile(filepath.Join(data, "jwt-secret")))
	moved := startOn(t, stack{name: "moved", store: address, secrets: map[string]string{"jwt-secret": string(secret)}}, nil)
	after := views(t, moved.URL, people)
	for i := range before {
		if before[i] != after[i] {
			t.Errorf("%s saw\n%s\nand sees\n%s", people[i].ID, before[i], after[i])
		}
	}
	crowd.check(t, moved)
	continues(t, moved, people, groups)
	if code, _, errs := runProgram(t, args); code != exitInUse || !strings.Contains(errs, "is in use by node") {
		t.Errorf("into a keyspace that is served: exit %d %q", code, errs)
	}
	if err := moved.stop(); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := runProgram(t, args); code != exitFailed || !strings.Contains(errs, "is there with other messages") {
		t.Errorf("into a keyspace that has gone on: exit %d %q", code, errs)
	}
}

// TestMigrateRefuses: what cannot be moved, and why.
func TestMigrateRefuses(t *testing.T) {
	t.Parallel()
	s := start(t, onDisk)
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"a running server's store", []string{"--from", "pebble:" + filepath.Join(s.Data, "store"), "--to", "cassandra://127.0.0.1:1/k"}, exitInUse, "stop that server first"},
		{"nothing", nil, exitUsage, "--store cassandra://… is wanted"},
		{"from nowhere", []string{"--from", "pebble:" + filepath.Join(s.Data, "nothing"), "--to", "cassandra://h/k"}, exitUsage, "--from: "},
		{"from memory", []string{"--from", "memory:", "--to", "cassandra://h/k"}, exitUsage, "--from: pebble:DIR is wanted"},
		{"into a directory", []string{"--from", "pebble:" + s.Data, "--to", "pebble:/x"}, exitUsage, `"pebble:": only cassandra://`},
		{"to without from", []string{"--to", "cassandra://h/k"}, exitUsage, "--to: goes with --from"},
		{"a keyspace that cannot be", []string{"--store", "cassandra://h/K"}, exitUsage, "--store: cassandra: a keyspace's name"},
		{"a password in the address", []string{"--store", "cassandra://u:hidden@h/k"}, exitUsage, "TOLKFLIP_STORE_PASSWORD"},
		{"a store that is not there", []string{"--store", "cassandra://127.0.0.1:1/k"}, exitFailed, "does Cassandra run there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, _, errs := runProgram(t, append([]string{"migrate"}, c.args...))
			if code != c.code || !strings.Contains(errs, c.want) || strings.Contains(errs, "hidden") {
				t.Errorf("exit %d, %q; want %d and %q", code, errs, c.code, c.want)
			}
		})
	}
}

// killMove runs the move in a process of its own and kills it once it has moved some messages.
func killMove(t *testing.T, args []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asServer+"=1")
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make(chan string, 100)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(said)
		b := make([]byte, 4096)
		for {
			n, err := errs.Read(b)
			if n > 0 {
				said <- string(b[:n])
			}
			if err != nil {
				return
			}
		}
	})
	for line := range said {
		t.Log(strings.TrimSpace(line))
		if strings.Contains(line, "  messages ") { // it tells how far it is every two seconds
			_ = cmd.Process.Kill() // it may have ended
		}
	}
	reading.Wait()
	_ = cmd.Wait() // killed
}

// town lets people chat, in pairs and in a group, and do what else is kept.
func town(t *testing.T, s *testServer) (people []person, groups []string) {
	t.Helper()
	var numbers phones
	for i := range 6 {
		people = append(people, must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), fmt.Sprint("person ", i))))
	}
	do := func(method, path string, as int, body map[string]any) map[string]any {
		t.Helper()
		var in any
		if body != nil {
			in = body
		}
		status, out, err := call(t.Context(), method, s.URL+path, people[as].Token, in)
		if err != nil || status >= 300 {
			t.Fatalf("%s %s: %d %v %v", method, path, status, out, err)
		}
		return out
	}
	g := do("POST", "/api/groups", 0, map[string]any{"name": "town", "memberIds": []string{people[1].ID, people[2].ID, people[3].ID}})
	groups = append(groups, fmt.Sprint(g["groupId"]))
	for i := range 20 {
		from, to := i%6, (i+1+i/6)%6
		if from != to {
			sent := do("POST", "/api/messages", from, map[string]any{"receiverId": people[to].ID, "content": fmt.Sprint("direct ", i)})
			if i%3 == 0 {
				do("POST", "/api/chat/threads/"+fmt.Sprint(sent["threadId"])+"/read", to, map[string]any{})
			}
			if i%4 == 0 {
				do("POST", "/api/chat/threads/"+fmt.Sprint(sent["threadId"])+"/settings", from, map[string]any{"showOriginal": false, "preferredLanguage": "de"})
			}
		}
		do("POST", "/api/messages", i%4, map[string]any{"threadId": groups[0], "content": fmt.Sprint("to all ", i)})
	}
	do("PUT", "/api/users/"+people[2].ID+"/profile", 2, map[string]any{"bio": "moved house"})
	do("POST", "/api/users/device-token", 3, map[string]any{"token": "push-token-of-3", "platform": "ios"})
	do("DELETE", "/api/groups/"+groups[0]+"/members/"+people[3].ID, 0, nil)
	if code, _, errs := runProgram(t, []string{"user", "kick", people[5].ID, "--data", s.Data}); code != exitOK {
		t.Fatal(errs)
	}
	return people, groups
}

// views is all that each person can read.
func views(t *testing.T, base string, people []person) (views []string) {
	t.Helper()
	for _, p := range people {
		var all strings.Builder
		look := func(path string) map[string]any {
			status, out, err := call(t.Context(), "GET", base+path, p.Token, nil)
			if err != nil {
				t.Fatal(err)
			}
			b := must[[]byte](t, "encode")(json.MarshalIndent(out, "", " "))
			fmt.Fprintf(&all, "%s %d %s\n", path, status, b)
			return out
		}
		look("/api/users/profile/" + p.ID)
		look("/api/users/contacts")
		look("/api/users/" + p.ID + "/groups")
		list, _ := look("/api/chat/threads?limit=50")["threads"].([]any)
		for _, row := range list {
			thread, _ := row.(map[string]any)
			for _, key := range []string{"id", "threadId", "thread_id"} {
				if v, ok := thread[key].(string); ok {
					look("/api/chat/threads/" + v + "/messages?limit=100")
					look("/api/chat/threads/" + v + "/settings")
					break
				}
			}
		}
		views = append(views, all.String())
	}
	return views
}

// continues writes on where the old installation stopped.
func continues(t *testing.T, s *testServer, people []person, groups []string) {
	t.Helper()
	sock := must[*socket](t, "connect")(connect(t.Context(), s.URL, people[0].Token, nil))
	defer sock.close()
	if f, err := sock.deliver(map[string]any{"action": "send_message", "threadId": groups[0], "content": "we have moved"}); err != nil || f.Seq != 21 {
		t.Errorf("the group goes on with %+v %v, want seq 21", f, err)
	}
	if status, out, err := call(t.Context(), "GET", s.URL+"/api/chat/threads", people[5].Token, nil); err != nil || status != 401 {
		t.Errorf("the token of one who was kicked gets %d %v %v", status, out, err)
	}
	status, out, err := call(t.Context(), "POST", s.URL+"/api/auth/request-code", "", map[string]any{"phone_number": people[4].Phone})
	if err != nil || status != 200 {
		t.Fatalf("request-code: %d %v %v", status, out, err)
	}
	if again, err := register(t.Context(), s.URL, people[4].Phone, ""); err != nil || again.ID != people[4].ID {
		t.Errorf("who logs in by phone is %+v %v, want %s", again, err, people[4].ID)
	}
}

// horde is what fillStore has written.
type horde struct {
	threads map[id.Thread][]store.Message // the first and the last of each
	per     int
}

// fillStore writes threads of so many messages into a store that no server has open.
func fillStore(t *testing.T, dir string, threads, per int) horde {
	t.Helper()
	cfg := pebble.Default()
	cfg.Dir = dir
	p := must[*pebble.Store](t, "open")(pebble.Open(cfg, slog.New(slog.DiscardHandler), nil))
	defer p.Close()
	h := horde{threads: map[id.Thread][]store.Message{}, per: per}
	var done sync.WaitGroup
	for range threads {
		a, b := id.NewUser(), id.NewUser()
		for i, u := range []id.User{a, b} {
			if err := p.Users().Create(t.Context(), store.User{ID: u, Phone: fmt.Sprintf("+1666%07d", rand.IntN(1e7)), Name: fmt.Sprint("one of many ", i), Created: time.Now().UnixMilli()}); err != nil && !errors.Is(err, store.ErrConflict) {
				t.Fatal(err)
			}
		}
		thread := id.Direct(a, b)
		for i := range per {
			m := store.Message{
				ID: id.Message{ID: id.NewGroup().ID}, Thread: thread, Sender: a, Receiver: b, Sent: time.Now().UnixMilli(),
				ClientID: fmt.Append(nil, i), Content: fmt.Append(nil, "message ", i, strings.Repeat(" and more", i%30)), Language: []byte("en"),
			}
			if i == 0 || i == per-1 {
				m := m
				m.Seq = uint64(i + 1)
				h.threads[thread] = append(h.threads[thread], m)
			}
			done.Add(1)
			p.Log().Append(&store.Entry{Message: m, Done: func(e *store.Entry) {
				if e.Err != nil {
					t.Error(e.Err)
				}
				done.Done()
			}})
			if i%256 == 0 {
				done.Wait()
			}
		}
	}
	done.Wait()
	return h
}

// check reads ends and middles of the threads, and looks ids up.
func (h horde) check(t *testing.T, s *testServer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	log := s.stores.log
	for thread, ends := range h.threads {
		head, err := log.Head(ctx, thread)
		if err != nil || head != uint64(h.per) {
			t.Fatalf("head %d %v, want %d", head, err, h.per)
		}
		for _, want := range ends {
			got, err := log.Find(ctx, want.ID)
			if err != nil || got.Seq != want.Seq || got.Sent != want.Sent || !store.SameBody(&got, &want) || !slices.Equal(got.ClientID, want.ClientID) {
				t.Errorf("found %+v %v, want %+v", got, err, want)
			}
		}
		row, err := s.stores.threads.Get(ctx, thread)
		if err != nil || row.Head != head || row.Created != ends[0].Sent || row.Last.Seq != head {
			t.Errorf("thread row %+v %v", row, err)
		}
	}
}
