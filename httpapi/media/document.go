package media

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/tolkflip/tolkflip/proto"
)

var (
	errJSON   = proto.Fail(proto.Invalid, "Invalid JSON")
	errObject = proto.Fail(proto.Invalid, "Invalid JSON: the body must be an object")
	errBase64 = proto.BadField("data", "data must be base64")
)

// document is an upload as a JSON object, with the file as base64 in its key "data". It is read as it comes:
// a decoder of whole documents would hold the file in memory, twice.
type document struct {
	in   *bounded
	r    *bufio.Reader
	over bool // the object's end was read
}

func newDocument(body io.Reader) *document {
	in := &bounded{r: body, left: envelope}
	return &document{in: in, r: bufio.NewReaderSize(in, 8<<10)}
}

func (d *document) file(to *fields) (io.Reader, error) {
	c, err := d.token()
	if errors.Is(err, io.EOF) {
		return nil, errNoData
	}
	if err != nil {
		return nil, err
	}
	if c != '{' {
		return nil, errObject
	}
	first := true
	for {
		found, err := d.member(to, first)
		if err != nil {
			return nil, err
		}
		if d.over {
			return nil, errNoData
		}
		if found {
			d.in.left = -1 // who reads the file counts it
			return d.base64()
		}
		first = false
	}
}

func (d *document) rest(to *fields) error {
	d.in.left = envelope
	for !d.over {
		found, err := d.member(to, false)
		if err != nil {
			return err
		}
		if found {
			return errOneFile
		}
	}
	_, err := d.token()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		err = errJSON
	}
	return err
}

// member reads the next key and its value into a field, or notes the end of the object. found is that the
// key was data's: its value comes next.
func (d *document) member(to *fields, first bool) (found bool, err error) {
	c, err := d.token()
	if err != nil {
		return false, unended(err)
	}
	switch {
	case c == '}':
		d.over = true
		return false, nil
	case first:
	case c == ',':
		if c, err = d.token(); err != nil {
			return false, unended(err)
		}
	default:
		return false, errJSON
	}
	if c != '"' {
		return false, errJSON
	}
	key, err := d.text()
	if err != nil {
		return false, err
	}
	if c, err = d.token(); err != nil || c != ':' {
		return false, unended(err)
	}
	if c, err = d.token(); err != nil {
		return false, unended(err)
	}
	switch {
	case key == "data":
		if c != '"' {
			return false, errBase64
		}
		return true, nil
	case c == '"':
		value, err := d.text()
		if err != nil {
			return false, err
		}
		return false, to.set(key, value)
	default:
		return false, d.skip(c)
	}
}

// unended makes an end of the input, or nothing at all, the error that it is within a document.
func unended(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return errJSON
	}
	return err
}

// token is the next byte that is no white space.
func (d *document) token() (byte, error) {
	for {
		c, err := d.r.ReadByte()
		if err != nil {
			return 0, err
		}
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c, nil
		}
	}
}

// text reads a string behind its opening quote. One that is longer than a field may be reads as empty.
func (d *document) text() (string, error) {
	raw := []byte{'"'}
	for escaped := false; ; {
		c, err := d.r.ReadByte()
		if err != nil {
			return "", unended(err)
		}
		if len(raw) <= 6*maxField {
			raw = append(raw, c)
		}
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case c == '"':
			if len(raw) > maxField {
				return "", nil
			}
			var s string
			if !utf8.Valid(raw) || json.Unmarshal(raw, &s) != nil {
				return "", errJSON
			}
			return s, nil
		}
	}
}

// skip reads over a value that begins with c and is no string.
func (d *document) skip(c byte) error {
	const maxDepth = 64
	depth := 0
	for {
		switch {
		case c == '"':
			if _, err := d.text(); err != nil {
				return err
			}
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return errJSON
			}
		case c == '}' || c == ']':
			if depth == 0 {
				return errJSON
			}
			depth--
		case depth == 0 && !scalar(c), !scalar(c) && c != ',' && c != ':':
			return errJSON
		}
		if depth == 0 {
			next, err := d.r.Peek(1)
			if err != nil {
				return unended(err)
			}
			if !scalar(c) || !scalar(next[0]) {
				return nil
			}
		}
		var err error
		if depth > 0 {
			c, err = d.token()
		} else {
			c, err = d.r.ReadByte()
		}
		if err != nil {
			return unended(err)
		}
	}
}

// scalar reports whether c may stand in a number, true, false or null.
func scalar(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c == 'E' || c == '-' || c == '+' || c == '.'
}

// base64 gives what a string of base64 stands for, from behind its opening quote to its closing one.
func (d *document) base64() (io.Reader, error) {
	const scheme = "data:"
	start, err := d.r.Peek(len(scheme))
	if err == nil && string(start) == scheme { // data:image/png;base64,…
		for range 256 {
			c, err := d.r.ReadByte()
			if err != nil {
				return nil, unended(err)
			}
			if c == ',' {
				return &base64Reader{r: d.r}, nil
			}
			if c == '"' {
				break
			}
		}
		return nil, errBase64
	}
	return &base64Reader{r: d.r}, nil
}
