package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestBrowserMedia sends pictures and files from one tab to another in all the ways that the page knows.
func TestBrowserMedia(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { testBrowserMedia(t, embedded(), "") })
	t.Run("real", func(t *testing.T) {
		on := realStack(t)
		t.Run("through the server", func(t *testing.T) { testBrowserMedia(t, on, "") })
		t.Run("from the bucket", func(t *testing.T) {
			u, _, _ := s3Of(t, os.Getenv("TOLKFLIP_TEST_S3"))
			testBrowserMedia(t, on, "http://"+u.Host)
		})
	})
}

// testBrowserMedia reads files from this server, or from the store itself at direct.
func testBrowserMedia(t *testing.T, on stack, direct string) {
	srv := startOn(t, on, func(c *Config) { c.BlobPublicURL = direct })
	b := newBrowser(t)
	g := gallery{dir: t.TempDir(), direct: direct}
	g.ada = b.visit("Ada Lovelace", g.numbers.number(), srv.URL)
	g.ada.register()
	g.bob = b.visit("Bob Moog", g.numbers.number(), srv.URL)
	g.bob.register()
	g.ada.find(g.bob)
	t.Run("a picture", g.picture)
	t.Run("a file with words", g.file)
	t.Run("paste and drop", g.pasteAndDrop)
	t.Run("a failure", g.failure)
	t.Run("sound", g.sound)
	t.Run("a reload", g.reload)
}

// gallery is who plays in TestBrowserMedia.
type gallery struct {
	dir      string
	direct   string // where the tabs read files, if not here
	numbers  phones
	ada, bob *tab
}

