package media

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router/chat"
)

const alphabet = "abcdefghijklmnopqrstuvwxyz"

func TestParseRange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		header  string
		size    int64
		from, n int64
		verdict rangeVerdict
	}{
		{"bytes=0-0", 26, 0, 1, rangeGood},
		{"bytes=0-25", 26, 0, 26, rangeGood},
		{"bytes=0-26", 26, 0, 26, rangeGood},
		{"bytes=5-9", 26, 5, 5, rangeGood},
		{"bytes=25-", 26, 25, 1, rangeGood},
		{"bytes=0-", 26, 0, 26, rangeGood},
		{"bytes=-1", 26, 25, 1, rangeGood},
		{"bytes=-26", 26, 0, 26, rangeGood},
		{"bytes=-100", 26, 0, 26, rangeGood},
		{"bytes=3-99999999999999999999", 26, 3, 23, rangeGood},
		{"bytes=-99999999999999999999", 26, 0, 26, rangeGood},
		{"bytes= 5-9", 26, 5, 5, rangeGood},
		{"bytes=26-", 26, 0, 0, rangeOutside},
		{"bytes=26-30", 26, 0, 0, rangeOutside},
		{"bytes=99999999999999999999-", 26, 0, 0, rangeOutside},
		{"bytes=-0", 26, 0, 0, rangeOutside},
		{"bytes=0-", 0, 0, 0, rangeOutside},
		{"bytes=-5", 0, 0, 0, rangeOutside},
		{"bytes=9-5", 26, 0, 26, rangeIgnored},
		{"bytes=0-1,3-4", 26, 0, 26, rangeIgnored},
		{"bytes=", 26, 0, 26, rangeIgnored},
		{"bytes=-", 26, 0, 26, rangeIgnored},
		{"bytes=x-5", 26, 0, 26, rangeIgnored},
		{"bytes=5-x", 26, 0, 26, rangeIgnored},
		{"bytes=+5-9", 26, 0, 26, rangeIgnored},
		{"bytes=-5-9", 26, 0, 26, rangeIgnored},
		{"lines=0-1", 26, 0, 26, rangeIgnored},
		{"0-1", 26, 0, 26, rangeIgnored},
	} {
		from, n, v := parseRange(c.header, c.size)
		if from != c.from && v != rangeOutside || n != c.n && v != rangeOutside || v != c.verdict {
			t.Errorf("%q of %d: %d+%d %d, want %d+%d %d", c.header, c.size, from, n, v, c.from, c.n, c.verdict)
		}
	}
}

func FuzzParseRange(f *testing.F) {
	f.Add("bytes=0-1", int64(10))
	f.Add("bytes=-5", int64(3))
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		from, n, v := parseRange(header, size)
		if v == rangeGood && (from < 0 || n < 1 || from+n > size) || v == rangeIgnored && (from != 0 || n != size) {
			t.Errorf("%q of %d: %d+%d %d", header, size, from, n, v)
		}
	})
}

func TestContent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	up := w.upload(w.ann, "letters.txt", alphabet)
	link := w.local(up.Body["url"])
	anybody := w.server.ViaGateway(id.User{})
	created := w.now.now().UTC().Format(http.TimeFormat)
	tag := `"` + w.idOf(up) + `"`
	for _, c := range []struct {
		name    string
		headers []string
		status  int
		body    string
		within  string
	}{
		{"whole", nil, 200, alphabet, ""},
		{"a range", []string{"Range", "bytes=2-4"}, 206, "cde", "bytes 2-4/26"},
		{"the end", []string{"Range", "bytes=-3"}, 206, "xyz", "bytes 23-25/26"},
		{"behind the end", []string{"Range", "bytes=26-"}, 416, "", "bytes */26"},
		{"several ranges", []string{"Range", "bytes=0-1,3-4"}, 200, alphabet, ""},
		{"fresh by tag", []string{"Range", "bytes=2-4", "If-Range", tag}, 206, "cde", "bytes 2-4/26"},
		{"fresh by date", []string{"Range", "bytes=2-4", "If-Range", created}, 206, "cde", "bytes 2-4/26"},
		{"stale by tag", []string{"Range", "bytes=2-4", "If-Range", `"other"`}, 200, alphabet, ""},
		{"a weak tag", []string{"Range", "bytes=2-4", "If-Range", "W/" + tag}, 200, alphabet, ""},
		{"stale by date", []string{"Range", "bytes=2-4", "If-Range", "Mon, 01 Jan 2024 00:00:00 GMT"}, 200, alphabet, ""},
		{"known", []string{"If-None-Match", `"a", W/` + tag}, 304, "", ""},
		{"known, a range", []string{"If-None-Match", tag, "Range", "bytes=2-4"}, 304, "", ""},
		{"another is known", []string{"If-None-Match", `"a"`}, 200, alphabet, ""},
	} {
		r := anybody.Send("GET", link, nil, c.headers...)
		if r.Status != c.status || c.status < 400 && r.Text != c.body || r.Header.Get("Content-Range") != c.within {
			t.Errorf("%s: %d %q range %q, want %d %q %q", c.name, r.Status, r.Text, r.Header.Get("Content-Range"), c.status, c.body, c.within)
		}
		want := map[string]string{
			"Etag": tag, "Accept-Ranges": "bytes", "Cache-Control": "private, max-age=86400, immutable", "X-Content-Type-Options": "nosniff",
			"Content-Security-Policy": policy, "Last-Modified": created, "Cross-Origin-Resource-Policy": "cross-origin",
			"Content-Disposition": `attachment; filename="letters.txt"; filename*=UTF-8''letters.txt`,
		}
		if c.status == 416 {
			want = map[string]string{"Cache-Control": "no-store", "Content-Type": "application/json; charset=utf-8"}
		} else if c.status < 300 {
			want["Content-Type"] = octets
		}
		for k, v := range want {
			if r.Header.Get(k) != v {
				t.Errorf("%s: %s is %q, want %q", c.name, k, r.Header.Get(k), v)
			}
		}
	}
	head := anybody.Send("HEAD", link, nil, "Range", "bytes=2-4")
	if head.Status != 200 || head.Text != "" || head.Header.Get("Content-Length") != "26" || head.Header.Get("Etag") != tag {
		t.Errorf("HEAD: %d %v", head.Status, head.Header)
	}
}

