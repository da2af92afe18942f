package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// patience is how long a page may take to show what it must before the test gives up on it. It decides
// nothing else.
const patience = 30 * time.Second

// browser is one headless browser. Its tabs share cookies and storage, as a person's tabs do.
type browser struct {
	t     *testing.T
	ctx   context.Context //nolint:containedctx // chromedp keeps its browser in it
	shots string
}

// newBrowser starts a browser, or skips the test where none is installed.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{os.Getenv("TOLKFLIP_TEST_BROWSER"), "chromium-headless-shell", "chrome-headless-shell", "chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); name != "" && err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("skipped: no Chromium is installed (TOLKFLIP_TEST_BROWSER may name one), so the page is not tried in a browser")
	}
	shots := os.Getenv("TOLKFLIP_TEST_SHOTS")
	if shots == "" {
		shots = t.TempDir()
	} else if err := os.MkdirAll(shots, 0o755); err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1280, 800))
	alloc, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("close the browser: %v", err)
		}
		cancel()
		stop()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return &browser{t: t, ctx: ctx, shots: shots}
}

// tab is one tab of the browser, and whoever is signed in there.
type tab struct {
	*browser
	ctx   context.Context //nolint:containedctx // chromedp keeps its tab in it
	name  string
	phone string
	url   string
}

// visit opens url in a tab of its own, as large as a desk's window. What the page complains of, an
// exception or something its policy refused, fails the test.
func (b *browser) visit(name, phone, url string) *tab {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	p := &tab{browser: b, ctx: ctx, name: name, phone: phone, url: url}
	messages := chromedp.Console(ctx)
	read := make(chan struct{})
	b.t.Cleanup(func() {
		cancel()
		<-read
	})
	go func() {
		defer close(read)
		for m, err := range messages {
			if err != nil {
				return // the tab is closed
			}
			// Refused logins and cut lines, which the browser counts as errors of the network, are part of the play.
			if m.IsException() || m.Type == chromedp.ConsoleError && m.Source != "network" {
				b.t.Errorf("%s: %s %s %s", name, m.Source, m.Type, m.Text)
			}
		}
	}()
	if _, err := chromedp.Call(ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}); err != nil {
		b.t.Fatal(err)
	}
	p.do(chromedp.EmulateViewport(1280, 800), chromedp.Navigate(url))
	return p
}

// register signs a new person up, with the code that --dev shows.
func (p *tab) register() {
	p.t.Helper()
	p.write("#phone", p.phone)
	p.click("form .primary")
	p.until("the code is filled in", `document.querySelector("#code")?.value.length === 6`)
	p.click("form .primary")
	p.until("a name is asked for", `document.querySelector("#name")`)
	p.write("#name", p.name)
	p.click("form .primary")
	p.signedIn()
}

func (p *tab) signedIn() {
	p.t.Helper()
	p.until("the chat is open", `document.querySelector(".my-name")?.textContent === %s`, p.name)
}

// find opens the conversation with another by phone number.
func (p *tab) find(other *tab) {
	p.t.Helper()
	p.click(`[aria-label="New conversation"]`)
	p.pick(other)
	p.until("the conversation is open", `document.querySelector(".pane:not([hidden]) h2")?.textContent === %s`, other.name)
}

// pick looks another up in the open dialog and takes them.
func (p *tab) pick(other *tab) {
	p.t.Helper()
	p.write(`dialog .find input`, other.phone)
	p.click(`dialog .find button`)
	row := fmt.Sprintf(`[...document.querySelectorAll("dialog button.person")].find((e) => e.querySelector(".name").textContent === %s)`, quote(other.name))
	p.until(other.name+" is found", row)
	p.js(row + `.click()`)
}

// openChat opens a conversation of the list by its title.
func (p *tab) openChat(title string) {
	p.t.Helper()
	row := fmt.Sprintf(`[...document.querySelectorAll(".chat")].find((e) => e.querySelector(".name").textContent === %s)`, quote(title))
	p.until(title+" is in the list", row)
	p.js(row + `.click()`)
	p.until("the conversation is open", `document.querySelector(".pane:not([hidden]) h2")?.textContent === %s`, title)
}

// say writes a message and sends it with the Enter key.
func (p *tab) say(text string) {
	p.t.Helper()
	p.write("textarea", text)
	p.enter()
}

