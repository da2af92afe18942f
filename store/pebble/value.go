package pebble

import (
	"encoding/binary"
	"errors"

	"github.com/tolkflip/tolkflip/proto/id"
)

// A value begins with the version of its encoding; numbers are varints, texts are length and bytes, ids
// are 16 bytes. Each record's two functions stand beside the aggregate that they belong to.

// errCorrupt says that a stored value cannot be read. What is wrapped around it names the table only.
var errCorrupt = errors.New("pebble: stored value cannot be read")

const valueV1 = 1

func appendText[S ~string | ~[]byte](b []byte, s S) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// reader takes a value apart. After the first thing that is not there, bad stays set and all that is
// read is zero.
type reader struct {
	b   []byte
	bad bool
}

// read begins a value of version 1.
func read(b []byte) reader {
	if len(b) == 0 || b[0] != valueV1 {
		return reader{bad: true}
	}
	return reader{b: b[1:]}
}

// end reports what was wrong; a rest is wrong too.
func (r *reader) end() error {
	if r.bad || len(r.b) > 0 {
		return errCorrupt
	}
	return nil
}

func (r *reader) fail() {
	r.bad, r.b = true, nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) id() (v id.ID) {
	if len(r.b) < len(v) {
		r.fail()
		return v
	}
	copy(v[:], r.b)
	r.b = r.b[len(v):]
	return v
}

// bytes gives a text that aliases the value.
func (r *reader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) text() string { return string(r.bytes()) }

// count reads how many items follow, each of at least one byte.
func (r *reader) count() int {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n)
}
