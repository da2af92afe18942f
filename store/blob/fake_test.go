package blob

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is the part of S3 that the package speaks, in memory and with faults. It checks no signature, but
// the hash that is signed.
type fake struct {
	*httptest.Server
	around func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) // of every request; may be nil

	mu      sync.Mutex
	bucket  bool
	region  string
	objects map[string]fakeObject
	uploads map[string]*fakeUpload
	last    int
}

type fakeObject struct {
	content []byte
	kind    string
	etag    string
	at      time.Time
}

type fakeUpload struct {
	key, kind string
	parts     map[int][]byte
	at        time.Time
}

// newFake starts one that lives until the test's end.
func newFake(t testing.TB) *fake {
	f := &fake{objects: map[string]fakeObject{}, uploads: map[string]*fakeUpload{}}
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	f.Config.ErrorLog = nil
	f.Start()
	t.Cleanup(f.Close)
	return f
}

// config is how to open a bucket of it.
func (f *fake) config() S3Config {
	cfg := DefaultS3()
	cfg.Endpoint, cfg.Bucket, cfg.Key, cfg.Secret = f.Listener.Addr().String(), "files", "key", "secret"
	return cfg
}

// openFake opens a bucket of a new one.
func openFake(t testing.TB, edit func(*fake, *S3Config)) (*S3, *fake) {
	t.Helper()
	f := newFake(t)
	cfg := f.config()
	if edit != nil {
		edit(f, &cfg)
	}
	s, err := OpenS3(t.Context(), cfg, silent(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, f
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	if f.around != nil {
		f.around(w, r, f.answer)
		return
	}
	f.answer(w, r)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>of the fake</Message></Error>", code)
}

func (f *fake) answer(w http.ResponseWriter, r *http.Request) {
	body := make([]byte, max(r.ContentLength, 0))
	if _, err := io.ReadFull(r.Body, body); err != nil {
		return
	}
	sum := sha256.Sum256(body)
	if said := r.Header.Get("X-Amz-Content-Sha256"); said != hex.EncodeToString(sum[:]) && said != "UNSIGNED-PAYLOAD" {
		refuse(w, http.StatusBadRequest, "XAmzContentSHA256Mismatch")
		return
	}
	f.mu.Lock()
	write := f.decide(w, r, body)
	f.mu.Unlock()
	if write != nil {
		write() // may wait for a client that does not read
	}
}

// decide answers, or gives what writes a long answer.
func (f *fake) decide(w http.ResponseWriter, r *http.Request, body []byte) (write func()) {
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if !f.bucket && (r.Method != http.MethodPut || key != "") {
		refuse(w, http.StatusNotFound, "NoSuchBucket")
		return nil
	}
	if key == "" {
		f.ofBucket(w, r)
		return nil
	}
	if r.URL.Query().Has("uploadId") || r.URL.Query().Has("uploads") {
		f.ofUpload(w, r, key, body)
		return nil
	}
	return f.ofObject(w, r, key, body)
}

func (f *fake) ofBucket(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPut:
		if f.bucket {
			refuse(w, http.StatusConflict, "BucketAlreadyOwnedByYou")
			return
		}
		f.bucket = true
	case r.URL.Query().Has("location"):
		_, _ = fmt.Fprintf(w, "<LocationConstraint>%s</LocationConstraint>", f.region)
	case r.URL.Query().Has("uploads"):
		f.list(w, r.URL.Query().Get("upload-id-marker"))
	}
}

// list gives pages of two unfinished uploads.
func (f *fake) list(w http.ResponseWriter, after string) {
	type row struct {
		Key       string
		UploadID  string `xml:"UploadId"`
		Initiated time.Time
	}
	page := struct {
		XMLName            xml.Name `xml:"ListMultipartUploadsResult"`
		IsTruncated        bool
		NextKeyMarker      string
		NextUploadIDMarker string `xml:"NextUploadIdMarker"`
		Upload             []row
	}{}
	var ids []string
	for id := range f.uploads {
		if id > after {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids[:min(2, len(ids))] {
		page.Upload = append(page.Upload, row{f.uploads[id].key, id, f.uploads[id].at.UTC()})
		page.NextKeyMarker, page.NextUploadIDMarker = f.uploads[id].key, id
	}
	page.IsTruncated = len(ids) > 2
	_ = xml.NewEncoder(w).Encode(page)
}

func (f *fake) ofUpload(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	id := r.URL.Query().Get("uploadId")
	u := f.uploads[id]
	if u == nil && !r.URL.Query().Has("uploads") {
		refuse(w, http.StatusNotFound, "NoSuchUpload")
		return
	}
	switch r.Method {
	case http.MethodPut:
		n, _ := strconv.Atoi(r.URL.Query().Get("partNumber"))
		u.parts[n] = body
		w.Header().Set("ETag", `"`+etag(body)+`"`)
	case http.MethodDelete:
		delete(f.uploads, id)
		w.WriteHeader(http.StatusNoContent)
	case http.MethodPost:
		if u == nil {
			f.last++
			id = fmt.Sprintf("u%06d", f.last)
			f.uploads[id] = &fakeUpload{key: key, kind: r.Header.Get("Content-Type"), parts: map[int][]byte{}, at: time.Now()}
			_, _ = fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", id)
			return
		}
		var sums []byte
		size := 0
		for _, part := range u.parts {
			size += len(part)
		}
		whole := make([]byte, 0, size)
		for n := range len(u.parts) {
			part := u.parts[n+1]
			if len(part) < minPart && n+1 < len(u.parts) {
				refuse(w, http.StatusBadRequest, "EntityTooSmall")
				return
			}
			sum := md5.Sum(part)
			whole, sums = append(whole, part...), append(sums, sum[:]...)
		}
		name := fmt.Sprintf("%s-%d", etag(sums), len(u.parts))
		f.objects[key] = fakeObject{whole, u.kind, name, time.Now()}
		delete(f.uploads, id)
		_, _ = fmt.Fprintf(w, "<CompleteMultipartUploadResult><Bucket>files</Bucket><ETag>%s</ETag></CompleteMultipartUploadResult>", name)
	}
}

func (f *fake) ofObject(w http.ResponseWriter, r *http.Request, key string, body []byte) (write func()) {
	o, known := f.objects[key]
	switch {
	case r.Method == http.MethodPut:
		f.objects[key] = fakeObject{body, r.Header.Get("Content-Type"), etag(body), time.Now()}
		w.Header().Set("ETag", `"`+etag(body)+`"`)
	case r.Method == http.MethodDelete:
		delete(f.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case !known:
		refuse(w, http.StatusNotFound, "NoSuchKey")
	case r.Header.Get("Range") != "" && len(o.content) == 0:
		refuse(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
	default:
		w.Header().Set("Content-Type", o.kind)
		w.Header().Set("ETag", `"`+o.etag+`"`)
		return func() { http.ServeContent(rangeErrors{w}, r, "", o.at, bytes.NewReader(o.content)) }
	}
	return nil
}

// rangeErrors words the refusal of a range as S3 does.
type rangeErrors struct{ http.ResponseWriter }

func (w rangeErrors) WriteHeader(status int) {
	if status == http.StatusRequestedRangeNotSatisfiable {
		w.Header().Set("X-Minio-Error-Code", "InvalidRange")
	}
	w.ResponseWriter.WriteHeader(status)
}

func etag(b []byte) string {
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

// unfinished is how many uploads are neither complete nor aborted.
func (f *fake) unfinished() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.uploads)
}

// hangUp ends the connection of a request without an answer.
func hangUp(w http.ResponseWriter) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = c.Close()
	}
}

// gate is a proxy in front of a server that can be closed, as when the server dies, and opened again.
type gate struct {
	to, at string

	mu       sync.Mutex
	listener net.Listener
	lines    map[net.Conn]struct{}
	working  sync.WaitGroup
}

// newGate starts one in front of a server, that lives until the test's end.
func newGate(t testing.TB, to string) *gate {
	g := &gate{to: to, at: "127.0.0.1:0"}
	g.open(t)
	t.Cleanup(g.close)
	return g
}

func (g *gate) open(t testing.TB) {
	t.Helper()
	l, err := net.Listen("tcp", g.at)
	if err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listener, g.at, g.lines = l, l.Addr().String(), map[net.Conn]struct{}{}
	g.working.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			g.working.Go(func() { g.join(l, c) })
		}
	})
}

func (g *gate) join(l net.Listener, c net.Conn) {
	far, err := net.Dial("tcp", g.to)
	g.mu.Lock()
	if err != nil || g.listener != l {
		g.mu.Unlock()
		_ = c.Close()
		if err == nil {
			_ = far.Close()
		}
		return
	}
	g.lines[c], g.lines[far] = struct{}{}, struct{}{}
	g.mu.Unlock()
	var both sync.WaitGroup
	for _, pair := range [][2]net.Conn{{c, far}, {far, c}} {
		both.Go(func() {
			_, _ = io.Copy(pair[0], pair[1])
			_, _ = pair[0].Close(), pair[1].Close()
		})
	}
	both.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.lines, c)
	delete(g.lines, far)
}

// close refuses connections, and ends those that there are.
func (g *gate) close() {
	g.mu.Lock()
	if g.listener == nil {
		g.mu.Unlock()
		return
	}
	_ = g.listener.Close()
	g.listener = nil
	for c := range g.lines {
		_ = c.Close()
	}
	g.mu.Unlock()
	g.working.Wait()
}
