package media

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"log/slog"
	"mime/multipart"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/tolkflip/tolkflip/httpapi/apitest"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/memory"
)

func TestMain(m *testing.M) { apitest.Main(m) }

// world is the service over stores in memory, and people: ann and bob share a thread, cem is a stranger.
type world struct {
	*apitest.World
	t             *testing.T
	svc           *Service
	server        *apitest.Server
	blobs         *watched
	records       *flaky
	ann, bob, cem id.User
	thread        id.Thread
	now           *clock
}

// clock stands still until a test moves it.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// watched knows the keys that are stored.
type watched struct {
	store.Blobs
	mu     sync.Mutex
	keys   map[string]string // to the media type
	sign   bool              // it has addresses of its own
	broken error
}

func (w *watched) Put(ctx context.Context, key, mediaType string, r io.Reader, size int64) (int64, error) {
	if w.broken != nil {
		return 0, w.broken
	}
	n, err := w.Blobs.Put(ctx, key, mediaType, r, size)
	if err == nil {
		w.mu.Lock()
		w.keys[key] = mediaType
		w.mu.Unlock()
	}
	return n, err
}

func (w *watched) Delete(ctx context.Context, key string) error {
	w.mu.Lock()
	delete(w.keys, key)
	w.mu.Unlock()
	return w.Blobs.Delete(ctx, key)
}

func (w *watched) Signed(_ context.Context, key, attachment string, ttl time.Duration) (string, error) {
	if !w.sign {
		return "", nil
	}
	return fmt.Sprintf("https://files.example/%s?as=%s&for=%d", key, url.QueryEscape(attachment), ttl/time.Second), nil
}

func (w *watched) stored() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.keys)
}

// flaky are records whose next Put fails.
type flaky struct {
	store.MediaRecords
	fail  error
	wrote bool // although it says that it failed
	rows  int
}

func (f *flaky) Put(ctx context.Context, m store.Media) error {
	if f.fail == nil || f.wrote {
		if err := f.MediaRecords.Put(ctx, m); err != nil {
			return err
		}
		f.rows++
	}
	return f.fail
}

func (f *flaky) Delete(ctx context.Context, m id.Media) (store.Media, error) {
	row, err := f.MediaRecords.Delete(ctx, m)
	if err == nil {
		f.rows--
	}
	return row, err
}

var errDown = errors.New("down")

func newWorld(t *testing.T, edit func(*Config)) *world {
	t.Helper()
	w := &world{World: apitest.NewWorld(t), t: t, now: &clock{at: time.Unix(1_800_000_000, 0)}}
	w.blobs = &watched{Blobs: memory.NewBlobs(1<<30, w.now.now), keys: map[string]string{}}
	w.records = &flaky{MediaRecords: w.Store.Media()}
	w.ann, w.bob, w.cem = w.User("ann"), w.User("bob"), w.User("cem")
	w.thread = w.Say(w.ann, w.bob, "hello").Thread
	cfg := Default()
	cfg.MaxFile = 1 << 20
	if edit != nil {
		edit(&cfg)
	}
	limits, err := memory.NewLimits(memory.DefaultCache(), memory.NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		t.Fatal(err)
	}
	w.svc, err = New(cfg, Deps{
		Blobs: w.blobs, Records: w.records, Threads: w.Chat, Messages: w.Store.Log(), Limits: limits,
		LinkKey: bytes.Repeat([]byte("k"), 32), Now: w.now.now,
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	w.server = apitest.Start(t, w.svc.API())
	return w
}

// part is one of a form.
type part struct {
	name, file, contentType string // a field where file is empty
	body                    string
}

// form writes a multipart body.
func formOf(t *testing.T, parts ...part) (contentType string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		h := textproto.MIMEHeader{}
		h.Set("Content-Disposition", fmt.Sprintf(`form-data; name=%q`, p.name))
		if p.file != "" {
			h.Set("Content-Disposition", fmt.Sprintf(`form-data; name=%q; filename=%q`, p.name, p.file))
			h.Set("Content-Type", p.contentType)
		}
		out, err := w.CreatePart(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(out, p.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), b.Bytes()
}

// post uploads a form over the gateway.
func (w *world) post(u id.User, parts ...part) apitest.Reply {
	w.t.Helper()
	kind, body := formOf(w.t, parts...)
	return w.server.ViaGateway(u).Send("POST", "/api/media/upload", bytes.NewReader(body), "Content-Type", kind)
}

// upload takes one file in and gives its reply.
func (w *world) upload(u id.User, name, body string, more ...part) apitest.Reply {
	w.t.Helper()
	r := w.post(u, append(more, part{"file", name, "application/x-claimed", body})...)
	if r.Status != 200 {
		w.t.Fatalf("upload %s: %d %s", name, r.Status, r.Text)
	}
	return r
}

func (w *world) idOf(r apitest.Reply) string { return fmt.Sprint(r.Body["mediaId"]) }

// local is a link without the origin.
func (w *world) local(link any) string {
	w.t.Helper()
	u, err := url.Parse(fmt.Sprint(link))
	if err != nil || u.Host != "test" {
		w.t.Fatalf("link %v: %v", link, err)
	}
	return u.RequestURI()
}

// empty checks that nothing is stored.
func (w *world) empty(after string) {
	w.t.Helper()
	if n := w.blobs.stored(); n != 0 || w.records.rows != 0 {
		w.t.Errorf("after %s %d files and %d records are left", after, n, w.records.rows)
	}
}

func value(t *testing.T, m prometheus.Metric) float64 {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.GetCounter().GetValue() + out.GetGauge().GetValue()
}

// painted is a picture whose quarters have colours of their own: red and green above, blue and white below.
func painted(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i, c := range []color.NRGBA{{R: 255, A: 255}, {G: 255, A: 255}, {B: 255, A: 255}, {255, 255, 255, 255}} {
		left, top := i%2*(w/2), i/2*(h/2)
		draw.Draw(img, image.Rect(left, top, w, h), image.NewUniform(c), image.Point{}, draw.Src)
	}
	return img
}

// encoded writes a picture in a format.
func encoded(t *testing.T, format string, img image.Image) string {
	t.Helper()
	var b bytes.Buffer
	var err error
	switch format {
	case "png":
		err = png.Encode(&b, img)
	case "jpeg":
		err = jpeg.Encode(&b, img, nil)
	case "gif":
		err = gif.Encode(&b, img, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func has(t *testing.T, r apitest.Reply, key string, want any) {
	t.Helper()
	if got := r.Body[key]; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s is %v, want %v in %s", key, got, want, strings.TrimSpace(r.Text))
	}
}
