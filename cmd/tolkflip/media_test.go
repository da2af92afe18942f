package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tolkflip/tolkflip/proto/id"
)

// fetch makes a request without a body, with headers in pairs.
func fetch(t *testing.T, method, url string, headers ...string) (*http.Response, []byte) {
	t.Helper()
	request := must[*http.Request](t, "request")(http.NewRequestWithContext(t.Context(), method, url, nil))
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	reply := must[*http.Response](t, url)(http.DefaultClient.Do(request))
	defer reply.Body.Close()
	return reply, must[[]byte](t, url)(io.ReadAll(reply.Body))
}

// uploadForm sends a file of size bytes as a form, without holding it.
func uploadForm(ctx context.Context, base, token, name string, file io.Reader) (int, map[string]any, error) {
	from, to := io.Pipe()
	form := multipart.NewWriter(to)
	go func() {
		part, err := form.CreateFormFile("file", name)
		if err == nil {
			_, err = io.Copy(part, file)
		}
		if err == nil {
			err = form.Close()
		}
		to.CloseWithError(err)
	}()
	defer from.Close() // ends the writer, too, where the server did not read to the end
	request, err := http.NewRequestWithContext(ctx, "POST", base+"/api/media/upload", from)
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", form.FormDataContentType())
	request.Header.Set("Authorization", "Bearer "+token)
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer reply.Body.Close()
	out := map[string]any{}
	return reply.StatusCode, out, json.NewDecoder(reply.Body).Decode(&out)
}

// TestMedia gives a file to a conversation, and looks at it as each of three people.
func TestMedia(t *testing.T) {
	onStacks(t, func(t *testing.T, on stack) {
		s := startOn(t, on, nil)
		var numbers phones
		var people [3]person // the owner, the other one, a stranger
		for i := range people {
			people[i] = must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "somebody"))
		}
		body := bytes.Repeat([]byte("0123456789"), 100_000)
		status, up, err := uploadForm(t.Context(), s.URL, people[0].Token, "../numbers.txt", bytes.NewReader(body))
		if err != nil || status != 200 || up["fileName"] != "numbers.txt" || up["size"] != float64(len(body)) {
			t.Fatalf("upload: %d %v %v", status, up, err)
		}
		path := s.URL + "/api/media/media/" + fmt.Sprint(up["mediaId"])
		ask := func(i int, query string) int {
			t.Helper()
			status, out, err := call(t.Context(), "GET", path+query, people[i].Token, nil)
			if err != nil || status != 200 && out["error"] != "Media not found" {
				t.Fatalf("%d %v %v", status, out, err)
			}
			return status
		}
		for i, want := range []int{200, 404, 404} {
			if got := ask(i, ""); got != want {
				t.Errorf("before it is sent, person %d: %d, want %d", i, got, want)
			}
		}
		status, sent, err := call(t.Context(), "POST", s.URL+"/api/messages", people[0].Token, map[string]any{"receiverId": people[1].ID, "messageType": "file", "mediaUrls": []any{up["url"]}})
		if err != nil || status != 200 {
			t.Fatalf("send: %d %v %v", status, sent, err)
		}
		for i, want := range []int{200, 200, 404} {
			for _, query := range []string{"", "?messageId=" + fmt.Sprint(sent["messageId"]), "?threadId=" + fmt.Sprint(sent["threadId"])} {
				if got := ask(i, query); got != want {
					t.Errorf("after it is sent, person %d, %q: %d, want %d", i, query, got, want)
				}
			}
		}
		link := fmt.Sprint(up["url"])
		if whole, got := fetch(t, "GET", link); whole.StatusCode != 200 || !bytes.Equal(got, body) ||
			!strings.HasPrefix(whole.Header.Get("Content-Disposition"), "attachment") || whole.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%d %v, %d bytes", whole.StatusCode, whole.Header, len(got))
		}
		if part, got := fetch(t, "GET", link, "Range", "bytes=999995-"); part.StatusCode != 206 || string(got) != "56789" || part.Header.Get("Content-Range") != "bytes 999995-999999/1000000" {
			t.Errorf("%d %v %q", part.StatusCode, part.Header, got)
		}
		if head, got := fetch(t, "HEAD", link); head.StatusCode != 200 || len(got) != 0 || head.ContentLength != int64(len(body)) {
			t.Errorf("%d %v", head.StatusCode, head.Header)
		}
		if bad, _ := fetch(t, "GET", link+"x"); bad.StatusCode != 403 {
			t.Errorf("a bad signature: %d", bad.StatusCode)
		}
		for i := 1; i < len(people); i++ {
			if status, out, err := call(t.Context(), "DELETE", path, people[i].Token, nil); err != nil || status != 403 {
				t.Errorf("delete as person %d: %d %v %v", i, status, out, err)
			}
		}
		if status, out, err := call(t.Context(), "DELETE", path, people[0].Token, nil); err != nil || status != 200 {
			t.Errorf("delete: %d %v %v", status, out, err)
		}
		if gone, _ := fetch(t, "GET", link); gone.StatusCode != 404 {
			t.Errorf("after the delete: %d", gone.StatusCode)
		}
		if got := ask(0, ""); got != 404 {
			t.Errorf("after the delete: %d", got)
		}
	})
}