// enter presses the Enter key as a keyboard does. kb.Enter would type a new line as well, whatever the
// page makes of the key.
func (p *tab) enter() {
	p.t.Helper()
	for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeRawKeyDown, input.DispatchKeyEventTypeKeyUp} {
		key := input.DispatchKeyEventParams{Type: kind, Key: "Enter", Code: "Enter", WindowsVirtualKeyCode: 13, NativeVirtualKeyCode: 13}
		if _, err := chromedp.Call(p.ctx, input.DispatchKeyEvent, key); err != nil {
			p.t.Fatalf("%s: %v", p.name, err)
		}
	}
}

// sees waits until the open conversation shows exactly these messages, in this order.
func (p *tab) sees(texts ...string) {
	p.t.Helper()
	p.until(fmt.Sprintf("%s sees %q", p.name, texts), `JSON.stringify([...document.querySelectorAll(".message .text")].map((e) => e.textContent)) === JSON.stringify(%s)`, texts)
}

// ticks waits until the last own messages bear these ticks: waiting, sent, delivered or read.
func (p *tab) ticks(states ...string) {
	p.t.Helper()
	p.until(fmt.Sprintf("%s's ticks are %v", p.name, states),
		fmt.Sprintf(`JSON.stringify([...document.querySelectorAll(".message.own .tick-slot")].slice(-%d).map((e) => e.dataset.state)) === JSON.stringify(%%s)`, len(states)), states)
}

// row waits until the list shows a conversation with this text and this many unread.
func (p *tab) row(title, preview string, unread int) {
	p.t.Helper()
	p.until(fmt.Sprintf("%s's list shows %q %q %d", p.name, title, preview, unread),
		`[...document.querySelectorAll(".chat")].some((e) => e.querySelector(".name").textContent === %s && e.querySelector(".preview").textContent === %s`+
			` && (e.querySelector(".badge").hidden ? 0 : Number(e.querySelector(".badge").textContent)) === %s)`, title, preview, unread)
}

// status waits until the head of the open conversation says so.
func (p *tab) status(text string) {
	p.t.Helper()
	p.until(p.name+" reads "+text, `document.querySelector(".pane .status").textContent === %s`, text)
}

// until waits until the JavaScript condition holds; values are put into it as literals. Where it never
// does, the test fails with a picture of the page.
func (p *tab) until(what, condition string, values ...any) {
	p.t.Helper()
	for i := range values {
		values[i] = quote(values[i])
	}
	if len(values) > 0 {
		condition = fmt.Sprintf(condition, values...)
	}
	wait := chromedp.Poll[chromedp.Void]("Boolean("+condition+")", chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(patience))
	err := chromedp.Do(p.ctx, wait)
	if err == nil {
		return
	}
	p.shot("failed")
	text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string](`document.body.innerText`))
	p.t.Fatalf("%s: waited in vain until %s: %v\npicture: %s\n%s", p.name, what, err, p.shots, text)
}

// js runs an expression and waits for its promise, where it gives one.
func (p *tab) js(expression string) {
	p.t.Helper()
	p.do(chromedp.Evaluate[chromedp.Void](expression, chromedp.EvalAwaitPromise))
}

// write replaces what stands in a field.
func (p *tab) write(field, text string) {
	p.t.Helper()
	p.until(field+" is there", `document.querySelector(%s)`, field)
	p.js(fmt.Sprintf(`document.querySelector(%s).value = ""`, quote(field)))
	p.keys(field, text)
}

// keys types into a field.
func (p *tab) keys(field, keys string) {
	p.t.Helper()
	p.do(chromedp.SendKeys(chromedp.CSS(field), keys))
}

func (p *tab) click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

// shot takes a picture of the page as it is.
func (p *tab) shot(name string) {
	p.t.Helper()
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
	file := filepath.Join(p.shots, strings.ToLower(strings.Fields(p.name)[0])+"-"+name+".png")
	if err := os.WriteFile(file, png, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// look takes pictures of the page on a phone's screen and on a desk's, dark and light, and leaves it as
// it was.
func (p *tab) look(name string) {
	p.t.Helper()
	for _, screen := range []struct {
		name string
		size chromedp.Action[chromedp.Void]
	}{
		{"phone", chromedp.EmulateViewport(390, 844, chromedp.EmulateScale(2), chromedp.EmulateMobile, chromedp.EmulateTouch, chromedp.EmulatePortrait)},
		{"desk", chromedp.EmulateViewport(1280, 800)},
	} {
		p.do(screen.size)
		for _, scheme := range []string{"dark", "light"} {
			media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
			if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, media); err != nil {
				p.t.Fatalf("%s: %v", p.name, err)
			}
			p.js(`new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r())))`)
			p.shot(name + "-" + screen.name + "-" + scheme)
		}
	}
}

// quote writes a value as a JavaScript literal.
func quote(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}