// write makes a file to send.
func (g *gallery) write(t *testing.T, name string, body []byte) string {
	t.Helper()
	path := filepath.Join(g.dir, name)
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// photo is a PNG of hills under a sky, with enough noise in it to be as large as a photo.
func photo(t *testing.T, w, h int) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	noise := rand.New(rand.NewPCG(1, 2))
	for y := range h {
		for x := range w {
			n := uint8(noise.IntN(24))
			c := color.NRGBA{90 + n, 140 + n, 210 + n, 255}
			switch hill := h*2/3 - (x-w/3)*(x-w/3)*2/w; {
			case y > h*4/5:
				c = color.NRGBA{60 + n, 110 + n, 50 + n, 255}
			case y > hill:
				c = color.NRGBA{100 + n, 90 + n, 110 + n, 255}
			}
			img.SetNRGBA(x, y, c)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pick chooses files as the system's dialog would.
func (p *tab) pickFiles(files ...string) {
	p.t.Helper()
	p.do(chromedp.SetUploadFiles(chromedp.CSS(`.compose input[type="file"]`), files, chromedp.NodeReady))
}

// slow makes the tab's uploads crawl at so many bytes a second, 0 = as fast as they go.
func (p *tab) slow(rate float64) {
	p.t.Helper()
	if rate == 0 {
		rate = -1
	}
	conditions := network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{{DownloadThroughput: -1, UploadThroughput: rate}}}
	if _, err := chromedp.Call(p.ctx, network.EmulateNetworkConditionsByRule, conditions); err != nil {
		p.t.Fatal(err)
	}
}

func (g *gallery) picture(t *testing.T) {
	body := photo(t, 1200, 800)
	g.ada.pickFiles(g.write(t, "Hills at noon.png", body))
	g.ada.until("the tray shows it", `document.querySelector(".tray:not([hidden]) .file-name")?.textContent === "Hills at noon.png" && document.querySelector(".tray img").naturalWidth === 1200 && !document.querySelector(".send").disabled`)
	g.ada.look("tray")
	g.ada.slow(150_000)
	g.ada.click(".send")
	g.ada.until("it makes its way", `(() => { const bar = document.querySelector(".message.own progress:not([hidden])"); return bar && bar.value > 0 && bar.value < 1 && document.querySelector(".cancel:not([hidden])"); })()`)
	g.ada.look("sending")
	g.ada.slow(0)
	g.ada.ticks("delivered")
	g.ada.until("the bar is gone", `document.querySelector(".message progress").hidden && document.querySelector(".cancel").hidden`)
	g.bob.row("Ada Lovelace", "Photo", 1)

	g.bob.js(`new MutationObserver(() => { window.room ??= document.querySelector(".picture")?.getBoundingClientRect().height; }).observe(document.body, { childList: true, subtree: true })`)
	g.bob.openChat("Ada Lovelace")
	g.bob.until("the picture is shown", `document.querySelector(".message.theirs .picture img")?.naturalWidth > 0`)
	g.bob.until("in the room that it took at first", `Math.abs(document.querySelector(".picture").getBoundingClientRect().height - window.room) < 1 && Math.round(window.room) === 213`)
	g.bob.until("it is a thumbnail", fmt.Sprintf(`(document.querySelector(".picture img").naturalWidth === 200) === %t`, len(body) > 1_500_000))
	g.bob.look("picture")
	g.bob.js(`document.querySelector(".picture").focus()`)
	g.bob.do(chromedp.KeyEvent(kb.Enter))
	g.bob.until("it is open, as large as it is", `document.querySelector("dialog.viewer[open] > img")?.naturalWidth === 1200 && document.querySelector(".viewer-name").textContent === "Hills at noon.png"`)
	g.bob.look("viewer")
	g.bob.do(chromedp.KeyEvent(kb.Escape))
	g.bob.until("it is closed", `!document.querySelector("dialog")`)
}

// saves notes what the tab would save, in place of saving it.
func (p *tab) saves(button string) {
	p.t.Helper()
	p.js(`window.saved = null; window.click = HTMLAnchorElement.prototype.click; HTMLAnchorElement.prototype.click = function () { window.saved = { href: this.href, name: this.download }; }`)
	p.js(button + `.click()`)
	p.until("it is saved", `window.saved`)
	p.js(`HTMLAnchorElement.prototype.click = window.click`)
}

func (g *gallery) file(t *testing.T) {
	text := strings.Repeat("Chapter one. ", 1000)
	g.ada.pickFiles(g.write(t, "Notes <b>.txt", []byte(text)))
	g.ada.write("textarea", "The notes that I spoke of")
	g.ada.enter()
	g.ada.ticks("read", "read")
	g.bob.until("it is a card with its name, size and words", `(() => {
		const m = [...document.querySelectorAll(".message.theirs")].at(-1);
		return m.querySelector(".file-name")?.textContent === "Notes _b_.txt" && m.querySelector(".file-size").textContent === "13 KB" && m.querySelector(".text").textContent === "The notes that I spoke of" && !m.querySelector(".file-name b");
	})()`)
	g.bob.look("file")
	g.bob.saves(`[...document.querySelectorAll(".theirs .card-file")].at(-1)`)
	if g.direct != "" { // which the page may show, and not read
		g.bob.until("it comes from the store", `window.saved.href.startsWith(%s) && window.saved.href.includes("attachment")`, g.direct+"/")
		return
	}
	g.bob.js(`fetch(window.saved.href).then(async (r) => { window.saved.text = await r.text(); window.saved.how = r.headers.get("Content-Disposition"); })`)
	g.bob.until("it is the same text", `window.saved.text === "Chapter one. ".repeat(1000) && window.saved.how.startsWith("attachment") && window.saved.name === "Notes _b_.txt"`)
	g.ada.saves(`[...document.querySelectorAll(".own .card-file")].at(-1)`)
	g.ada.until("her own is in her tab already", `window.saved.href.startsWith("blob:")`)
}

func (g *gallery) pasteAndDrop(*testing.T) {
	g.ada.js(`(async () => {
		const canvas = new OffscreenCanvas(300, 500);
		const c = canvas.getContext("2d");
		c.fillStyle = "#c43"; c.fillRect(0, 0, 300, 500); c.fillStyle = "#fff"; c.fillRect(50, 50, 200, 100);
		window.red = new File([await canvas.convertToBlob({ type: "image/png" })], "red.png", { type: "image/png" });
		const pasted = new DataTransfer();
		pasted.items.add(window.red);
		document.querySelector("textarea").dispatchEvent(new ClipboardEvent("paste", { clipboardData: pasted, bubbles: true, cancelable: true }));
	})()`)
	g.ada.until("the pasted one is in the tray", `document.querySelectorAll(".tray-file").length === 1`)
	g.ada.js(`(() => {
		window.dropped = new DataTransfer();
		window.dropped.items.add(new File(["a,b\n1,2\n"], "table.csv", { type: "text/csv" }));
		window.dropped.items.add(new File(["x"], "unwanted.txt", { type: "text/plain" }));
		document.querySelector(".pane").dispatchEvent(new DragEvent("dragenter", { dataTransfer: window.dropped, bubbles: true, cancelable: true }));
	})()`)
	g.ada.until("the page says that it takes them", `!document.querySelector(".drop").hidden`)
	g.ada.look("drop")
	g.ada.js(`document.querySelector(".messages").dispatchEvent(new DragEvent("drop", { dataTransfer: window.dropped, bubbles: true, cancelable: true }))`)
	g.ada.until("all are in the tray", `document.querySelector(".drop").hidden && document.querySelectorAll(".tray-file").length === 3`)
	g.ada.click(`[aria-label="Remove unwanted.txt"]`)
	g.ada.until("one is not", `document.querySelectorAll(".tray-file").length === 2`)
	g.ada.write("textarea", "Two of them")
	g.ada.enter()
	g.bob.until("they come in their order, the words behind", `(() => {
		const last = [...document.querySelectorAll(".message.theirs")].slice(-3);
		return last[0]?.querySelector(".picture img")?.naturalHeight === 500 && last[1]?.querySelector(".file-name")?.textContent === "table.csv" && last[2]?.querySelector(".text")?.textContent === "Two of them";
	})()`)
	g.bob.look("several")
}

func (g *gallery) failure(*testing.T) {
	g.ada.js(`window.opened = XMLHttpRequest.prototype.open; XMLHttpRequest.prototype.open = function (method, url) { return window.opened.call(this, method, url + "/nowhere"); };
		window.own = document.querySelectorAll(".message.own").length;`)
	g.ada.js(`(() => {
		const dropped = new DataTransfer();
		dropped.items.add(window.red);
		document.querySelector(".pane").dispatchEvent(new DragEvent("drop", { dataTransfer: dropped, bubbles: true, cancelable: true }));
	})()`)
	g.ada.click(".send")
	g.ada.until("it says so", `[...document.querySelectorAll(".failed:not([hidden])")].at(-1)?.textContent.startsWith("Not sent:")`)
	g.ada.ticks("failed")
	g.ada.look("failed-upload")
	g.ada.js(`XMLHttpRequest.prototype.open = window.opened; document.querySelector(".failed:not([hidden]) button").click()`)
	g.ada.ticks("read")
	g.ada.until("once", `document.querySelectorAll(".message.own").length === window.own + 1 && !document.querySelector(".failed:not([hidden])")`)

	g.ada.js(`XMLHttpRequest.prototype.open = function (method, url) { return window.opened.call(this, method, url + "/nowhere"); };
		(() => {
			const dropped = new DataTransfer();
			dropped.items.add(window.red);
			document.querySelector(".pane").dispatchEvent(new DragEvent("drop", { dataTransfer: dropped, bubbles: true, cancelable: true }));
		})()`)
	g.ada.click(".send")
	g.ada.ticks("failed")
	g.ada.js(`XMLHttpRequest.prototype.open = window.opened; [...document.querySelectorAll(".failed:not([hidden]) button")].at(-1).click()`)
	g.ada.until("it is taken back", `document.querySelectorAll(".message.own").length === window.own + 1`)
}

func (g *gallery) sound(t *testing.T) {
	const samples = 8000
	wav := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x40\x1f\x00\x00\x01\x00\x08\x00data\x40\x1f\x00\x00")
	wav = append(wav, bytes.Repeat([]byte{128}, samples)...)
	wav[4], wav[5] = byte(len(wav)-8), byte((len(wav)-8)>>8)
	g.ada.pickFiles(g.write(t, "note.wav", wav))
	g.ada.until("it is in the tray", `document.querySelectorAll(".tray-file").length === 1`)
	g.ada.click(".send")
	g.bob.until("there is something to play", `[...document.querySelectorAll(".theirs audio")].at(-1)?.src`)
	g.bob.js(`document.querySelector(".theirs audio").load(); document.querySelector(".theirs audio").preload = "auto"`)
	g.bob.until("of one second", `document.querySelector(".theirs audio").duration === 1`)
	g.bob.row("Ada Lovelace", "Audio", 0)
}

func (g *gallery) reload(*testing.T) {
	g.bob.do(chromedp.Reload())
	g.bob.signedIn()
	g.bob.openChat("Ada Lovelace")
	g.bob.until("all is there again", `document.querySelectorAll(".message.theirs .picture").length === 3 && document.querySelectorAll(".message.theirs .card-file").length === 2 && document.querySelector(".theirs audio")`)
	g.bob.js(`document.querySelector(".messages").scrollTop = 0`)
	g.bob.until("the first picture too", `document.querySelector(".message.theirs .picture img").naturalWidth > 0`)
	g.bob.until("nothing is missing", `![...document.querySelectorAll(".why")].some((e) => !e.hidden)`)
}
