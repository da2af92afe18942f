package httpapi

import (
	"encoding"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tolkflip/tolkflip/proto"
)

// plan is how an In is filled from a path and a query. It is made once, when the table is.
type plan struct {
	body   bool // it has fields that come from the body, so the body is read
	fields []boundField
}

type boundField struct {
	index   []int
	name    string
	path    bool   // else a query parameter
	missing string // the text of the 404 when a path value does not parse
	set     func(v reflect.Value, text string) error
}

// planOf reads the tags of t and panics over what it cannot bind: a mistake in a table, found by any test.
func planOf(t reflect.Type) *plan {
	p := &plan{}
	if t.Kind() != reflect.Struct {
		panic("httpapi: In must be a struct, not " + t.String())
	}
	for _, f := range reflect.VisibleFields(t) {
		name, path := f.Tag.Lookup("path")
		if !path {
			var query bool
			if name, query = f.Tag.Lookup("query"); !query {
				p.body = p.body || jsonName(f) != ""
				continue
			}
		}
		set := setter(f.Type)
		if set == nil || !f.IsExported() {
			panic(fmt.Sprintf("httpapi: cannot bind %s.%s", t, f.Name))
		}
		missing := f.Tag.Get("missing")
		if missing == "" {
			missing = textMissing
		}
		p.fields = append(p.fields, boundField{index: f.Index, name: name, path: path, missing: missing, set: set})
	}
	return p
}

// jsonName is the key of a field in the body, or nothing where it has none of its own.
func jsonName(f reflect.StructField) string {
	if !f.IsExported() || f.Anonymous || f.Tag.Get("path") != "" || f.Tag.Get("query") != "" {
		return ""
	}
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	switch name {
	case "-":
		return ""
	case "":
		return f.Name
	}
	return name
}

// bind fills the path and query fields. A field that the request does not have is set to its zero value,
// whatever the body said.
func (p *plan) bind(r *Request, in reflect.Value) error {
	for i := range p.fields {
		f := &p.fields[i]
		v := in.FieldByIndex(f.index)
		text, ok := "", false
		if f.path {
			text, ok = r.param(f.name)
		} else if b := r.rc.QueryArgs().Peek(f.name); b != nil {
			text, ok = string(b), len(b) > 0
		}
		if !ok {
			if f.path {
				return proto.Fail(proto.NotFound, f.missing)
			}
			v.SetZero()
			continue
		}
		if err := f.set(v, text); err != nil || !utf8.ValidString(text) {
			if f.path {
				return proto.Fail(proto.NotFound, f.missing)
			}
			return proto.BadField(f.name, f.name+" is invalid")
		}
	}
	return nil
}

// setter gives the function that parses a text into a field of type t; nil where none can.
func setter(t reflect.Type) func(v reflect.Value, text string) error {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return func(v reflect.Value, text string) error {
			return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)) //nolint:forcetypeassert // just seen
		}
	}
	switch t.Kind() {
	case reflect.String:
		return func(v reflect.Value, text string) error {
			v.SetString(text)
			return nil
		}
	case reflect.Int, reflect.Int64:
		return func(v reflect.Value, text string) error {
			n, err := strconv.ParseInt(text, 10, 64)
			v.SetInt(n)
			return err
		}
	case reflect.Uint64:
		return func(v reflect.Value, text string) error {
			n, err := strconv.ParseUint(text, 10, 64)
			v.SetUint(n)
			return err
		}
	case reflect.Bool:
		return func(v reflect.Value, text string) error {
			b, err := strconv.ParseBool(text)
			v.SetBool(b)
			return err
		}
	case reflect.Pointer:
		inner := setter(t.Elem())
		if inner == nil {
			return nil
		}
		return func(v reflect.Value, text string) error {
			v.Set(reflect.New(t.Elem()))
			return inner(v.Elem(), text)
		}
	default:
		return nil
	}
}

// maxParams is how many parameters a path may have.
const maxParams = 4

// paramKeys are the names under which the router knows the parameters, by position.
var paramKeys = [maxParams]string{"p0", "p1", "p2", "p3"} //nolint:gochecknoglobals // a table

// positional renames the parameters of a path by position and gives their own names.
func positional(path string) (pattern string, names []string) {
	parts := strings.Split(path, "/")
	for i, s := range parts {
		if len(s) < 3 || s[0] != '{' || s[len(s)-1] != '}' {
			continue
		}
		name, rest, wild := strings.Cut(s[1:len(s)-1], ":")
		if len(names) == maxParams {
			panic("httpapi: too many parameters in " + path)
		}
		parts[i] = "{" + paramKeys[len(names)] + "}"
		if wild {
			parts[i] = "{" + paramKeys[len(names)] + ":" + rest + "}"
		}
		names = append(names, name)
	}
	return strings.Join(parts, "/"), names
}

// param is a path parameter, with its percent-encoding undone.
func (r *Request) param(name string) (string, bool) {
	if r.route == nil {
		return "", false
	}
	for i, n := range r.route.names {
		if n != name {
			continue
		}
		raw, ok := r.rc.UserValue(paramKeys[i]).(string)
		if !ok {
			return "", false
		}
		if !strings.ContainsRune(raw, '%') {
			return raw, true
		}
		text, err := url.PathUnescape(raw)
		return text, err == nil
	}
	return "", false
}

// Param is a path parameter, decoded; empty when the route has none of that name.
func (r *Request) Param(name string) string {
	text, _ := r.param(name)
	return text
}
