package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"unicode/utf8"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
)

// maxDepth is how deep a body may nest; the deepest that any client sends is 3.
const maxDepth = 64

// decode fills in (a pointer to the plan's type) from the request and lets it validate itself.
func (r *Request) decode(p *plan, in any) error {
	if p.body {
		if body := r.Body(); len(body) > 0 {
			if err := decodeBody(body, in); err != nil {
				return err
			}
		}
	}
	if err := p.bind(r, reflect.ValueOf(in).Elem()); err != nil {
		return err
	}
	if f, ok := in.(interface{ FromRequest(r *Request) error }); ok {
		if err := f.FromRequest(r); err != nil {
			return err
		}
	}
	if v, ok := in.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// decodeBody reads a JSON object into in. Every failure is the client's, and names the field where one
// is at fault.
func decodeBody(body []byte, in any) error {
	if !utf8.Valid(body) {
		return proto.Fail(proto.Invalid, "Invalid JSON: not UTF-8")
	}
	if tooDeep(body) {
		return proto.Fail(proto.Invalid, "Invalid JSON: nested too deep")
	}
	if t := bytes.TrimLeft(body, " \t\r\n"); len(t) == 0 || t[0] != '{' {
		if json.Valid(body) {
			return proto.Fail(proto.Invalid, "Invalid JSON: the body must be an object")
		}
		return proto.Fail(proto.Invalid, "Invalid JSON")
	}
	if err := wire.Unmarshal(body, in); err != nil {
		return blame(body, in, err)
	}
	return nil
}

// tooDeep reports whether brackets outside of strings nest beyond maxDepth.
func tooDeep(body []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted:
			switch c {
			case '\\':
				i++
			case '"':
				quoted = false
			}
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// blame finds out which field a body was refused for, by decoding it field by field. It is slow, and
// only ever runs for a body that is refused.
func blame(body []byte, in any, cause error) error {
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(body, &parts); err != nil {
		return &proto.Error{Code: proto.Invalid, Message: "Invalid JSON", Cause: nil}
	}
	t := reflect.TypeOf(in).Elem()
	for _, f := range reflect.VisibleFields(t) {
		name := jsonName(f)
		raw, ok := parts[name]
		if name == "" || !ok {
			continue
		}
		err := json.Unmarshal(raw, reflect.New(f.Type).Interface())
		var kind *json.UnmarshalTypeError
		switch {
		case err == nil:
		case errors.As(err, &kind):
			if kind.Field != "" {
				name += "." + kind.Field
			}
			return proto.BadField(name, name+" must be "+article(kind.Type))
		case errors.Is(err, id.ErrSyntax):
			return proto.BadField(name, name+" must be a UUID")
		default:
			return proto.BadField(name, name+" is invalid")
		}
	}
	return &proto.Error{Code: proto.Invalid, Message: "Invalid JSON", Cause: cause}
}

// article names a JSON type for an error text.
func article(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "a boolean"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Pointer:
		return article(t.Elem())
	default:
		return "a number in range"
	}
}

// isJSON reports whether a Content-Type is application/json or application/…+json.
func isJSON(contentType []byte) bool {
	kind, _, _ := bytes.Cut(contentType, []byte{';'})
	kind = bytes.TrimSpace(kind)
	const want = "application/json"
	if bytes.EqualFold(kind, []byte(want)) {
		return true
	}
	return len(kind) > len("application/+json") && bytes.EqualFold(kind[:12], []byte("application/")) &&
		bytes.EqualFold(kind[len(kind)-5:], []byte("+json"))
}
