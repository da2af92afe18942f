package client

import (
	"fmt"
	"reflect"
	"testing"
)

type answers struct{ log []string }

func (a *answers) Connected(*Conn)              { a.log = append(a.log, "connected") }
func (a *answers) Answered(_ *Conn, status int) { a.log = append(a.log, fmt.Sprint(status)) }
func (a *answers) Gone(_ *Conn, err error)      { a.log = append(a.log, err.Error()) }

func TestHTTPReadsAnySplit(t *testing.T) {
	t.Parallel()
	stream := "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX: y\r\n\r\nhelloHTTP/1.1 404 Not Found\r\nContent-Length:0\r\n\r\n"
	for split := range len(stream) {
		got := &answers{}
		c := parked(t, HTTP{Answers: got})
		feed(c, stream[:split], len(stream))
		feed(c, stream[split:], len(stream))
		if want := []string{"200", "404"}; !reflect.DeepEqual(got.log, want) {
			t.Fatalf("split at %d: %q", split, got.log)
		}
		c.Close()
	}
}

func TestHTTPRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 2x0 OK\r\nContent-Length: 1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
	} {
		got := &answers{}
		c := parked(t, HTTP{Answers: got})
		feed(c, bad, len(bad))
		if !c.Gone() || len(got.log) != 1 {
			t.Errorf("%q: %q", bad, got.log)
		}
	}
}