// TestHarmless stores what could run, under names that lie, and looks at how it comes back.
func TestHarmless(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for _, c := range []struct{ name, body, mime, as, how string }{
		{"cat.png", `<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`, "image/svg+xml", octets, "attachment"},
		{"cat.jpg", "<html><script>alert(1)</script>", "text/html", octets, "attachment"},
		{"cat.png", "MZ\x90\x00", "application/vnd.microsoft.portable-executable", octets, "attachment"},
		{"page.html", "GIF89a\x01\x00\x01\x00<script>alert(1)</script>", "image/gif", "image/gif", "inline"},
		{"key.bin", "\x93\x01\x02\x03\xff", octets, octets, "attachment"},
		{"film.mp4", "\x00\x00\x00\x18ftypmp42", "video/mp4", "video/mp4", "inline"},
	} {
		up := w.upload(w.ann, c.name, c.body)
		has(t, up, "mimeType", c.mime)
		r := w.server.ViaGateway(id.User{}).Send("GET", w.local(up.Body["url"]), nil)
		if r.Status != 200 || r.Text != c.body || r.Header.Get("Content-Type") != c.as || !strings.HasPrefix(r.Header.Get("Content-Disposition"), c.how+"; ") ||
			r.Header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(r.Header.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s: %d %v", c.name, r.Status, r.Header)
		}
		down := w.server.ViaGateway(id.User{}).Send("GET", w.local(up.Body["url"])+"&download=1", nil)
		if !strings.HasPrefix(down.Header.Get("Content-Disposition"), "attachment; ") {
			t.Errorf("%s: %v", c.name, down.Header)
		}
	}
	for key, kind := range w.blobs.keys {
		if kind == "text/html" || kind == "image/svg+xml" || strings.Contains(key, "..") {
			t.Errorf("%s is stored as %s", key, kind)
		}
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	up, other := w.upload(w.ann, "a.txt", "mine"), w.upload(w.ann, "b.txt", "other")
	link := w.local(up.Body["url"])
	anybody := w.server.ViaGateway(id.User{})
	path, query, _ := strings.Cut(link, "?")
	for name, bad := range map[string]string{
		"another file":        strings.Replace(link, w.idOf(up), w.idOf(other), 1),
		"a later end":         strings.Replace(link, "expires=18", "expires=19", 1),
		"an end with a zero":  strings.Replace(link, "expires=", "expires=0", 1),
		"a negative end":      strings.Replace(link, "expires=", "expires=-", 1),
		"no end":              path + "?" + query[strings.Index(query, "&")+1:],
		"no number":           path + "?expires=x&" + query[strings.Index(query, "&")+1:],
		"a cut signature":     link[:len(link)-1],
		"a longer signature":  link + "A",
		"another signature":   link[:strings.Index(link, "signature=")+10] + strings.Repeat("A", 43),
		"two ends, last good": path + "?expires=1&" + query,
	} {
		if r := anybody.Do("GET", bad, nil); r.Status != 403 || r.Body["error"] != "This link is not valid any more" {
			t.Errorf("%s: %d %s", name, r.Status, r.Text)
		}
	}
	if r := anybody.Do("GET", path, nil); r.Status != 401 {
		t.Errorf("no signature and no token: %d %s", r.Status, r.Text)
	}
	if r := anybody.Do("GET", strings.Replace(path, w.idOf(up), "x", 1), nil); r.Status != 404 {
		t.Errorf("no id: %d %s", r.Status, r.Text)
	}
	if n := value(t, w.svc.metrics.badLinks); n != 10 {
		t.Errorf("%v bad links counted", n)
	}
	w.now.add(21*time.Hour - time.Second)
	if r := anybody.Want(200, "GET", link, nil); r.Text != "mine" {
		t.Errorf("%q", r.Text)
	}
	again := w.server.ViaGateway(w.ann).Want(200, "GET", "/api/media/"+w.idOf(up), nil)
	if w.local(again.Body["url"]) == link {
		t.Error("hours later the link is the same")
	}
	w.now.add(3*time.Hour + time.Second)
	if r := anybody.Do("GET", link, nil); r.Status != 403 {
		t.Errorf("after its end: %d %s", r.Status, r.Text)
	}
	if r := anybody.Want(200, "GET", w.local(again.Body["url"]), nil); r.Text != "mine" {
		t.Errorf("the new one: %q", r.Text)
	}
	if r := w.server.ViaGateway(w.ann).Want(200, "GET", path, nil); r.Text != "mine" {
		t.Errorf("by token: %q", r.Text)
	}
}

func TestLinkEnds(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_800_000_000, 0)
	l := links{key: []byte("k"), life: 24 * time.Hour, now: func() time.Time { return at }}
	ends := map[int64]int{}
	for range 24 * 60 {
		at = at.Add(time.Minute)
		end := l.expires()
		if left := time.Unix(end, 0).Sub(at); left > 24*time.Hour || left <= 21*time.Hour {
			t.Fatalf("a link lives %v", left)
		}
		ends[end]++
	}
	if len(ends) > 9 {
		t.Errorf("%d links in a day", len(ends))
	}
	l.life = 2 * time.Second
	if l.expires() != at.Unix()+2 {
		t.Errorf("a short life: %d", l.expires()-at.Unix())
	}
}

