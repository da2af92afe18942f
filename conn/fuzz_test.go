package conn

import (
	"io"
	"net"
	"testing"

	"github.com/tolkflip/tolkflip/proto/ws"
)

// Whatever a client sends, in two reads, before or after the handshake: no panic, nothing kept.
func FuzzClient(f *testing.F) {
	r := start(f, func(c *Config) { c.MessageBytes = 4 << 10 }, func(rules *fakeRules) { rules.send = rules.echo })
	f.Add(true, []byte(masked(ws.Text, true, `{"action":"ping"}`)), uint16(3))
	f.Add(true, []byte(masked(ws.Text, false, `{"action"`)+masked(ws.Ping, true, "x")+masked(ws.Continuation, true, `:"ping"}`)), uint16(20))
	f.Add(true, []byte(masked(ws.Close, true, "\x03\xe8")), uint16(1))
	f.Add(false, []byte(handshake("/ws?token=tok2")+masked(ws.Text, true, `{"action":"ping"}`)), uint16(50))
	f.Add(false, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), uint16(9))
	r.HTTP("main").Close() // requests are refused
	f.Fuzz(func(t *testing.T, open bool, in []byte, cut uint16) {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		before := handshake("/ws?token=tok1")
		if !open {
			before = ""
		}
		at := min(int(cut), len(in))
		io.WriteString(c, before+string(in[:at]))
		r.settled()
		c.Write(in[at:])
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
		if r.Stats().Panics != 0 {
			t.Fatal(r.logs)
		}
	})
}
