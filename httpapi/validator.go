package httpapi

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"github.com/tolkflip/tolkflip/proto"
)

// Value is a JSON value of any type as it was sent, for the services whose errors repeat it. The zero
// value was not sent.
type Value struct{ raw []byte }

// UnmarshalJSON keeps a copy.
func (v *Value) UnmarshalJSON(b []byte) error {
	v.raw = bytes.Clone(b)
	return nil
}

// MarshalJSON writes the value as it came.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.raw == nil {
		return []byte("null"), nil
	}
	return v.raw, nil
}

// Sent reports whether the key was there with a value other than null.
func (v Value) Sent() bool { return len(v.raw) > 0 && string(v.raw) != "null" }

// Text gives a string's text; ok is false for any other type, and where nothing was sent.
func (v Value) Text() (text string, ok bool) {
	if len(v.raw) == 0 || v.raw[0] != '"' {
		return "", false
	}
	if err := wire.Unmarshal(v.raw, &text); err != nil {
		return "", false
	}
	return text, true
}

// Number gives the digits of a JSON number as they were sent.
func (v Value) Number() (digits string, ok bool) {
	if len(v.raw) == 0 || (v.raw[0] != '-' && (v.raw[0] < '0' || v.raw[0] > '9')) {
		return "", false
	}
	return string(v.raw), true
}

// Texts gives an array's strings; ok is false for any other type, also of an element.
func (v Value) Texts() (list []string, ok bool) {
	if len(v.raw) == 0 || v.raw[0] != '[' {
		return nil, false
	}
	if err := wire.Unmarshal(v.raw, &list); err != nil {
		return nil, false
	}
	return list, true
}

// FieldError is one failed rule about one field of a body, as the auth and user services tell it.
type FieldError struct {
	Type     string `json:"type"` // field
	Value    *Value `json:"value,omitempty"`
	Msg      string `json:"msg"`
	Path     string `json:"path"`
	Location string `json:"location"` // body
}

// FieldErrors is the Replier that lists failed rules, in their order. The zero value has none.
type FieldErrors struct{ list []FieldError }

// maxRepeated is the longest value, in bytes, that an error repeats.
const maxRepeated = 1 << 10

// Add notes that v broke a rule of the field. An empty msg is the clients' "Invalid value".
func (e *FieldErrors) Add(field string, v Value, msg string) {
	if msg == "" {
		msg = "Invalid value"
	}
	f := FieldError{Type: "field", Msg: msg, Path: field, Location: "body"}
	if len(v.raw) > 0 && len(v.raw) <= maxRepeated {
		f.Value = &v
	}
	e.list = append(e.list, f)
}

// Err is e when rules were broken, and nil when none was.
func (e *FieldErrors) Err() error {
	if len(e.list) == 0 {
		return nil
	}
	return e
}

func (e *FieldErrors) Error() string { return "invalid " + e.list[0].Path }

// Reply gives 400 and the list; error, code and field are those of the first.
func (e *FieldErrors) Reply() (int, any) {
	return 400, fieldProblem{
		Errors:  e.list,
		Problem: Problem{Error: e.list[0].Msg, Code: proto.Invalid.String(), Field: e.list[0].Path},
	}
}

type fieldProblem struct {
	Errors []FieldError `json:"errors"`
	Problem
}

// maxName is the longest display name, in characters.
const maxName = 100

// ErrName is what Name reports.
var ErrName = errors.New("a name has 1 to 100 characters and no control characters")

// Name judges a display name and trims the space around it.
func Name(text string) (string, error) {
	text = string(bytes.TrimSpace([]byte(text)))
	n := utf8.RuneCountInString(text)
	if n == 0 || n > maxName || !Printable(text) {
		return "", ErrName
	}
	return text, nil
}

// Printable reports whether a text is UTF-8 without control characters and without the marks that turn
// the direction of the text around it.
func Printable(text string) bool {
	for _, c := range text {
		switch {
		case c < ' ', c >= 0x7f && c < 0xa0, c == utf8.RuneError, c == 0x2028, c == 0x2029,
			c >= 0x202a && c <= 0x202e, c >= 0x2066 && c <= 0x2069:
			return false
		}
	}
	return true
}
