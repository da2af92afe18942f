package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gobwas/ws"
)

// onDisk makes a test server keep its data in a directory.
func onDisk(c *Config) { c.Store = "" }

func TestKickAndBlock(t *testing.T) { onStacks(t, testKickAndBlock) }

func testKickAndBlock(t *testing.T, on stack) {
	s := startOn(t, on, nil)
	var numbers phones
	p := must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "p"))
	act := func(args ...string) string {
		t.Helper()
		code, out, errs := runProgram(t, append(append([]string{"user"}, args...), "--data", s.Data))
		if code != exitOK {
			t.Fatalf("user %v: exit %d: %s", args, code, errs)
		}
		return out
	}
	for _, do := range []string{"kick", "block"} {
		sock := must[*socket](t, "connect")(connect(t.Context(), s.URL, p.Token, nil))
		if out := act(do, p.Phone); !strings.Contains(out, p.ID) {
			t.Errorf("%s says %q", do, out)
		}
		var c closed
		if _, err := sock.receive(); !errors.As(err, &c) || c.code != 4401 {
			t.Errorf("after %s the socket has %v, want a close with 4401", do, err)
		}
		sock.close()
		if status, out, err := call(t.Context(), "GET", s.URL+"/api/chat/threads", p.Token, nil); err != nil || status != 401 {
			t.Errorf("after %s the token gets %d %v %v", do, status, out, err)
		}
		again, err := register(t.Context(), s.URL, p.Phone, "p")
		if do == "block" {
			if err == nil {
				t.Error("a blocked user logged in")
			}
			act("unblock", p.ID)
			again, err = register(t.Context(), s.URL, p.Phone, "p")
		}
		if err != nil || again.ID != p.ID {
			t.Fatalf("log in after %s: %+v %v", do, again, err)
		}
		p = again
	}
	if code, _, errs := runProgram(t, []string{"user", "kick", "+19999999999", "--data", s.Data}); code != exitFailed || !strings.Contains(errs, "no such user") {
		t.Errorf("kick nobody: exit %d %q", code, errs)
	}
	if code, _, errs := runProgram(t, []string{"user", "kick", p.ID, "--data", t.TempDir()}); code != exitFailed || !strings.Contains(errs, "no server answers") {
		t.Errorf("kick without a server: exit %d %q", code, errs)
	}
}

// TestBackup copies the data of a running server and opens the copy with another.
func TestBackup(t *testing.T) {
	t.Parallel()
	s := start(t, onDisk)
	var numbers phones
	a := must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "a"))
	b := must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "b"))
	write := func(base, content string) (int, map[string]any) {
		status, out, err := call(t.Context(), "POST", base+"/api/messages", a.Token, map[string]any{"receiverId": b.ID, "content": content})
		if err != nil {
			t.Fatal(err)
		}
		return status, out
	}
	_, sent := write(s.URL, "before")
	status, file, err := call(t.Context(), "POST", s.URL+"/api/media/upload", a.Token, map[string]any{"data": "cHJpdmF0ZQ=="})
	if err != nil || status != 200 {
		t.Fatalf("upload: %d %v %v", status, file, err)
	}
	dir := filepath.Join(t.TempDir(), "copy")
	if code, out, errs := runProgram(t, []string{"backup", dir, "--data", s.Data}); code != exitOK || !strings.Contains(out, dir) {
		t.Fatalf("backup: exit %d %q %q", code, out, errs)
	}
	write(s.URL, "after")
	if code, _, errs := runProgram(t, []string{"backup", dir, "--data", s.Data}); code != exitFailed || !strings.Contains(errs, "exists already") {
		t.Errorf("a second backup to the same place: exit %d %q", code, errs)
	}
	again := start(t, func(c *Config) { c.Store, c.Data = "", dir })
	status, out, err := call(t.Context(), "GET", again.URL+"/api/chat/threads/"+fmt.Sprint(sent["threadId"])+"/messages", b.Token, nil)
	if err != nil || status != 200 {
		t.Fatalf("read the copy: %d %v %v", status, out, err)
	}
	if list, _ := out["messages"].([]any); len(list) != 1 || !strings.Contains(fmt.Sprint(list), "before") {
		t.Errorf("the copy has %v", out["messages"])
	}
	if status, out := write(again.URL, "new"); status != 200 {
		t.Errorf("write to the copy: %d %v", status, out)
	}
	request := must[*http.Request](t, "request")(http.NewRequestWithContext(t.Context(), "GET", again.URL+"/api/media/"+fmt.Sprint(file["mediaId"])+"/content", nil))
	request.Header.Set("Authorization", "Bearer "+a.Token)
	answer := must[*http.Response](t, "download")(http.DefaultClient.Do(request))
	defer answer.Body.Close()
	if content := must[[]byte](t, "download")(io.ReadAll(answer.Body)); answer.StatusCode != 200 || string(content) != "private" {
		t.Errorf("a file of the copy: %d %q", answer.StatusCode, content)
	}
}

