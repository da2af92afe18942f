package media

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/tolkflip/tolkflip/httpapi/apitest"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

func TestDoors(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	apitest.Doors(t, w.svc.API(), w.ann, `{"data":"eA=="}`, `{"data":"eA==","thread_id":"x"}`, `{"data":"eA==","x":[[{}]]}`)
}

// TestUpload checks the reply of each form, on each path, as all clients read it.
func TestUpload(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	text := strings.Repeat("hello ", 1000)
	document := func(more map[string]any) string {
		doc := map[string]any{"fileName": "../notes.txt", "contentType": "text/html", "data": base64.StdEncoding.EncodeToString([]byte(text))}
		for k, v := range more {
			doc[k] = v
		}
		return mustJSON(t, doc)
	}
	kind, form := formOf(t, part{name: "userId", body: "whoever"}, part{name: "message_id", body: "7d6f5b9e-6d4e-4a8e-9f6e-0a4b1c2d3e4f"},
		part{"file", "../../etc/notes.txt", "text/html", text}, part{name: "thread_id", body: w.thread.String()})
	for _, c := range []struct {
		name   string
		client *apitest.Client
		path   string
		kind   string
		body   string
		thread any
	}{
		{"a form", w.server.ViaGateway(w.ann), "/api/media/upload", kind, string(form), w.thread},
		{"a form on the web's path", w.server.ViaGateway(w.ann), "/api/v1/media/upload", kind, string(form), w.thread},
		{"a form on the own port", w.server.As(w.ann), "/upload", kind, string(form), w.thread},
		{"a document", w.server.ViaGateway(w.ann), "/api/media/upload", "application/json; charset=utf-8", document(nil), nil},
		{"a document on the own port", w.server.As(w.ann), "/api/media/upload", "application/json", document(map[string]any{"thread_id": w.thread}), w.thread},
	} {
		r := c.client.Send("POST", c.path, strings.NewReader(c.body), "Content-Type", c.kind)
		if r.Status != 200 {
			t.Errorf("%s: %d %s", c.name, r.Status, r.Text)
			continue
		}
		has(t, r, "success", true)
		has(t, r, "mimeType", "text/plain")
		has(t, r, "contentType", "text/plain")
		has(t, r, "size", len(text))
		has(t, r, "fileSize", len(text))
		has(t, r, "fileName", "notes.txt")
		has(t, r, "thumbnailUrl", nil)
		has(t, r, "threadId", c.thread)
		has(t, r, "uploadedAt", float64(w.now.now().UnixMilli()))
		anybody := w.server.ViaGateway(id.User{})
		if strings.HasSuffix(c.name, "own port") {
			anybody = w.server.As(id.User{})
		}
		if file := anybody.Want(200, "GET", w.local(r.Body["url"]), nil); file.Text != text {
			t.Errorf("%s: the link gives %d bytes", c.name, len(file.Text))
		}
	}
	if got := value(t, w.svc.metrics.uploads[uploadStored]); got != 5 {
		t.Errorf("%v uploads counted", got)
	}
	if got := value(t, w.svc.metrics.bytes); got != float64(5*len(text)) {
		t.Errorf("%v bytes counted", got)
	}
}

