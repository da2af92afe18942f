package conn

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/ws"
)

// frame is one encoded WebSocket frame: bytes that are ready to be written, shared by all connections
// that they go to, and immutable from the moment that the first of them can see it. It is counted: each
// inbox item and each place in an outbound list or a hold owns one reference. The last release gives the
// memory back, so a delivered message allocates nothing.
type frame struct {
	bytes []byte // header and payload; in a control frame of ours just these
	buf   []byte // the memory that bytes is cut from
	refs  atomic.Int32

	bulk   bool      // goes to so many that other output passes it
	live   bool      // a live message of thread, which a hold may keep back
	thread id.Thread // set when live, as seq
	seq    uint64
}

// frames is the pool of frames, by the size class of their memory. Any goroutine may use it.
type frames struct {
	classes [numClasses]sync.Pool // of *frame
}

// get gives a frame with room for about n payload bytes and one reference.
func (p *frames) get(n int) *frame {
	c := min(classFor(n+ws.MaxHeader), numClasses-1)
	f, ok := p.classes[c].Get().(*frame)
	if !ok {
		f = &frame{buf: make([]byte, 0, 1<<(minClass+c))}
	}
	f.refs.Store(1)
	return f
}

// release gives up n references.
func (p *frames) release(f *frame, n int32) {
	if f.refs.Add(-n) != 0 {
		return
	}
	f.bytes, f.live, f.bulk = nil, false, false
	// Memory that an encoder enlarged is filed under the class that it holds by now.
	if c := bits.Len(uint(cap(f.buf))) - 1 - minClass; c >= 0 && c < numClasses {
		p.classes[c].Put(f)
	}
}

// event encodes ev in a dialect, with one reference.
func (p *frames) event(d dialect, ev proto.Event) *frame {
	f := p.get(sizeOf(ev))
	b := d.append(f.buf[:ws.MaxHeader], ev)
	start := ws.PutHeader(b, d.op(), len(b)-ws.MaxHeader)
	f.buf, f.bytes = b[:0], b[start:]
	if m, ok := ev.(*proto.NewMessage); ok {
		f.live, f.thread, f.seq = true, m.Message.Thread, m.Message.Seq
	}
	return f
}

// closing is a close frame.
func (p *frames) closing(code uint16, reason string) *frame {
	f := p.get(ws.MaxControl)
	f.bytes = ws.AppendClose(f.buf[:0], code, reason)
	return f
}

// sizeOf guesses the encoded size of an event in bytes. Too small costs an allocation, too large memory.
func sizeOf(ev proto.Event) int {
	switch e := ev.(type) {
	case *proto.NewMessage:
		return sizeOfMessage(e.Message)
	case *proto.HistoryPage:
		n := 256
		for i := range e.Messages {
			n += sizeOfMessage(&e.Messages[i])
		}
		return n
	case *proto.Resumed:
		return 128 + len(e.Threads)*96
	default:
		return 400
	}
}

func sizeOfMessage(m *proto.Message) int {
	n := 420 + len(m.Content) + len(m.Content)/16 + len(m.Encrypted) + len(m.ClientID)
	for _, u := range m.MediaURLs {
		n += len(u) + 8
	}
	return n
}
