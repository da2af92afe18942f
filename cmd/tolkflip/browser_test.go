package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestBrowser plays a day on the page: three people in three tabs of one browser, each signed in as
// somebody else. The parts follow each other, as the people's conversations do.
func TestBrowser(t *testing.T) {
	srv := start(t, nil)
	b := newBrowser(t)
	wire := newLine(t, strings.TrimPrefix(srv.URL, "http://"))

	ada := b.visit("Ada Lovelace", "+15550100001", srv.URL)
	ada.look("enter")
	ada.register()
	ada.look("first")
	bob := b.visit("Bob Moog", "+15550100002", srv.URL)
	bob.register()
	cem := b.visit("Cem Karaca", "+15550100003", wire.URL)
	cem.register()
	bob.signedIn() // the others' tabs are not him

	t.Run("two people", func(t *testing.T) {
		ada.find(bob)
		ada.say("Hello Bob!")
		ada.sees("Hello Bob!")
		ada.ticks("delivered")
		bob.row("Ada Lovelace", "Hello Bob!", 1)
		bob.until("the title counts", `document.title === "(1) Tolkflip"`)
		bob.openChat("Ada Lovelace")
		bob.sees("Hello Bob!")
		ada.ticks("read")
		bob.row("Ada Lovelace", "Hello Bob!", 0)
		bob.status("online")
		bob.write("textarea", "Hi Ada. Have a look at https://example.com/engine?notes=1, it is ")
		ada.status("typing…")
		ada.look("typing")
		bob.keys("textarea", "yours.")
		bob.enter()
		ada.status("online")
		ada.sees("Hello Bob!", "Hi Ada. Have a look at https://example.com/engine?notes=1, it is yours.")
		ada.until("the address is a link", `document.querySelector(".message a")?.href === "https://example.com/engine?notes=1" && document.querySelector(".message a").rel.includes("noopener")`)
		ada.say(`<img src=x onerror="document.body.dataset.hacked=1"> & <b>bold</b>`)
		bob.until("markup is only text", `[...document.querySelectorAll(".message .text")].at(-1).textContent.startsWith("<img") && !document.querySelector(".message img, .message b") && !document.body.dataset.hacked`)
		bob.ticks("read")
		ada.say("😀")
		bob.until("an emoji is large", `document.querySelector(".message.emoji")`)
	})

	t.Run("a group", func(t *testing.T) {
		ada.click(`[aria-label="New group"]`)
		ada.write("#group-name", "Engine club")
		ada.pick(bob)
		ada.pick(cem)
		ada.look("new-group")
		ada.click(`dialog .dialog-body > .primary`)
		ada.until("the group is open", `document.querySelector(".pane:not([hidden]) h2")?.textContent === "Engine club"`)
		ada.say("Welcome, both of you.")
		cem.row("Engine club", "Ada: Welcome, both of you.", 1)
		cem.openChat("Engine club")
		bob.openChat("Engine club")
		cem.say("Thanks!")
		bob.sees("Welcome, both of you.", "Thanks!")
		bob.say("When do we meet?")
		for _, p := range []*tab{ada, bob, cem} {
			p.sees("Welcome, both of you.", "Thanks!", "When do we meet?")
		}
		ada.status("Bob, Cem, You")
		cem.until("names stand over messages", `JSON.stringify([...document.querySelectorAll(".sender:not([hidden])")].map((e) => e.textContent)) === '["Ada Lovelace","Bob Moog"]'`)
		ada.click(`[aria-label="About this group"]`)
		ada.until("members are listed", `document.querySelectorAll("dialog li.person").length === 3`)
		ada.look("group-info")
		ada.do(chromedp.KeyEvent(kb.Escape))
		ada.until("the dialog is closed", `!document.querySelector("dialog")`)
		cem.look("group")
	})

	t.Run("reload", func(t *testing.T) {
		bob.do(chromedp.Reload())
		bob.signedIn()
		bob.sees("Welcome, both of you.", "Thanks!", "When do we meet?")
		bob.ticks("read")
	})

	t.Run("offline", func(t *testing.T) {
		ada.find(cem)
		ada.say("Are you there, Cem?")
		ada.ticks("delivered")
		cem.openChat("Ada Lovelace")
		ada.ticks("read")
		cem.js(`history.back()`)
		cem.until("the list is alone", `document.querySelector(".pane").hidden`)

		wire.cut()
		cem.until("the banner says so", `!document.querySelector(".banner").hidden`)
		missed := []string{"Are you there, Cem?"}
		for i := range 5 {
			missed = append(missed, fmt.Sprintf("missed %d", i+1))
			ada.say(missed[i+1])
		}
		ada.ticks("read", "sent", "sent", "sent", "sent", "sent")
		cem.openChat("Ada Lovelace")
		cem.say("written on a plane")
		cem.ticks("waiting")
		cem.look("offline")
		cem.js(`history.back()`)

		wire.mend()
		cem.click(".banner button")
		cem.row("Ada Lovelace", "written on a plane", 0)
		ada.sees(append(missed, "written on a plane")...)
		ada.ticks("delivered", "delivered", "delivered", "delivered", "delivered")
		cem.openChat("Ada Lovelace")
		cem.sees(append(missed, "written on a plane")...)
		ada.ticks("read", "read", "read", "read", "read")
		cem.ticks("read")
		cem.until("the banner is gone", `document.querySelector(".banner").hidden`)
	})

	t.Run("history", func(t *testing.T) {
		ada.openChat("Bob Moog")
		ada.js(`(async () => {
			const area = document.querySelector("textarea");
			for (let i = 1; i <= 130; i++) { area.value = "line " + i; area.form.requestSubmit(); }
		})()`)
		ada.ticks("delivered")
		bob.do(chromedp.Reload())
		bob.signedIn()
		bob.openChat("Ada Lovelace")
		bob.until("the newest is in view", `[...document.querySelectorAll(".message .text")].at(-1)?.textContent === "line 130" && document.querySelector(".messages").scrollTop > 0`)
		bob.until("all is here, in order, by scrolling up", `(() => {
			document.querySelector(".messages").scrollTop = 0;
			const texts = [...document.querySelectorAll(".message .text")].map((e) => e.textContent);
			return texts[0] === "Hello Bob!" && texts.length === 134 && texts.slice(4).every((t, i) => t === "line " + (i + 1));
		})()`)
		ada.say("and one below")
		bob.until("it is counted, and does not scroll", `!document.querySelector(".down").hidden && document.querySelector(".down .badge").textContent === "1" && document.querySelector(".messages").scrollTop === 0`)
		ada.ticks("delivered")
		bob.look("history")
		bob.click(".down")
		ada.ticks("read")
		ada.look("conversation")
	})

	t.Run("a link to somebody", func(t *testing.T) {
		dee := b.visit("Dee Dee Ramone", "+15550100004", srv.URL+"/#to=%2B15550100001")
		dee.look("invited")
		dee.register()
		dee.until("the conversation is open", `document.querySelector(".pane:not([hidden]) h2")?.textContent === "Ada Lovelace"`)
		dee.say("Hey ho")
		ada.row("Dee Dee Ramone", "Hey ho", 1)
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
	})

	t.Run("a list that cannot be loaded", func(t *testing.T) {
		const broken = `const real = fetch; window.broken = true;
			window.fetch = (path, o) => window.broken && path.startsWith("/api/chat/threads") ? Promise.reject(new TypeError("broken")) : real(path, o);`
		if _, err := chromedp.Call(cem.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: broken}); err != nil {
			t.Fatal(err)
		}
		cem.js(`history.replaceState(null, "")`)
		cem.do(chromedp.Reload())
		cem.signedIn()
		cem.until("it says so", `document.querySelector(".trouble p")?.textContent.startsWith("Your conversations could not be loaded") && document.querySelector(".empty").hidden`)
		cem.js(`window.broken = false`)
		cem.click(".trouble button")
		cem.row("Ada Lovelace", "written on a plane", 0)
		cem.until("the trouble is over", `document.querySelector(".trouble").hidden`)
	})

	t.Run("stay signed in", func(t *testing.T) {
		eve := b.visit("Eve", "+15550100005", srv.URL)
		eve.click("#keep")
		eve.register()
		other := b.visit("Eve", eve.phone, srv.URL)
		other.signedIn()
		b.visit("nobody", "", srv.URL+"/#new").until("a new tab may be somebody else", `document.querySelector("#phone")`)
		ada.do(chromedp.Reload())
		ada.signedIn() // a tab stays who it is
	})
}