// TestWhoMayRead goes through all the ways in which a file is somebody's.
func TestWhoMayRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	dan := w.User("dan")
	group := w.Group("club", w.ann, w.bob, dan)
	post := func(from id.User, p chat.Post) id.Message {
		t.Helper()
		sent, err := w.Chat.Post(t.Context(), from, p)
		if err != nil {
			t.Fatal(err)
		}
		return sent.Message
	}
	urls := func(r string) proto.Draft { return proto.Draft{MediaURLs: [][]byte{[]byte(r)}} }

	mine := w.idOf(w.upload(w.ann, "mine.txt", "mine"))
	inThread := w.idOf(w.upload(w.ann, "t.txt", "t", part{name: "thread_id", body: w.thread.String()}))
	inGroup := w.idOf(w.upload(w.ann, "g.txt", "g", part{name: "thread_id", body: group.String()}))
	sent := w.upload(w.ann, "s.txt", "s")
	sentMessage := post(w.ann, chat.Post{Receiver: w.bob, Draft: urls(sent.Body["url"].(string))})
	asContent := w.idOf(w.upload(w.ann, "c.txt", "c"))
	post(w.ann, chat.Post{Thread: w.thread, Draft: proto.Draft{Content: []byte("https://x.example/files/" + asContent + ".txt")}})
	toGroup := w.upload(w.ann, "tg.txt", "tg")
	groupMessage := post(w.ann, chat.Post{Thread: group, Draft: urls(toGroup.Body["url"].(string))})
	stolen := w.upload(w.cem, "cem.txt", "cem")
	byAnother := post(w.ann, chat.Post{Thread: w.thread, Draft: urls(stolen.Body["url"].(string))}) // ann had the link

	for _, c := range []struct {
		name, media, query string
		reads              []id.User
	}{
		{"a file of nobody else's", mine, "", []id.User{w.ann}},
		{"a file of nobody else's, with a message that does not name it", mine, "?messageId=" + sentMessage.String(), []id.User{w.ann}},
		{"given to a thread", inThread, "", []id.User{w.ann, w.bob}},
		{"given to a group", inGroup, "", []id.User{w.ann, w.bob, dan}},
		{"sent", w.idOf(sent), "", []id.User{w.ann, w.bob}},
		{"sent, with the message", w.idOf(sent), "?messageId=" + sentMessage.String(), []id.User{w.ann, w.bob}},
		{"sent, with the thread", w.idOf(sent), "?thread_id=" + w.thread.String(), []id.User{w.ann, w.bob}},
		{"sent as content", asContent, "", []id.User{w.ann, w.bob}},
		{"sent to a group", w.idOf(toGroup), "", []id.User{w.ann}},
		{"sent to a group, with the message", w.idOf(toGroup), "?message_id=" + groupMessage.String(), []id.User{w.ann, w.bob, dan}},
		{"sent to a group, with the thread", w.idOf(toGroup), "?threadId=" + group.String(), []id.User{w.ann, w.bob, dan}},
		{"named by one who does not own it", w.idOf(stolen), "?messageId=" + byAnother.String(), []id.User{w.cem}},
		{"named by one who does not own it, with the thread", w.idOf(stolen), "?threadId=" + w.thread.String(), []id.User{w.cem}},
		{"an unknown message", w.idOf(sent), "?messageId=" + id.NewUser().String(), []id.User{w.ann, w.bob}},
		{"an unknown file", id.NewMedia().String(), "", nil},
	} {
		for _, u := range []id.User{w.ann, w.bob, w.cem, dan} {
			want := 404
			for _, r := range c.reads {
				if r == u {
					want = 200
				}
			}
			for _, path := range []string{"/api/media/media/" + c.media, "/api/media/" + c.media, "/api/media/" + c.media + "/content"} {
				r := w.server.ViaGateway(u).Do("GET", path+c.query, nil)
				if r.Status != want || want == 404 && r.Body["error"] != "Media not found" {
					t.Errorf("%s, user %s, %s: %d %s, want %d", c.name, u, path, r.Status, r.Text, want)
				}
			}
		}
	}
	if r := w.server.ViaGateway(w.bob).Do("GET", "/api/media/"+mine+"?messageId=x", nil); r.Status != 400 || r.Body["field"] != "messageId" {
		t.Errorf("no message id: %d %s", r.Status, r.Text)
	}
	if err := w.Store.Members().Remove(t.Context(), group, dan); err != nil {
		t.Fatal(err)
	}
	w.Chat.MembersChanged(group, nil, []id.User{dan})
	for _, path := range []string{inGroup, w.idOf(toGroup) + "?messageId=" + groupMessage.String()} {
		if r := w.server.ViaGateway(dan).Do("GET", "/api/media/"+path, nil); r.Status != 404 {
			t.Errorf("one who left: %d %s", r.Status, r.Text)
		}
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	up := w.upload(w.ann, "a.png", encoded(t, "png", painted(300, 300)), part{name: "thread_id", body: w.thread.String()})
	path, link := "/api/media/"+w.idOf(up), w.local(up.Body["url"])
	if w.blobs.stored() != 2 {
		t.Fatalf("%d files", w.blobs.stored())
	}
	for _, u := range []id.User{w.bob, w.cem} {
		w.server.ViaGateway(u).Refused(403, "Unauthorized", "", "DELETE", path, nil)
	}
	w.server.ViaGateway(w.ann).Refused(404, "Media not found", "", "DELETE", "/api/media/"+id.NewMedia().String(), nil)
	w.server.ViaGateway(w.ann).Refused(404, "Media not found", "", "DELETE", "/api/media/x", nil)
	w.server.ViaGateway(w.ann).Want(200, "DELETE", path, nil)
	w.empty("a delete")
	w.server.ViaGateway(w.ann).Refused(404, "Media not found", "", "DELETE", path, nil)
	w.server.ViaGateway(w.ann).Refused(404, "Media not found", "", "GET", path, nil)
	w.server.ViaGateway(id.User{}).Refused(404, "Media not found", "", "GET", link, nil)
}

// TestStoreLinks uses the addresses that a store has of its own.
func TestStoreLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.blobs.sign = true
	pic := w.upload(w.ann, "a.png", encoded(t, "png", painted(300, 300)))
	doc := w.upload(w.ann, "a b.html", "<html>")
	key := "https://files.example/" + w.ann.String() + "/"
	has(t, pic, "url", key+w.idOf(pic)+".png?as=&for=79200")
	has(t, pic, "thumbnailUrl", key+w.idOf(pic)+"_thumb.jpg?as=&for=79200")
	has(t, doc, "url", key+w.idOf(doc)+".html?as=a+b.html&for=79200")
	small := w.server.As(w.ann).Want(200, "GET", "/media/"+w.idOf(pic)+"?thumbnail=true", nil)
	has(t, small, "url", pic.Body["thumbnailUrl"])
	has(t, small, "mimeType", "image/png")
	large := w.server.As(w.ann).Want(200, "GET", "/media/"+w.idOf(pic)+"?thumbnail=yes", nil)
	has(t, large, "url", pic.Body["url"])
}
