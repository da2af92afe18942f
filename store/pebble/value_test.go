package pebble

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// codecs are all encodings of values: each decodes, and encodes again what it could decode.
func codecs() map[string]func(v []byte) (again []byte, err error) {
	u, g, s := id.NewUser(), id.NewGroup(), id.NewSession()
	return map[string]func([]byte) ([]byte, error){
		"message": func(v []byte) ([]byte, error) {
			var m store.Message
			err := decodeMessage(&m, g, 7, v)
			if err != nil {
				return nil, err
			}
			n, flags := messageLen(&m)
			b := appendMessage(nil, &m, flags)
			if len(b) != n {
				return []byte("the length was not foreseen"), nil
			}
			return b, nil
		},
		"id": func(v []byte) ([]byte, error) {
			t, seq, err := decodeIDValue(v)
			return appendIDValue(nil, t, seq), err
		},
		"thread": func(v []byte) ([]byte, error) {
			r, err := decodeThreadRow(v)
			return r.encode(), err
		},
		"settings": func(v []byte) ([]byte, error) {
			r, err := decodeSettings(v)
			return encodeSettings(&r), err
		},
		"cursor": func(v []byte) ([]byte, error) {
			c, err := decodeCursor(v)
			return encodeCursor(c), err
		},
		"user": func(v []byte) ([]byte, error) {
			r, err := decodeUser(u, v)
			return encodeUser(&r), err
		},
		"session": func(v []byte) ([]byte, error) {
			r, err := decodeSession(u, s, v)
			return encodeSession(&r), err
		},
		"group": func(v []byte) ([]byte, error) {
			r, err := decodeGroup(g, v)
			return encodeGroup(&r), err
		},
		"member": func(v []byte) ([]byte, error) {
			r, err := decodeMember(g, u, v)
			return encodeMember(&r), err
		},
		"device": func(v []byte) ([]byte, error) {
			r, err := decodeDevice(u, "t", v)
			return encodeDevice(&r), err
		},
		"media": func(v []byte) ([]byte, error) {
			r, err := decodeMedia(id.Media(s), v)
			return encodeMedia(&r), err
		},
		"time": func(v []byte) ([]byte, error) {
			ms, err := decodeTime(v)
			return encodeTime(ms), err
		},
	}
}

// samples are values of each encoding, empty and full.
func samples() map[string][][]byte {
	u, g := id.NewUser(), id.NewGroup()
	full := store.Message{
		ID: id.Message(g), Sender: u, Receiver: u, Type: proto.VoiceNote, Sent: -5, ClientID: []byte("c"),
		Content: bytes.Repeat([]byte("x"), 300), Language: []byte("en"), Encrypted: []byte("e"),
		MediaURLs: [][]byte{[]byte("a"), []byte("b")}, ReplyTo: id.Message(g),
	}
	message := func(m *store.Message) []byte {
		_, flags := messageLen(m)
		return appendMessage(nil, m, flags)
	}
	return map[string][][]byte{
		"message":  {message(&full), message(&store.Message{})},
		"id":       {appendIDValue(nil, g, 1), appendIDValue(nil, g, 1<<64-1)},
		"thread":   {(&threadRow{group: true, created: 5, listed: -5}).encode(), (&threadRow{a: u, b: u}).encode()},
		"settings": {encodeSettings(&store.ThreadSettings{}), encodeSettings(&store.ThreadSettings{PreferredLanguage: "de", DetectEmotion: true})},
		"cursor":   {encodeCursor(store.Cursor{}), encodeCursor(store.Cursor{Delivered: 1 << 40, Read: 3})},
		"user": {encodeUser(&store.User{}), encodeUser(&store.User{
			Phone: "+1", Name: "n", Bio: "b", Languages: []string{"a", ""}, Blocked: true, Created: 1, LastActive: 2,
		})},
		"session": {encodeSession(&store.Session{}), encodeSession(&store.Session{Device: "d", Created: 1, Expires: 2, Refresh: [16]byte{1}})},
		"group": {encodeGroup(&store.Group{}), encodeGroup(&store.Group{
			Name: "n", CreatedBy: u, Members: 10_000, Settings: map[string]string{"a": "b", "c": ""},
		})},
		"member": {encodeMember(&store.Member{}), encodeMember(&store.Member{Role: store.Admin, Joined: 9, Language: "en"})},
		"device": {encodeDevice(&store.Device{}), encodeDevice(&store.Device{Platform: "ios", Added: 4})},
		"media": {encodeMedia(&store.Media{}), encodeMedia(&store.Media{
			Owner: u, Thread: g, Name: "n", Type: "image/png", Size: 1 << 40, Width: 3, Height: 4,
			Key: "a/b", Thumbnail: "a/c", Created: -1,
		})},
		"time": {encodeTime(0), encodeTime(1 << 60)},
	}
}