// TestRefusedUploads leaves nothing behind.
func TestRefusedUploads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.MaxFile = 10_000; c.Allowed = []string{"text/plain", "image/*"} })
	file := part{"file", "a.txt", "text/plain", "hello"}
	other := w.Say(w.bob, w.cem, "private").Thread
	raw := func(kind, body string) func() apitest.Reply {
		return func() apitest.Reply {
			return w.server.ViaGateway(w.ann).Send("POST", "/api/media/upload", strings.NewReader(body), "Content-Type", kind)
		}
	}
	form := func(parts ...part) func() apitest.Reply {
		return func() apitest.Reply { return w.post(w.ann, parts...) }
	}
	_, good := formOf(t, file)
	boundary := "multipart/form-data; boundary=" + strings.TrimPrefix(string(good[:bytes.IndexByte(good, '\r')]), "--")
	for _, c := range []struct {
		name   string
		ask    func() apitest.Reply
		status int
		err    string
	}{
		{"no body", raw("", ""), 400, textNoFile},
		{"another type", raw("text/plain", "hello"), 400, textNoFile},
		{"a form without a boundary", raw("multipart/form-data", "hello"), 400, textNoFile},
		{"an empty form", form(), 400, textNoFile},
		{"fields alone", form(part{name: "thread_id", body: w.thread.String()}), 400, textNoFile},
		{"another part", form(part{"photo", "a.txt", "text/plain", "hello"}), 400, textNoFile},
		{"another part first", form(part{"photo", "a.txt", "text/plain", "hello"}, file), 400, textNoFile},
		{"two files", form(file, file), 400, errOneFile.Message},
		{"another file behind", form(file, part{"photo", "a.txt", "text/plain", "hello"}), 400, errOneFile.Message},
		{"too large", form(part{"file", "a.txt", "", strings.Repeat("x", 10_001)}), 413, textTooLarge},
		{"much too large", form(part{"file", "a.txt", "", strings.Repeat("x", 1<<20)}), 413, textTooLarge},
		{"no thread", form(part{name: "thread_id", body: "general"}, file), 400, "thread_id must be a UUID"},
		{"no thread, behind", form(file, part{name: "threadId", body: "general"}), 400, "threadId must be a UUID"},
		{"another's thread", form(part{name: "thread_id", body: other.String()}, file), 404, ""},
		{"another's thread, behind", form(file, part{name: "thread_id", body: other.String()}), 404, ""},
		{"an unknown thread", form(part{name: "thread_id", body: id.NewGroup().String()}, file), 404, ""},
		{"a type that is not taken", form(part{"file", "a.pdf", "image/png", "%PDF-1.7 hello"}), 415, "Files of type application/pdf are not accepted"},
		{"large fields", form(part{name: "x", body: strings.Repeat("x", 70_000)}, file), 400, errEnvelope.Message},
		{"large fields behind", form(file, part{name: "x", body: strings.Repeat("x", 70_000)}), 400, errEnvelope.Message},
		{"a large head of a part", raw(boundary, strings.Replace(string(good), "\r\n\r\n", "\r\nX: "+strings.Repeat("x", 70_000)+"\r\n\r\n", 1)), 400, errEnvelope.Message},
		{"many parts", form(append(make([]part, 70), file)...), 400, errEnvelope.Message},
		{"a form that breaks off", raw(boundary, string(good[:len(good)-10])), 400, errForm.Message},
		{"a form that breaks off in the file", raw(boundary, string(good[:bytes.Index(good, []byte("hel"))+2])), 400, errForm.Message},
		{"no form", raw(boundary, "hello"), 400, textNoFile},
		{"a document without data", raw("application/json", `{"fileName":"a"}`), 400, textNoData},
		{"a document that breaks off", raw("application/json", `{"data":"aGVsbG8`), 400, errJSON.Message},
		{"a document that breaks off behind", raw("application/json", `{"data":"aGVsbG8="`), 400, errJSON.Message},
		{"two data", raw("application/json", `{"data":"aGVsbG8=","data":"aGVsbG8="}`), 400, errOneFile.Message},
		{"no base64", raw("application/json", `{"data":"a%"}`), 400, errBase64.Message},
		{"a number", raw("application/json", `{"data":7}`), 400, errBase64.Message},
		{"an array", raw("application/json", `[]`), 400, errObject.Message},
		{"a large document", raw("application/json", `{"data":"`+strings.Repeat("eHh4", 3334)+`"}`), 413, textTooLarge},
		{"another's thread in a document", raw("application/json", `{"data":"aGVsbG8=","threadId":"`+other.String()+`"}`), 404, ""},
	} {
		r := c.ask()
		if r.Status != c.status || r.Body["success"] != false || c.err != "" && r.Body["error"] != c.err {
			t.Errorf("%s: %d %s, want %d %q", c.name, r.Status, r.Text, c.status, c.err)
		}
		w.empty(c.name)
	}
	if n := value(t, w.svc.metrics.uploads[uploadStored]); n != 0 {
		t.Errorf("%v counted as stored", n)
	}
	if n := value(t, w.svc.metrics.uploads[uploadTooLarge]); n != 3 {
		t.Errorf("%v counted as too large", n)
	}
	if w.server.ViaGateway(id.User{}).Do("POST", "/api/media/upload", "{}").Status != 401 {
		t.Error("no token was needed")
	}
}