// endless gives bytes that no two uploads share, for ever.
type endless struct{ n uint64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		e.n = e.n*6364136223846793005 + 1442695040888963407
		p[i] = byte(e.n >> 56)
	}
	return len(p), nil
}

// TestFileLimit sends a file of exactly the limit, and one of a byte more.
func TestFileLimit(t *testing.T) {
	t.Parallel()
	const limit = 100 << 20
	s := start(t, nil)
	var numbers phones
	p := must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "p"))
	status, up, err := uploadForm(t.Context(), s.URL, p.Token, "exact.bin", io.LimitReader(&endless{}, limit))
	if err != nil || status != 200 || up["size"] != float64(limit) {
		t.Errorf("100 MiB: %d %v %v", status, up, err)
	}
	status, up, err = uploadForm(t.Context(), s.URL, p.Token, "more.bin", io.LimitReader(&endless{}, limit+1))
	if err != nil || status != 413 || up["error"] != "File too large" {
		t.Errorf("a byte more: %d %v %v", status, up, err)
	}
}

// TestUploadsAtOnce sends a hundred files at once to a server in a process of its own, and looks at its
// memory. TOLKFLIP_TEST_UPLOAD_MIB makes the files larger than they are else.
func TestUploadsAtOnce(t *testing.T) {
	const uploads, most = 100, 100_000_000
	size := int64(2 << 20)
	if v := os.Getenv("TOLKFLIP_TEST_UPLOAD_MIB"); v != "" {
		size = int64(must[int](t, "TOLKFLIP_TEST_UPLOAD_MIB")(strconv.Atoi(v))) << 20
	}
	run := func(t *testing.T, env []string, args ...string) {
		t.Helper()
		c := startChildIn(t, env, t.TempDir(), append([]string{"--store", "memory:"}, args...)...)
		var numbers phones
		p := must[person](t, "register")(register(t.Context(), c.URL, numbers.number(), "p"))
		for range 3 { // what is made once is made
			if status, up, err := uploadForm(t.Context(), c.URL, p.Token, "warm.bin", io.LimitReader(&endless{7}, size)); err != nil || status != 200 {
				t.Fatalf("%d %v %v", status, up, err)
			}
		}
		before := c.memory(t, "VmRSS")
		var all sync.WaitGroup
		for i := range uploads {
			all.Go(func() {
				status, up, err := uploadForm(t.Context(), c.URL, p.Token, "file.bin", io.LimitReader(&endless{uint64(i)}, size))
				if err != nil || status != 200 || up["size"] != float64(size) {
					t.Errorf("%d: %d %v %v", i, status, up, err)
					return
				}
				m, err := id.Parse(fmt.Sprint(up["mediaId"]))
				if err != nil || m.IsZero() {
					t.Errorf("%d: %v", i, up)
				}
			})
		}
		all.Wait()
		grown := c.memory(t, "VmHWM") - before
		t.Logf("%d uploads of %d MiB at once: from %d MB, grown by %d MB at the most", uploads, size>>20, before/1_000_000, grown/1_000_000)
		if grown > most {
			t.Errorf("the memory grew by %d MB", grown/1_000_000)
		}
	}
	t.Run("embedded", func(t *testing.T) { run(t, nil) })
	t.Run("real", func(t *testing.T) {
		on := realStack(t)
		run(t, []string{"TOLKFLIP_BLOB_KEY=" + on.secrets["blob-key"], "TOLKFLIP_BLOB_SECRET=" + on.secrets["blob-secret"]}, "--blob", on.blob)
	})
}

// memory reads a line of the process's status, in bytes.
func (c *child) memory(t *testing.T, line string) int64 {
	t.Helper()
	status := must[[]byte](t, "status")(os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid)))
	_, rest, _ := strings.Cut(string(status), line+":")
	kib, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	return must[int64](t, line)(strconv.ParseInt(kib, 10, 64)) << 10
}