func TestValuesRoundTrip(t *testing.T) {
	t.Parallel()
	for name, again := range codecs() {
		for _, v := range samples()[name] {
			b, err := again(v)
			if err != nil || !bytes.Equal(b, v) {
				t.Errorf("%s: %x became %x, %v", name, v, b, err)
			}
			for n := range v { // every shorter one is refused, save a message, whose content is the rest
				if _, err := again(v[:n]); err == nil && name != "message" {
					t.Errorf("%s: the first %d of %d bytes were read", name, n, len(v))
				}
			}
			wrong := bytes.Clone(v)
			wrong[0] = 99
			if _, err := again(wrong); err == nil {
				t.Errorf("%s: a later version was read", name)
			}
			if _, err := again(append(bytes.Clone(v), 0)); err == nil && name != "message" {
				t.Errorf("%s: a rest was passed over", name)
			}
		}
	}
}

// FuzzDecode gives every decoder anything: it must say no, or read something that encodes and reads again
// to the same.
func FuzzDecode(f *testing.F) {
	for _, values := range samples() {
		for _, v := range values {
			f.Add(v)
		}
	}
	all := codecs()
	f.Fuzz(func(t *testing.T, v []byte) {
		for name, again := range all {
			first, err := again(v)
			if err != nil {
				continue
			}
			second, err := again(first)
			if err != nil || !bytes.Equal(first, second) {
				t.Fatalf("%s: %x read as %x, which reads as %x, %v", name, v, first, second, err)
			}
		}
	})
}

func FuzzPosition(f *testing.F) {
	f.Add(position{5, id.NewGroup()}.encode())
	f.Fuzz(func(t *testing.T, v []byte) {
		if p, err := decodePosition(v); err == nil && !bytes.Equal(p.encode(), v) {
			t.Fatalf("%x read as %x", v, p.encode())
		}
	})
}

// TestKeyOrder compares the order of keys with the order of what they hold.
func TestKeyOrder(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	u, g := id.NewUser(), id.NewGroup()
	times := []int64{-1 << 63, -5, -1, 0, 1, 1 << 40, 1<<63 - 1}
	for range 1000 {
		a, b := times[rng.IntN(len(times))], times[rng.IntN(len(times))]
		if want, got := -compare(a, b), bytes.Compare(recencyKey(u, a, g), recencyKey(u, b, g)); got != want {
			t.Fatalf("recency of %d and %d: %d, want %d", a, b, got, want)
		}
		if want, got := compare(a, b), bytes.Compare(revocationKey(a, u, id.Session{}, 0), revocationKey(b, u, id.Session{}, 0)); got != want {
			t.Fatalf("revocations that expire at %d and %d: %d, want %d", a, b, got, want)
		}
		if at, thread := recencyOf(recencyKey(u, a, g)); at != a || thread != g {
			t.Fatalf("recency of %d read as %d", a, at)
		}
		x, y := rng.Uint64(), rng.Uint64()
		if want, got := compare(x, y), bytes.Compare(messageKey(g, x), messageKey(g, y)); got != want {
			t.Fatalf("messages %d and %d: %d", x, y, got)
		}
	}
	r := store.Revocation{User: u, Session: id.NewSession(), At: -4, Expires: 9}
	if got, err := decodeRevocation(revocationKey(r.Expires, r.User, r.Session, r.At)); err != nil || !reflect.DeepEqual(got, r) {
		t.Fatalf("revocation read as %+v, %v", got, err)
	}
	if end := prefixEnd([]byte{1, 0xff, 0xff}); !bytes.Equal(end, []byte{2}) {
		t.Fatalf("end of a prefix = %x", end)
	}
	if end := prefixEnd([]byte{0xff}); end != nil {
		t.Fatalf("end of the last prefix = %x", end)
	}
}

func compare[V int64 | uint64](a, b V) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
