package id

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"
)

const text = "01234567-89ab-4cde-8f01-23456789abcd"

func TestParse(t *testing.T) {
	want := ID{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4c, 0xde, 0x8f, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd}
	for _, s := range []string{text, strings.ToUpper(text), "01234567-89AB-4cDe-8f01-23456789abCD"} {
		got, err := Parse(s)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %s, %v", s, got, err)
		}
		if again, err := Parse([]byte(s)); err != nil || again != want {
			t.Errorf("bytes of %s: %s, %v", s, again, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{
		"", "x", text[:35], text + "0", " " + text[1:], "{" + text + "}", "urn:uuid:" + text, strings.ReplaceAll(text, "-", ""),
		strings.ReplaceAll(text, "-", "_"), "0123456-789ab-4cde-8f01-23456789abcd", "01234567-89ab-4cde-8f0123456789abcd-",
		"g1234567-89ab-4cde-8f01-23456789abcd", "01234567-89ab-4cde-8f01-23456789abc\x00", "0\u0661234567-89ab-4cde-8f01-23456789abc",
	} {
		if v, err := Parse(s); !errors.Is(err, ErrSyntax) || !v.IsZero() {
			t.Errorf("%q: %v, %v", s, v, err)
		}
	}
	for i := range text { // each byte is looked at
		for _, c := range []byte{'g', 'G', '-', '/', ':', '@', '`', 0, 0xff} {
			b := []byte(text)
			if b[i] == c {
				continue
			}
			b[i] = c
			if _, err := Parse(b); err == nil {
				t.Errorf("%q was taken", b)
			}
		}
	}
}

func TestZeroIsAbsent(t *testing.T) {
	var v ID
	if !v.IsZero() || v.String() != "" || string(v.Append([]byte("x"))) != "x" {
		t.Errorf("%q", v.String())
	}
	if v, err := Parse("00000000-0000-0000-0000-000000000000"); err != nil || !v.IsZero() {
		t.Errorf("the nil UUID: %v, %v", v, err)
	}
}

func TestJSON(t *testing.T) {
	type record struct {
		User  User   `json:"user"`
		Reply Thread `json:"reply"`
	}
	v, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	in := record{User: User{v}}
	b, err := json.Marshal(in)
	if want := `{"user":"` + text + `","reply":""}`; err != nil || string(b) != want {
		t.Errorf("%s, %v; want %s", b, err, want)
	}
	out := record{Reply: Thread{v}}
	if err := json.Unmarshal(b, &out); err != nil || out != in {
		t.Errorf("%+v, %v", out, err)
	}
	for _, bad := range []string{`"x"`, `1`, `{}`} {
		if err := json.Unmarshal([]byte(`{"user":`+bad+`}`), &out); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestNewIDs(t *testing.T) {
	message, err := NewMessage()
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]struct {
		id      ID
		version uuid.Version
	}{
		"user": {NewUser().ID, 4}, "session": {NewSession().ID, 4}, "group": {NewGroup().ID, 4}, "message": {message.ID, 7},
		"direct": {Direct(NewUser(), NewUser()).ID, 8}, "client": {ClientMessage(NewUser(), []byte("c")).ID, 8},
		"legacy": {LegacySession(NewUser(), 1).ID, 8},
	} {
		u := uuid.UUID(v.id)
		if u.Version() != v.version || u.Variant() != uuid.RFC4122 {
			t.Errorf("%s: %s has version %d and variant %v", name, u, u.Version(), u.Variant())
		}
	}
	seen := map[ID]bool{}
	for range 100 {
		m, err := NewMessage()
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []ID{NewUser().ID, NewSession().ID, NewGroup().ID, m.ID} {
			if seen[v] {
				t.Fatalf("%s came twice", v)
			}
			seen[v] = true
		}
	}
}

// The hashed ids are stored and compared by other nodes and versions: they must never change.
func TestHashedIDsStayAsTheyAre(t *testing.T) {
	a, b := User{ID{1}}, User{ID{2}}
	for _, test := range []struct{ name, got, want string }{
		{"direct", Direct(a, b).String(), "c010a7e8-4538-82b5-9c6e-d2b455285434"},
		{"message", ClientMessage(a, []byte("c-1")).String(), "db02d3b2-6683-8297-afff-fc53ecbd8c8a"},
		{"session", LegacySession(a, 1764000000).String(), "907c472e-bea8-832e-be3a-b9f351294c83"},
	} {
		if test.got != test.want {
			t.Errorf("%s: %s, want %s", test.name, test.got, test.want)
		}
	}
}

func TestHashedIDsDiffer(t *testing.T) {
	a, b, c := User{ID{1}}, User{ID{2}}, User{ID{3}}
	if Direct(a, b) != Direct(b, a) {
		t.Error("a direct thread depends on who writes first")
	}
	long := bytes.Repeat([]byte("x"), 64)
	seen := map[ID]string{}
	for name, v := range map[string]ID{
		"a and b": Direct(a, b).ID, "a and c": Direct(a, c).ID, "b and c": Direct(b, c).ID, "a and a": Direct(a, a).ID,
		"a's empty": ClientMessage(a, nil).ID, "a's 1": ClientMessage(a, []byte("1")).ID, "a's 2": ClientMessage(a, []byte("2")).ID,
		"a's 1 and NUL": ClientMessage(a, []byte("1\x00")).ID, "b's 1": ClientMessage(b, []byte("1")).ID,
		"a's of 64": ClientMessage(a, long).ID, "a's of 63": ClientMessage(a, long[:63]).ID,
		"a at 1": LegacySession(a, 1).ID, "a at 256": LegacySession(a, 256).ID, "a at -1": LegacySession(a, -1).ID, "b at 1": LegacySession(b, 1).ID,
	} {
		if other, ok := seen[v]; ok {
			t.Errorf("%s and %s have the same id", name, other)
		}
		seen[v] = name
	}
}

func FuzzParse(f *testing.F) {
	f.Add(text)
	f.Add(strings.ToUpper(text))
	f.Add("00000000-0000-0000-0000-000000000000")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := Parse(s)
		ref, refErr := uuid.Parse(s)
		if want := refErr == nil && len(s) == 36; (err == nil) != want {
			t.Fatalf("%q: %v, google/uuid says %v", s, err, refErr)
		}
		if err != nil {
			return
		}
		if [16]byte(v) != [16]byte(ref) || !v.IsZero() && v.String() != ref.String() {
			t.Fatalf("%q: %s, google/uuid reads %s", s, v, ref)
		}
		if again, err := Parse(v.Append(nil)); !v.IsZero() && (err != nil || again != v) {
			t.Fatalf("%q: %s, %v", s, again, err)
		}
	})
}
