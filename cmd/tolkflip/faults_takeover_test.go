package main

import (
	"context"
	"errors"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// TestTakeOver stops a server (SIGSTOP) under 60 people, starts another on the same keyspace, which takes
// over and serves them, and lets the first go on. The first acks nothing more, closes its sockets and
// exits with 5; what both said is one log.
func TestTakeOver(t *testing.T) {
	window := faultWindow(t)
	w := newWreck(t, "cassandra", "redis", "minio")
	w.migrate("take_over")
	first := w.serve(filepath.Join(t.TempDir(), "first"), "take_over", "redis")
	tr := &trial{t: t, w: w, child: first, window: window, crowd: newCrowd(t, first.URL, 60, 200*time.Millisecond)}
	tr.crowd.start()
	tr.progress(t)
	refuses(t, w, first)
	pause(t.Context(), window/2)

	left := newLeft(t, tr.crowd)
	if err := first.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	left.write(t)
	tr.child = w.serve(filepath.Join(t.TempDir(), "second"), "take_over", "redis", "--take-over")
	tr.crowd.move(tr.child.URL)
	tr.progress(t)
	tr.crowd.drops.Store(0) // those of the move
	pause(t.Context(), window/2)

	if err := first.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	left.end(t)
	var exit *exec.ExitError
	if err := first.cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitDeposed {
		t.Errorf("the first server ended with %v, want exit code %d", err, exitDeposed)
	}
	pause(t.Context(), window/2)
	tr.progress(t)
	tr.ask(t, http.StatusOK, "GET", "/ready", "", nil)
	if n := tr.crowd.drops.Load(); n != 0 {
		t.Errorf("%d sockets of the second server were lost", n)
	}
	tr.end(t)
}

// refuses checks that a server which does not ask to take over is refused, and told who is there.
func refuses(t *testing.T, w *wreck, living *child) {
	t.Helper()
	env, args := w.settings("take_over", "redis")
	cmd := childCommand(env, filepath.Join(t.TempDir(), "refused"), args...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitInUse || !strings.Contains(string(out), living.data) {
		t.Errorf("a second server beside a living one: %v\n%s", err, out)
	}
}

// left are people's second sockets, which stay with a server that is deposed.
type left struct {
	people []*chatter
	socks  []*socket
}

func newLeft(t *testing.T, c *crowd) *left {
	t.Helper()
	l := &left{people: c.people[:20]}
	for _, p := range l.people {
		l.socks = append(l.socks, must[*socket](t, "connect")(connect(t.Context(), *c.base.Load(), p.Token, nil)))
	}
	return l
}

// write sends a message on each socket, which the server reads when it goes on.
func (l *left) write(t *testing.T) {
	t.Helper()
	for i, p := range l.people {
		p.crowd.unawaited++
		if err := l.socks[i].send(p.compose("left", p.corners[0])); err != nil {
			t.Error(err)
		}
	}
}

// end reads to the end of each socket: no ack, and then the news that this server is going.
func (l *left) end(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for i, sock := range l.socks {
		stop := context.AfterFunc(ctx, sock.close) // it would stay for ever
		for {
			f, err := sock.receive()
			if err == nil {
				if f.Type == "message_sent" {
					t.Errorf("a deposed server acked a message of %s", l.people[i].ID)
				}
				continue
			}
			var c closed
			if !errors.As(err, &c) || c.code != ws.StatusGoingAway {
				t.Errorf("a deposed server's socket ended with %v, want a close with 1001", err)
			}
			break
		}
		stop()
		sock.close()
	}
}
