package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

//go:embed static
var static embed.FS

// policy lets the page load from, and speak to, its own origin only; pictures, sounds and videos come from
// the given origins too. ws: and wss: are named because some browsers do not count a WebSocket of the same
// host as 'self', blob: for what was just picked and is on its way.
func policy(media []string) string {
	also := ""
	for _, m := range media {
		also += " " + m
	}
	return "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data: blob:" + also +
		"; media-src 'self' blob:" + also + "; object-src 'none'; " +
		"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; " +
		"require-trusted-types-for 'script'; trusted-types 'none'"
}

// origin is the part of an address that a policy may name; nothing of what is no address.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.ContainsAny(u.Host, " ;,'\"") {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// file is one answer, ready to be sent.
type file struct {
	contentType string
	body        []byte
	etag        string
	packed      []byte // gzip; nil when that saves nothing
	packedTag   string
}

// Handler serves the files by GET and HEAD at the paths that Paths lists. Any other path is 404 and any
// other method 405, both in JSON. media are addresses of other servers from which people's files come. It
// may be called from many goroutines at once.
func Handler(media ...string) fasthttp.RequestHandler {
	files := load()
	var others []string
	for _, m := range media {
		if o := origin(m); o != "" {
			others = append(others, o)
		}
	}
	allow := policy(others)
	return func(rc *fasthttp.RequestCtx) {
		f, ok := files[string(rc.Path())]
		switch {
		case !ok:
			refuse(rc, fasthttp.StatusNotFound, `{"error":"Endpoint not found"}`)
		case !rc.IsGet() && !rc.IsHead():
			rc.Response.Header.Set("Allow", "GET, HEAD")
			refuse(rc, fasthttp.StatusMethodNotAllowed, `{"error":"Method not allowed"}`)
		default:
			f.serve(rc, allow)
		}
	}
}

// Paths lists what Handler answers, in order. "/" is the page.
func Paths() []string {
	var paths []string
	walk(func(at, _ string) error {
		paths = append(paths, at)
		return nil
	})
	slices.Sort(paths)
	return paths
}

func (f *file) serve(rc *fasthttp.RequestCtx, policy string) {
	h := &rc.Response.Header
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache")
	body, tag := f.body, f.etag
	if f.packed != nil {
		h.Add("Vary", "Accept-Encoding") // the kit may have named Origin
		if rc.Request.Header.HasAcceptEncoding("gzip") {
			body, tag = f.packed, f.packedTag
			h.Set("Content-Encoding", "gzip")
		}
	}
	h.Set("ETag", tag)
	if matches(rc.Request.Header.Peek("If-None-Match"), tag) {
		h.Del("Content-Encoding")
		rc.SetStatusCode(fasthttp.StatusNotModified)
		return
	}
	rc.SetContentType(f.contentType)
	rc.Response.SetBodyRaw(body)
}

// matches compares weakly, as RFC 9110 section 13.1.2 wants it for If-None-Match.
func matches(header []byte, tag string) bool {
	for one := range bytes.SplitSeq(header, []byte{','}) {
		one = bytes.TrimPrefix(bytes.TrimSpace(one), []byte("W/"))
		if string(one) == tag || string(one) == "*" {
			return true
		}
	}
	return false
}

func refuse(rc *fasthttp.RequestCtx, status int, body string) {
	rc.SetStatusCode(status)
	rc.SetContentType("application/json; charset=utf-8")
	rc.SetBodyString(body)
}

// load turns the embedded files into answers, by path.
func load() map[string]*file {
	files := map[string]*file{}
	walk(func(at, name string) error {
		body, err := static.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		files[at], err = newFile(name, body)
		return err
	})
	return files
}

// walk calls each with every file's path on the server and its name in the program. The files are part
// of the program, so what is wrong with them is a mistake of ours that the first test meets: it panics.
func walk(each func(at, name string) error) {
	err := fs.WalkDir(static, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		at := strings.TrimPrefix(name, "static")
		if at == "/index.html" {
			at = "/"
		}
		return each(at, name)
	})
	if err != nil {
		panic(err)
	}
}

func newFile(name string, body []byte) (*file, error) {
	kind, err := contentType(name)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	tag := hex.EncodeToString(sum[:12])
	f := &file{contentType: kind, body: body, etag: `"` + tag + `"`}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("open gzip: %w", err)
	}
	if _, err := w.Write(body); err != nil {
		return nil, fmt.Errorf("gzip %s: %w", name, err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("gzip %s: %w", name, err)
	}
	if packed.Len() < len(body)*9/10 {
		f.packed, f.packedTag = packed.Bytes(), `"`+tag+`-gz"`
	}
	return f, nil
}

// contentType is by extension, from this list alone: what the machine's own MIME table says must not
// change what a browser does with a module.
func contentType(name string) (string, error) {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8", nil
	case ".js":
		return "text/javascript; charset=utf-8", nil
	case ".css":
		return "text/css; charset=utf-8", nil
	case ".svg":
		return "image/svg+xml", nil
	case ".png":
		return "image/png", nil
	case ".ico":
		return "image/x-icon", nil
	case ".webmanifest":
		return "application/manifest+json", nil
	default:
		return "", fmt.Errorf("no content type for %s", name)
	}
}
