package main

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestBrowser plays a day on the page: three people in three tabs of one browser, each signed in as
// somebody else. The parts follow each other, as the people's conversations do.
func TestBrowser(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { testBrowser(t, embedded()) })
	t.Run("real", func(t *testing.T) { testBrowser(t, realStack(t)) })
}

func testBrowser(t *testing.T, on stack) {
	srv := startOn(t, on, nil)
	b := newBrowser(t)
	wire := newLine(t, strings.TrimPrefix(srv.URL, "http://"))

	c := cast{srv: srv, browser: b, wire: wire}
	c.ada = b.visit("Ada Lovelace", c.numbers.number(), srv.URL)
	c.ada.look("enter")
	c.ada.register()
	c.ada.look("first")
	c.bob = b.visit("Bob Moog", c.numbers.number(), srv.URL)
	c.bob.register()
	c.cem = b.visit("Cem Karaca", c.numbers.number(), wire.URL)
	c.cem.register()
	c.bob.signedIn() // the others' tabs are not him
	t.Run("two people", c.twoPeople)
	t.Run("a group", c.group)
	t.Run("reload", c.reload)
	t.Run("offline", c.offline)
	t.Run("history", c.history)
	t.Run("a link to somebody", c.link)
	t.Run("a list that cannot be loaded", c.brokenList)
	t.Run("stay signed in", c.stay)
}

// cast is who plays in TestBrowser, in the order of its parts.
type cast struct {
	srv           *testServer
	browser       *browser
	wire          *line // what cem's tab goes through
	numbers       phones
	ada, bob, cem *tab
}

func (c *cast) twoPeople(*testing.T) {
	c.ada.find(c.bob)
	c.ada.say("Hello Bob!")
	c.ada.sees("Hello Bob!")
	c.ada.ticks("delivered")
	c.bob.row("Ada Lovelace", "Hello Bob!", 1)
	c.bob.until("the title counts", `document.title === "(1) Tolkflip"`)
	c.bob.openChat("Ada Lovelace")
	c.bob.sees("Hello Bob!")
	c.ada.ticks("read")
	c.bob.row("Ada Lovelace", "Hello Bob!", 0)
	c.bob.status("online")
	c.bob.write("textarea", "Hi Ada. Have a look at https://example.com/engine?notes=1, it is ")
	c.ada.status("typing…")
	c.ada.look("typing")
	c.bob.keys("textarea", "yours.")
	c.bob.enter()
	c.ada.status("online")
	c.ada.sees("Hello Bob!", "Hi Ada. Have a look at https://example.com/engine?notes=1, it is yours.")
	c.ada.until("the address is a link", `document.querySelector(".message a")?.href === "https://example.com/engine?notes=1" && document.querySelector(".message a").rel.includes("noopener")`)
	c.ada.say(`<img src=x onerror="document.body.dataset.hacked=1"> & <b>bold</b>`)
	c.bob.until("markup is only text", `[...document.querySelectorAll(".message .text")].at(-1).textContent.startsWith("<img") && !document.querySelector(".message img, .message b") && !document.body.dataset.hacked`)
	c.bob.ticks("read")
	c.ada.say("😀")
	c.bob.until("an emoji is large", `document.querySelector(".message.emoji")`)
}

func (c *cast) group(*testing.T) {
	c.ada.click(`[aria-label="New group"]`)
	c.ada.write("#group-name", "Engine club")
	c.ada.pick(c.bob)
	c.ada.pick(c.cem)
	c.ada.look("new-group")
	c.ada.click(`dialog .dialog-body > .primary`)
	c.ada.until("the group is open", `document.querySelector(".pane:not([hidden]) h2")?.textContent === "Engine club"`)
	c.ada.say("Welcome, both of you.")
	c.cem.row("Engine club", "Ada: Welcome, both of you.", 1)
	c.cem.openChat("Engine club")
	c.bob.openChat("Engine club")
	c.cem.say("Thanks!")
	c.bob.sees("Welcome, both of you.", "Thanks!")
	c.bob.say("When do we meet?")
	for _, p := range []*tab{c.ada, c.bob, c.cem} {
		p.sees("Welcome, both of you.", "Thanks!", "When do we meet?")
	}
	c.ada.status("Bob, Cem, You")
	c.cem.until("names stand over messages", `JSON.stringify([...document.querySelectorAll(".sender:not([hidden])")].map((e) => e.textContent)) === '["Ada Lovelace","Bob Moog"]'`)
	c.ada.click(`[aria-label="About this group"]`)
	c.ada.until("members are listed", `document.querySelectorAll("dialog li.person").length === 3`)
	c.ada.look("group-info")
	c.ada.do(chromedp.KeyEvent(kb.Escape))
	c.ada.until("the dialog is closed", `!document.querySelector("dialog")`)
	c.cem.look("group")
}

func (c *cast) reload(*testing.T) {
	c.bob.do(chromedp.Reload())
	c.bob.signedIn()
	c.bob.sees("Welcome, both of you.", "Thanks!", "When do we meet?")
	c.bob.ticks("read")
}