// TestExactSizes takes a file of the limit in each form, and refuses a byte more.
func TestExactSizes(t *testing.T) {
	t.Parallel()
	const most = 300_001 // no multiple of three
	w := newWorld(t, func(c *Config) { c.MaxFile = most })
	for _, n := range []int{0, 1, 2, 3, sniffed - 1, sniffed, sniffed + 1, 4096, 100_000, most, most + 1} {
		body := strings.Repeat("x", n)
		form := w.post(w.ann, part{"file", "a", "", body})
		doc := w.server.As(w.ann).Send("POST", "/upload", strings.NewReader(`{"data":"`+base64.StdEncoding.EncodeToString([]byte(body))+`"}`), "Content-Type", "application/json")
		for kind, r := range map[string]apitest.Reply{"form": form, "document": doc} {
			if n > most {
				if r.Status != 413 || r.Body["error"] != textTooLarge {
					t.Errorf("%s of %d bytes: %d %s", kind, n, r.Status, r.Text)
				}
				continue
			}
			if r.Status != 200 || r.Body["size"] != float64(n) {
				t.Errorf("%s of %d bytes: %d %s", kind, n, r.Status, r.Text)
				continue
			}
			m := w.server.As(w.ann).Want(200, "GET", "/media/"+w.idOf(r)+"/content", nil)
			if m.Text != body {
				t.Errorf("%s of %d bytes comes back as %d", kind, n, len(m.Text))
			}
		}
	}
}

// TestCutUploads ends the body at every place of a form: nothing is left, whatever was stored by then.
func TestCutUploads(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	kind, body := formOf(t, part{name: "x", body: "y"}, part{"file", "a.png", "", encoded(t, "png", painted(40, 40))}, part{name: "thread_id", body: w.thread.String()})
	for at := 0; at < len(body); at += 7 {
		_, err := w.svc.take(t.Context(), w.ann, kind, io.MultiReader(bytes.NewReader(body[:at]), broken{}))
		if err == nil {
			t.Fatalf("cut at %d of %d: taken", at, len(body))
		}
		w.empty(fmt.Sprintf("a cut at %d of %d", at, len(body)))
	}
	if row, err := w.svc.take(t.Context(), w.ann, kind, bytes.NewReader(body)); err != nil || row.Thumbnail == "" {
		t.Fatalf("the whole: %v", err)
	}
}

// broken is a connection that is gone.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errDown }

// TestFailingStores keeps the two in step: a record that may have been written goes with the file.
func TestFailingStores(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, wrote := range []bool{false, true} {
		w.records.fail, w.records.wrote = errDown, wrote
		if r := w.post(w.ann, part{"file", "a", "", "hello"}); r.Status != 500 || r.Body["error"] != "Upload failed" {
			t.Errorf("a record that fails: %d %s", r.Status, r.Text)
		}
		w.empty(fmt.Sprintf("a record that fails, written: %t", wrote))
	}
	w.records.fail = nil
	w.blobs.broken = fmt.Errorf("disk: %w", store.ErrBusy)
	if r := w.post(w.ann, part{"file", "a", "", "hello"}); r.Status != 503 || r.Header.Get("Retry-After") == "" {
		t.Errorf("a store that is full: %d %s", r.Status, r.Text)
	}
	w.empty("a store that is full")
	if n := value(t, w.svc.metrics.uploads[uploadBusy]); n != 1 {
		t.Errorf("%v counted as busy", n)
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	p := newPlaces(3, 2)
	a, b := id.NewUser(), id.NewUser()
	for i, c := range []struct {
		u    id.User
		want bool
	}{{a, true}, {a, true}, {a, false}, {b, true}, {b, false}} {
		if got := p.take(c.u); got != c.want {
			t.Errorf("%d: %t", i, got)
		}
	}
	p.free(a)
	if !p.take(b) || p.take(a) {
		t.Error("a freed place")
	}
	p.free(b)
	p.free(b)
	p.free(a)
	if p.taken != 0 || len(p.users) != 0 {
		t.Errorf("%d taken, %d users", p.taken, len(p.users))
	}
}

func TestBusyAndPerHour(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.Uploads, c.PerHour = 1, 2 })
	if !w.svc.places.take(w.bob) {
		t.Fatal("no place")
	}
	if r := w.post(w.ann, part{"file", "a", "", "x"}); r.Status != 503 || r.Body["error"] != errPlaces.Message || r.Header.Get("Retry-After") != "1" {
		t.Errorf("%d %s", r.Status, r.Text)
	}
	w.svc.places.free(w.bob)
	for i, want := range []int{200, 200, 429} {
		if r := w.post(w.ann, part{"file", "a", "", "x"}); r.Status != want {
			t.Errorf("%d: %d %s", i, r.Status, r.Text)
		}
	}
	if r := w.post(w.bob, part{"file", "a", "", "x"}); r.Status != 200 {
		t.Errorf("another user: %d %s", r.Status, r.Text)
	}
}
