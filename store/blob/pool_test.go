package blob

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/store"
)

func testPool(t testing.TB, blocks, partBlocks int) *pool {
	t.Helper()
	p, err := newPool(blocks*blockBytes, partBlocks*blockBytes, prometheus.NewCounter(prometheus.CounterOpts{Name: "w"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

// take tries to get a block without waiting.
func (l *lease) take() bool {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	return l.p.lends(l)
}

// TestPoolKeepsOnePartPossible fills a pool of 8 blocks with parts of 4.
func TestPoolKeepsOnePartPossible(t *testing.T) {
	t.Parallel()
	p := testPool(t, 8, 4)
	a, b, c := lease{p: p}, lease{p: p}, lease{p: p}
	for i, step := range []struct {
		l  *lease
		ok bool
	}{
		{&a, true}, {&a, true}, {&b, true}, {&b, true}, {&c, true}, // a and b lack 2, 3 are free
		{&c, true},  // all hold 2 and lack 2, 2 are free
		{&a, true},  // a lacks 1, 1 is free: it is a's
		{&b, false}, // else nobody could end
		{&c, false}, //
		{&a, true},  // complete
		{&a, false}, // none is left
		{&b, false}, {&c, false},
	} {
		if step.l.take() != step.ok {
			t.Fatalf("step %d: not %v", i, step.ok)
		}
	}
	a.release()
	for _, l := range []*lease{&b, &c} {
		for range 2 {
			if !l.take() {
				t.Fatal("what was given back is not lent")
			}
		}
	}
	b.release()
	c.release()
	if now, high := p.lent(); now != 0 || high != 8*blockBytes {
		t.Fatalf("%d bytes are lent, %d were", now, high)
	}
}

// TestPoolServesWhoWaitsLongest gives blocks back one by one.
func TestPoolServesWhoWaitsLongest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := testPool(t, 2, 1)
		first, second := lease{p: p}, lease{p: p}
		if !first.take() || !second.take() {
			t.Fatal("an empty pool lends nothing")
		}
		const waiters = 5
		granted, end := make(chan int, waiters), make(chan struct{})
		for i := range waiters {
			go func() {
				l := lease{p: p}
				if err := l.grow(t.Context()); err != nil {
					t.Error(err)
				}
				granted <- i
				<-end
				l.release()
			}()
			synctest.Wait()
		}
		if len(granted) != 0 || !p.crowded() {
			t.Fatalf("%d were served from nothing", len(granted))
		}
		first.release()
		for i := range waiters {
			synctest.Wait()
			if len(granted) != 1 || <-granted != i {
				t.Fatalf("not %d was served next, alone", i)
			}
			end <- struct{}{}
		}
		second.release()
		synctest.Wait()
		if now, high := p.lent(); now != 0 || high != 2*blockBytes || p.crowded() {
			t.Fatalf("%d bytes are lent, %d were", now, high)
		}
	})
}

// TestPoolNeverDeadlocks lets 200 uploads of all paces share the memory of one part and a half. A deadlock
// ends the bubble with a panic.
func TestPoolNeverDeadlocks(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			p := testPool(t, 30, 20)
			var uploads sync.WaitGroup
			var gaveUp atomic.Int64
			for i := range uint64(200) {
				uploads.Go(func() {
					dice := rand.New(rand.NewPCG(seed, i))
					l := lease{p: p}
					defer l.release()
					ctx := t.Context()
					if dice.IntN(10) == 0 {
						limited, cancel := context.WithTimeout(ctx, time.Duration(dice.IntN(10_000))*time.Millisecond)
						defer cancel()
						ctx = limited
					}
					for range 1 + dice.IntN(3) { // parts
						for range 1 + dice.IntN(20) { // blocks
							if err := l.grow(ctx); err != nil {
								gaveUp.Add(1)
								return
							}
							time.Sleep(time.Duration(dice.IntN(100)) * time.Millisecond) //nolint:forbidigo // of the bubble's clock
						}
						l.release()
					}
				})
			}
			uploads.Wait()
			now, high := p.lent()
			if now != 0 || high > 30*blockBytes || high < 20*blockBytes || len(p.queue) != 0 {
				t.Fatalf("seed %d: %d bytes are lent, %d were, %d wait", seed, now, high, len(p.queue))
			}
			if n := gaveUp.Load(); n == 0 || n > 60 {
				t.Errorf("seed %d: %d gave up", seed, n)
			}
			for _, n := range p.holding {
				if n != 0 {
					t.Fatalf("seed %d: leases are counted that are over: %v", seed, p.holding)
				}
			}
		})
	}
}