func (c *cast) offline(*testing.T) {
	c.ada.find(c.cem)
	c.ada.say("Are you there, Cem?")
	c.ada.ticks("delivered")
	c.cem.openChat("Ada Lovelace")
	c.ada.ticks("read")
	c.cem.js(`history.back()`)
	c.cem.until("the list is alone", `document.querySelector(".pane").hidden`)

	c.wire.cut()
	c.cem.until("the banner says so", `!document.querySelector(".banner").hidden`)
	missed := []string{"Are you there, Cem?"}
	for i := range 5 {
		missed = append(missed, fmt.Sprintf("missed %d", i+1))
		c.ada.say(missed[i+1])
	}
	c.ada.ticks("read", "sent", "sent", "sent", "sent", "sent")
	c.cem.openChat("Ada Lovelace")
	c.cem.say("written on a plane")
	c.cem.ticks("waiting")
	c.cem.look("offline")
	c.cem.js(`history.back()`)

	c.wire.mend()
	c.cem.click(".banner button")
	c.cem.row("Ada Lovelace", "written on a plane", 0)
	c.ada.sees(append(missed, "written on a plane")...)
	c.ada.ticks("delivered", "delivered", "delivered", "delivered", "delivered")
	c.cem.openChat("Ada Lovelace")
	c.cem.sees(append(missed, "written on a plane")...)
	c.ada.ticks("read", "read", "read", "read", "read")
	c.cem.ticks("read")
	c.cem.until("the banner is gone", `document.querySelector(".banner").hidden`)
}

func (c *cast) history(*testing.T) {
	c.ada.openChat("Bob Moog")
	c.ada.js(`(async () => {
		const area = document.querySelector("textarea");
		for (let i = 1; i <= 130; i++) { area.value = "line " + i; area.form.requestSubmit(); }
	})()`)
	c.ada.ticks("delivered")
	c.bob.do(chromedp.Reload())
	c.bob.signedIn()
	c.bob.openChat("Ada Lovelace")
	c.bob.until("the newest is in view", `[...document.querySelectorAll(".message .text")].at(-1)?.textContent === "line 130" && document.querySelector(".messages").scrollTop > 0`)
	c.bob.until("all is here, in order, by scrolling up", `(() => {
		document.querySelector(".messages").scrollTop = 0;
		const texts = [...document.querySelectorAll(".message .text")].map((e) => e.textContent);
		return texts[0] === "Hello Bob!" && texts.length === 134 && texts.slice(4).every((t, i) => t === "line " + (i + 1));
	})()`)
	c.ada.say("and one below")
	c.bob.until("it is counted, and does not scroll", `!document.querySelector(".down").hidden && document.querySelector(".down .badge").textContent === "1" && document.querySelector(".messages").scrollTop === 0`)
	c.ada.ticks("delivered")
	c.bob.look("history")
	c.bob.click(".down")
	c.ada.ticks("read")
	c.ada.look("conversation")
}

func (c *cast) link(*testing.T) {
	dee := c.browser.visit("Dee Dee Ramone", c.numbers.number(), c.srv.URL+"/#to="+url.QueryEscape(c.ada.phone))
	dee.look("invited")
	dee.register()
	dee.until("the conversation is open", `document.querySelector(".pane:not([hidden]) h2")?.textContent === "Ada Lovelace"`)
	dee.say("Hey ho")
	c.ada.row("Dee Dee Ramone", "Hey ho", 1)
	dee.click(`[aria-label="You and this tab"]`)
	dee.look("you")
	dee.js(`[...document.querySelectorAll("dialog .row-button")].at(-1).click()`)
	dee.until("signed out", `document.querySelector("#phone")`)
	dee.write("#phone", dee.phone)
	dee.click("form .primary")
	dee.until("the code is filled in", `document.querySelector("#code")?.value.length === 6`)
	dee.click("form .primary")
	dee.signedIn() // without a name: the server knows it
	dee.openChat("Ada Lovelace")
	dee.sees("Hey ho")
}

func (c *cast) brokenList(t *testing.T) {
	const broken = `const real = fetch; window.broken = true;
		window.fetch = (path, o) => window.broken && path.startsWith("/api/chat/threads") ? Promise.reject(new TypeError("broken")) : real(path, o);`
	if _, err := chromedp.Call(c.cem.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: broken}); err != nil {
		t.Fatal(err)
	}
	c.cem.js(`history.replaceState(null, "")`)
	c.cem.do(chromedp.Reload())
	c.cem.signedIn()
	c.cem.until("it says so", `document.querySelector(".trouble p")?.textContent.startsWith("Your conversations could not be loaded") && document.querySelector(".empty").hidden`)
	c.cem.js(`window.broken = false`)
	c.cem.click(".trouble button")
	c.cem.row("Ada Lovelace", "written on a plane", 0)
	c.cem.until("the trouble is over", `document.querySelector(".trouble").hidden`)
}

func (c *cast) stay(*testing.T) {
	eve := c.browser.visit("Eve", c.numbers.number(), c.srv.URL)
	eve.click("#keep")
	eve.register()
	other := c.browser.visit("Eve", eve.phone, c.srv.URL)
	other.signedIn()
	c.browser.visit("nobody", "", c.srv.URL+"/#new").until("a new tab may be somebody else", `document.querySelector("#phone")`)
	c.ada.do(chromedp.Reload())
	c.ada.signedIn() // a tab stays who it is
}