func TestDataInUse(t *testing.T) {
	t.Parallel()
	s := start(t, onDisk)
	code, _, errs := runProgram(t, []string{"serve", "--data", s.Data, "--port-base", "0"})
	if code != exitInUse || !strings.Contains(errs, fmt.Sprintf("in use by process %d", os.Getpid())) {
		t.Errorf("exit %d %q", code, errs)
	}
	code, _, errs = runProgram(t, []string{"serve", "--data", filepath.Join(t.TempDir(), "other"), "--store", "pebble:" + filepath.Join(s.Data, "store"), "--port-base", "0"})
	if code != exitInUse || !strings.Contains(errs, fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("another data directory on the same store: exit %d %q", code, errs)
	}
}

func TestPortTaken(t *testing.T) {
	t.Parallel()
	l := must[net.Listener](t, "listen")(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	code, _, errs := runProgram(t, []string{"serve", "--data", filepath.Join(t.TempDir(), "d"), "--store", "memory:", "--services", "gateway", "--port-base", port})
	if code != exitFailed || !strings.Contains(errs, "port "+port+" (gateway) is taken") || !strings.Contains(errs, "--port-base") {
		t.Errorf("exit %d %q", code, errs)
	}
}

// TestTerminate stops a server in a process of its own while a socket is open.
func TestTerminate(t *testing.T) {
	t.Parallel()
	c := startChild(t, filepath.Join(t.TempDir(), "data"))
	var numbers phones
	p := must[person](t, "register")(register(t.Context(), c.URL, numbers.number(), "p"))
	sock := must[*socket](t, "connect")(connect(t.Context(), c.URL, p.Token, nil))
	defer sock.close()
	code := make(chan int, 1)
	go func() {
		n, err := c.terminate()
		if err != nil {
			t.Error(err)
		}
		code <- n
	}()
	var end closed
	if _, err := sock.receive(); !errors.As(err, &end) || end.code != ws.StatusGoingAway {
		t.Errorf("the socket has %v, want a close with 1001", err)
	}
	sock.close()
	if n := <-code; n != exitOK {
		t.Errorf("exit %d", n)
	}
}

// TestDiskFull lets the disk of a server fill up and empties it again.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	var full atomic.Bool
	s := start(t, func(c *Config) {
		onDisk(c)
		c.freeBytes = func() (uint64, uint64, error) {
			if full.Load() {
				return 1 << 20, 100 << 30, nil
			}
			return 50 << 30, 100 << 30, nil
		}
	})
	var numbers phones
	a := must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "a"))
	b := must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "b"))
	sock := must[*socket](t, "connect")(connect(t.Context(), s.URL, a.Token, nil))
	defer sock.close()
	n := 0
	write := func() frame {
		t.Helper()
		n++
		if err := sock.send(map[string]any{"action": "send_message", "receiverId": b.ID, "content": "x", "clientMessageId": fmt.Sprint(n)}); err != nil {
			t.Fatal(err)
		}
		for {
			f, err := sock.receive()
			if err != nil {
				t.Fatalf("the socket died: %v", err)
			}
			if f.Type == "message_sent" || f.Type == "message_error" {
				return f
			}
		}
	}
	ready := func() int {
		status, _, err := call(t.Context(), "GET", s.URL+"/ready", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	first := write()
	if first.Type != "message_sent" || ready() != 200 {
		t.Fatalf("with room: %+v, ready %d", first, ready())
	}
	full.Store(true)
	var refused frame
	for refused = write(); refused.Type == "message_sent"; refused = write() { // until the server has looked at its disk
	}
	if refused.Code != "busy" || !refused.Retryable {
		t.Errorf("refused with %+v, want busy and retryable", refused)
	}
	if status := ready(); status != 503 {
		t.Errorf("ready answers %d", status)
	}
	if err := sock.send(map[string]any{"action": "history", "threadId": first.ThreadID}); err != nil {
		t.Fatal(err)
	}
	if page, _, err := sock.until("history"); err != nil || len(page.Messages) == 0 {
		t.Errorf("reading: %+v %v", page, err)
	}
	full.Store(false)
	var again frame
	for again = write(); again.Type == "message_error"; again = write() { // until it has looked again
	}
	if status := ready(); status != 200 {
		t.Errorf("ready answers %d with room again", status)
	}
}