// TestPoolGivesUp ends the context of one who waits: it is forgotten, and takes nothing.
func TestPoolGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := testPool(t, 1, 1)
		holder := lease{p: p}
		holder.take()
		reason := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error)
		go func() {
			l := lease{p: p}
			done <- l.grow(ctx)
		}()
		synctest.Wait()
		cancel(reason)
		if err := <-done; !errors.Is(err, reason) {
			t.Fatalf("grow: %v", err)
		}
		holder.release()
		if !holder.take() {
			t.Fatal("the block went to one who had given up")
		}
		holder.release()
	})
}

// TestPoolCloses unmaps the memory when the last part is given back, not before.
func TestPoolCloses(t *testing.T) {
	t.Parallel()
	p := testPool(t, 4, 2)
	l := lease{p: p}
	if err := l.grow(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.close()
	l.room()[0] = 1 // else this would fault
	if err := l.grow(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Fatalf("grow after close: %v", err)
	}
	if p.memory == nil {
		t.Fatal("unmapped under a lease")
	}
	l.release()
	if now, _ := p.lent(); p.memory != nil || now != 0 {
		t.Fatal("still mapped")
	}
}

// TestPoolIsNotResident looks whether memory goes back to the system when nothing is uploaded.
func TestPoolIsNotResident(t *testing.T) {
	t.Parallel()
	p := testPool(t, 16, 16)
	pages := func() (n int) {
		resident := make([]byte, len(p.memory)/4096)
		if _, _, errno := syscall.Syscall(syscall.SYS_MINCORE, uintptr(unsafe.Pointer(&p.memory[0])), uintptr(len(p.memory)), uintptr(unsafe.Pointer(&resident[0]))); errno != 0 {
			t.Fatal(errno)
		}
		for _, r := range resident {
			n += int(r & 1)
		}
		return n
	}
	l := lease{p: p}
	for !l.full() {
		if err := l.grow(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.n += copy(l.room(), bytes.Repeat([]byte{1}, blockBytes))
	}
	if n := pages(); n == 0 {
		t.Fatal("what was written is not resident")
	}
	l.release()
	if n := pages(); n != 0 {
		t.Fatalf("%d pages stay", n)
	}
}

// TestReaderOfALease reads parts of all lengths, twice.
func TestReaderOfALease(t *testing.T) {
	t.Parallel()
	p := testPool(t, 4, 4)
	for _, size := range []int{0, 1, blockBytes - 1, blockBytes, blockBytes + 1, 3*blockBytes + 7, 4 * blockBytes} {
		l := lease{p: p}
		content := make([]byte, size)
		_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(content)
		for rest := content; len(rest) > 0; {
			if len(l.room()) == 0 {
				if err := l.grow(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			n := copy(l.room(), rest)
			l.n += n
			rest = rest[n:]
		}
		r := &reader{l: &l}
		if err := iotest.TestReader(struct{ io.Reader }{r}, content); err != nil {
			t.Fatal(err)
		}
		if at, err := r.Seek(0, io.SeekStart); err != nil || at != 0 {
			t.Fatal(at, err)
		}
		if again, err := io.ReadAll(r); err != nil || !bytes.Equal(again, content) {
			t.Fatalf("%d bytes came again of %d, %v", len(again), size, err)
		}
		var pieces []byte
		l.pieces(func(b []byte) { pieces = append(pieces, b...) })
		if !bytes.Equal(pieces, content) {
			t.Fatal("pieces are other bytes")
		}
		if _, err := r.Seek(0, io.SeekEnd); err == nil {
			t.Fatal("sought from the end")
		}
		l.release()
	}
}
