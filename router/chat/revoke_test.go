package chat

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/token"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/store"
)

// gated is a log whose Append waits.
type gated struct {
	store.Log
	entered, release chan struct{}
	given            atomic.Int64
}

func (g *gated) Append(e *store.Entry) {
	if g.entered != nil {
		g.entered <- struct{}{}
		<-g.release
	}
	g.given.Add(1)
	g.Log.Append(e)
}

// TestSendOfARevokedSession: the log is given nothing of a session once its revocation has returned, though
// the connection is open, and what it was being given when the revocation came is given by then.
func TestSendOfARevokedSession(t *testing.T) {
	t.Parallel()
	for _, whole := range []bool{false, true} {
		for range 50 { // who is first is not the test's to say
			sendWhileRevoked(t, whole)
		}
	}
}

func sendWhileRevoked(t *testing.T, whole bool) {
	ctx := context.Background()
	w := newWorld(t, nil)
	log := &gated{Log: w.mem.Log()}
	w.store.Log = log
	signer, err := token.NewSigner([]byte("0123456789abcdef-a test's secret-0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	gate, err := router.NewGate(ctx, signer, w.mem.Sessions(), w.router, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	ann, bob := w.user(), w.user()
	a := w.connect(ann)
	now := time.Now().UnixMilli()
	if _, err := w.mem.Sessions().Open(ctx, store.Session{ID: a.Session, User: ann, Created: now - 1, Expires: now + 3_600_000}, 3); err != nil {
		t.Fatal(err)
	}
	w.Send(a, &proto.Request{Receiver: bob, Draft: text("before")})
	one[*proto.MessageSent](w, a)

	log.entered, log.release = make(chan struct{}), make(chan struct{})
	sent, revoked := make(chan struct{}), make(chan int64)
	go func() {
		w.Send(a, &proto.Request{Receiver: bob, Draft: text("meanwhile")})
		close(sent)
	}()
	<-log.entered
	go func() {
		r := store.Revocation{User: ann, Session: a.Session, At: now, Expires: now + 3_600_000}
		if whole {
			r.Session = id.Session{}
		}
		if err := gate.Revoke(ctx, r); err != nil {
			t.Error(err)
		}
		revoked <- log.given.Load()
	}()
	for gate.Len() == 0 {
		runtime.Gosched()
	}
	close(log.release)
	if n := <-revoked; n != 2 {
		t.Errorf("the revocation returned when the log had been given %d of 2 messages", n)
	}
	<-sent
	log.entered = nil
	w.slot++
	open := router.Caller{Conn: w.loops.Caller(w.slot, ann).Conn, User: ann, Session: a.Session} // not closed yet
	w.Send(open, &proto.Request{Ref: []byte("9"), Receiver: bob, Draft: proto.Draft{ClientID: []byte("late"), Content: []byte("late")}})
	got := one[*proto.MessageError](w, open)
	if got.Err.Code != proto.Unauthenticated || string(got.Ref) != "9" || string(got.ClientID) != "late" || log.given.Load() != 2 {
		t.Errorf("%+v, and the log was given %d", got, log.given.Load())
	}
}
