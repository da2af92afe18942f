package media

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strings"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
)

// Texts that clients match on.
const (
	textNoFile   = "No file uploaded"
	textNoData   = "Missing file data"
	textTooLarge = "File too large"
)

// Bounds of what surrounds a file in an upload.
const (
	envelope = 64 << 10 // bytes before the file, and as many behind it
	maxField = 4 << 10  // bytes of a field's value
	maxParts = 64
)

var (
	errNoFile   = proto.Fail(proto.Invalid, textNoFile)
	errNoData   = proto.BadField("data", textNoData)
	errOneFile  = proto.Fail(proto.Invalid, "One file in an upload")
	errForm     = proto.Fail(proto.Invalid, "The form cannot be read")
	errEnvelope = proto.Fail(proto.Invalid, "Too much around the file")
	errTooLarge = httpapi.Refuse(413, proto.Invalid, textTooLarge)
)

// fields are what an upload says beside the file.
type fields struct {
	name     string    // as the client called the file
	declared string    // the media type that the client claims
	thread   id.Thread // absent where none was named
}

// set takes a field that is known; others are nobody's concern. An empty value counts as absent. A message
// id may be given, of any form: it says nothing that is needed.
func (f *fields) set(key, value string) error {
	if value == "" {
		return nil
	}
	switch key {
	case "thread_id", "threadId":
		v, err := id.Parse(value)
		if err != nil {
			return proto.BadField(key, key+" must be a UUID")
		}
		f.thread = id.Thread{ID: v}
	case "fileName", "file_name", "filename":
		f.name = value
	case "contentType", "content_type", "mimeType", "mime_type":
		f.declared = value
	}
	return nil
}

// source is the body of an upload, whatever its form.
type source interface {
	// file gives the file's bytes, and fills in what the fields before it say. It may be called once.
	file(f *fields) (io.Reader, error)
	// rest reads what stands behind the file, after that was read to its end.
	rest(f *fields) error
}

// open finds out what form a body has.
func open(contentType string, body io.Reader) (source, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter):
		return nil, errNoFile
	case kind == "multipart/form-data" && params["boundary"] != "":
		in := &bounded{r: body, left: envelope}
		return &form{in: in, parts: multipart.NewReader(in, params["boundary"])}, nil
	case kind == "application/json" || strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json"):
		return newDocument(body), nil
	default:
		return nil, errNoFile
	}
}

// isForm reports whether a body is a form: about as large as its file.
func isForm(contentType string) bool {
	const form = "multipart/form-data"
	return len(contentType) >= len(form) && strings.EqualFold(contentType[:len(form)], form)
}

// bounded lets through so many bytes.
type bounded struct {
	r    io.Reader
	left int64 // below 0: without bound
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errEnvelope
	}
	if b.left > 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	if b.left > 0 {
		b.left -= int64(n)
	}
	return n, err
}

// form is a multipart/form-data body.
type form struct {
	in    *bounded
	parts *multipart.Reader
	n     int
}

// next gives the next part. It is raw: a transfer encoding that a client claims must not change a file.
func (f *form) next() (*multipart.Part, error) {
	if f.n++; f.n > maxParts {
		return nil, errEnvelope
	}
	p, err := f.parts.NextRawPart()
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return p, err
	case errors.Is(err, errEnvelope):
		return nil, errEnvelope
	default: // what ended the body early is known to the one who reads it
		return nil, &proto.Error{Code: proto.Invalid, Message: errForm.Message, Cause: err}
	}
}

func (f *form) file(to *fields) (io.Reader, error) {
	for {
		p, err := f.next()
		if errors.Is(err, io.EOF) {
			return nil, errNoFile
		}
		if err != nil {
			return nil, err
		}
		switch {
		case p.FormName() == "file":
			to.name, to.declared = p.FileName(), p.Header.Get("Content-Type")
			f.in.left = -1 // who reads the file counts it
			return formFile{p}, nil
		case p.FileName() != "":
			return nil, errNoFile // a file of another name
		}
		if err := f.field(p, to); err != nil {
			return nil, err
		}
	}
}

// formFile is the part of a form that is the file.
type formFile struct{ io.Reader }

// Read gives a form that breaks off as the client's error.
func (f formFile) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = &proto.Error{Code: proto.Invalid, Message: errForm.Message, Cause: err}
	}
	return n, err
}

// field reads a field that is none of a file's. What is longer than any that we know is read over.
func (f *form) field(p *multipart.Part, to *fields) error {
	value, err := io.ReadAll(io.LimitReader(p, maxField+1))
	if err != nil {
		if errors.Is(err, errEnvelope) {
			return errEnvelope
		}
		return &proto.Error{Code: proto.Invalid, Message: errForm.Message, Cause: err}
	}
	if len(value) > maxField {
		return nil
	}
	switch key := p.FormName(); key { // the file's own name and type are those of its part
	case "thread_id", "threadId":
		return to.set(key, string(value))
	}
	return nil
}

func (f *form) rest(to *fields) error {
	f.in.left = envelope
	for {
		p, err := f.next()
		if errors.Is(err, io.EOF) {
			return f.end()
		}
		if err != nil {
			return err
		}
		if p.FormName() == "file" || p.FileName() != "" {
			return errOneFile
		}
		if err := f.field(p, to); err != nil {
			return err
		}
	}
}

// end reads what stands behind the last part, so that the connection can be kept.
func (f *form) end() error {
	_, err := io.Copy(io.Discard, f.in)
	return err
}
