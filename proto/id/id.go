// Package id holds the identifiers of the product: 16-byte UUIDs that differ by type, so that a thread
// cannot be passed where a user is meant. On the wire each is the lower-case hyphenated form.
package id

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/google/uuid"
)

// ID is what all identifiers share. The zero value means "absent" and encodes as an empty string.
type ID [16]byte

type (
	// User names a person.
	User struct{ ID }
	// Session names one device's login of a user.
	Session struct{ ID }
	// Thread names a conversation: UUIDv8 of both users when direct, the group's id when a group.
	Thread struct{ ID }
	// Message names one message in one thread.
	Message struct{ ID }
	// Media names one uploaded file.
	Media struct{ ID }
)

// ErrSyntax is what Parse reports of anything but a hyphenated UUID.
var ErrSyntax = errors.New("not a UUID")

// Parse reads the 36-character hyphenated form, in either case, without allocating.
func Parse[S ~string | ~[]byte](s S) (ID, error) {
	var v ID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return ID{}, ErrSyntax
	}
	at := 0
	for i := range v {
		if at == 8 || at == 13 || at == 18 || at == 23 {
			at++
		}
		hi, lo := nibble(s[at]), nibble(s[at+1])
		if hi > 15 || lo > 15 {
			return ID{}, ErrSyntax
		}
		v[i] = hi<<4 | lo
		at += 2
	}
	return v, nil
}

func nibble(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	default:
		return 255
	}
}

// IsZero reports whether the id is absent.
func (v ID) IsZero() bool { return v == ID{} }

// Append adds the 36-character form to dst; an absent id adds nothing.
func (v ID) Append(dst []byte) []byte {
	if v.IsZero() {
		return dst
	}
	var b [36]byte
	hex.Encode(b[:8], v[:4])
	hex.Encode(b[9:13], v[4:6])
	hex.Encode(b[14:18], v[6:8])
	hex.Encode(b[19:23], v[8:10])
	hex.Encode(b[24:], v[10:])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return append(dst, b[:]...)
}

// String is the hyphenated form.
func (v ID) String() string { return string(v.Append(nil)) }

// MarshalText writes the hyphenated form, or nothing for an absent id.
func (v ID) MarshalText() ([]byte, error) { return v.Append(nil), nil }

// UnmarshalText reads the hyphenated form; an empty text is an absent id.
func (v *ID) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*v = ID{}
		return nil
	}
	p, err := Parse(b)
	if err != nil {
		return err
	}
	*v = p
	return nil
}

// NewUser makes a random (v4) user id: it says nothing of when the account was made.
func NewUser() User { return User{ID(uuid.New())} }

// NewSession makes a random session id.
func NewSession() Session { return Session{ID(uuid.New())} }

// NewMedia makes a random id for an uploaded file: it cannot be guessed, and says nothing of when.
func NewMedia() Media { return Media{ID(uuid.New())} }

// NewGroup makes the thread id of a new group.
func NewGroup() Thread { return Thread{ID(uuid.New())} }

// NewMessage makes a time-ordered (v7) message id for senders that give no id of their own.
func NewMessage() (Message, error) {
	u, err := uuid.NewV7()
	return Message{ID(u)}, err
}

// Direct is the thread of two people, the same whoever writes first: a UUIDv8 (RFC 9562, section 5.8)
// hashed from both ids in byte order.
func Direct(a, b User) Thread {
	lo, hi := a.ID, b.ID
	if string(lo[:]) > string(hi[:]) {
		lo, hi = hi, lo
	}
	var in [7 + 32]byte
	copy(in[:], "direct:")
	copy(in[7:], lo[:])
	copy(in[23:], hi[:])
	return Thread{hashed(in[:])}
}

// ClientMessage is the id of the message that sender calls clientID (at most 64 bytes): a retry, on any
// node and after any loss, names the same message.
func ClientMessage(sender User, clientID []byte) Message {
	var in [8 + 16 + 64]byte
	copy(in[:], "message:")
	copy(in[8:], sender.ID[:])
	n := 24 + copy(in[24:], clientID)
	return Message{hashed(in[:n])}
}

// LegacySession is the session of a token that names none: hashed from its user and issue time in seconds.
func LegacySession(u User, issuedAt int64) Session {
	var in [8 + 16 + 8]byte
	copy(in[:], "session:")
	copy(in[8:], u.ID[:])
	for i := range 8 {
		in[24+i] = byte(issuedAt >> (56 - 8*i))
	}
	return Session{hashed(in[:])}
}

func hashed(in []byte) ID {
	sum := sha256.Sum256(in)
	var v ID
	copy(v[:], sum[:16])
	v[6] = v[6]&0x0f | 0x80
	v[8] = v[8]&0x3f | 0x80
	return v
}
