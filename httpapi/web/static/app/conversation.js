// The right pane: one conversation, its messages and the place to write.

import { Attachment, Nearby } from "/app/attachment.js";
import { groupInfo } from "/app/dialogs.js";
import { kind } from "/app/chat.js";
import { avatar, el, hue, icon, iconButton, isEmoji, linked, reconcile, setAvatar, setText, show } from "/app/dom.js";
import { mediaIn } from "/app/media.js";
import { Tray } from "/app/picked.js";
import { clockTime, day, dayName, fullTime, lastSeen } from "/app/time.js";

const NEAR = 60; // px from the end that still count as being at it
const TOGETHER = 5 * 60_000; // messages of one person this close stand together

const TICKS = { waiting: ["clock", "Waiting to be sent"], sent: ["sent", "Sent"], delivered: ["twice", "Delivered"], read: ["twice", "Read"], failed: ["warn", "Not sent"] };

/** Puts the tick of a state into a place, or nothing for null. */
export function tick(place, state) {
  if (place.dataset.state === (state ?? "")) return;
  place.dataset.state = state ?? "";
  place.className = `tick-slot ${state ?? ""}`.trim();
  if (!state) return place.replaceChildren();
  const [name, label] = TICKS[state];
  place.replaceChildren(icon(name, 18), el("span", { class: "unseen" }, label));
  place.title = label;
}

/** Whether fingers are what this page is used with. */
function onTouch() { return matchMedia("(pointer: coarse)").matches; }

export class Conversation {
  #shown = null; // the chat that is drawn
  #end = true; // the reader is at the end
  #came = 0; // messages that came while not
  #known = 0; // newest seq drawn

  constructor(model, { back, gone }) {
    this.model = model;
    this.back = back;
    this.gone = gone;
    this.welcome = el("div", { class: "welcome" }, icon("logo", 96), el("h2", {}, "Tolkflip"), el("p", {}, "Pick a conversation, or find somebody by phone number."),
      el("p", { class: "keys" }, el("kbd", {}, navigator.platform.startsWith("Mac") ? "\u2318" : "Ctrl"), "+", el("kbd", {}, "K"), " searches, ", el("kbd", {}, "Enter"), " sends, ", el("kbd", {}, "Shift"), "+", el("kbd", {}, "Enter"), " makes a new line."));
    this.face = avatar("", "");
    this.dot = el("span", { class: "dot", hidden: true });
    this.title = el("h2", {});
    this.status = el("p", { class: "status", "aria-live": "polite" });
    this.info = iconButton("info", "About this group", () => groupInfo(model, model.active, gone));
    this.spinner = el("p", { class: "spinner", hidden: true }, "Loading…");
    this.rows = el("div", { class: "rows", role: "log", "aria-label": "Messages", "aria-live": "polite", "aria-relevant": "additions" });
    this.writing = el("div", { class: "writing", hidden: true }, el("span", {}), el("span", {}), el("span", {}));
    this.hello = el("p", { class: "hello", hidden: true });
    this.scroll = el("div", { class: "scroll messages", tabindex: "0", onscroll: () => this.#scrolled() }, this.spinner, this.hello, this.rows, this.writing);
    this.count = el("span", { class: "badge", hidden: true });
    this.down = el("button", { type: "button", class: "down", "aria-label": "To the newest message", title: "To the newest message", hidden: true, onclick: () => this.toEnd(true) }, icon("down"), this.count);
    this.input = el("textarea", { rows: "1", placeholder: "Message", "aria-label": "Message", enterkeyhint: "send", oninput: () => this.#typed(), onkeydown: (e) => this.#key(e) });
    this.tray = new Tray({ changed: () => this.#grow(), complain: (text) => this.model.onnotice(text) });
    this.drop = el("div", { class: "drop", hidden: true }, icon("clip", 40), el("p", {}, "Drop files to send them here"));
    this.sendButton = el("button", { type: "submit", class: "send", "aria-label": "Send", title: "Send" }, icon("send"));
    this.pane = el("div", { class: "pane", hidden: true },
      el("header", { class: "bar" },
        iconButton("back", "Back to the list", back, { class: "round back" }),
        el("span", { class: "face" }, this.face, this.dot),
        el("div", { class: "who" }, this.title, this.status),
        this.info),
      el("div", { class: "middle" }, this.scroll, this.down, this.drop),
      this.tray.element,
      el("form", { class: "compose", onsubmit: (e) => { e.preventDefault(); this.#send(); } }, this.tray.input, this.tray.button, this.input, this.sendButton));
    this.nearby = new Nearby(this.scroll);
    this.#takeFiles();
    this.element = el("main", { class: "main" }, this.welcome, this.pane);
    new ResizeObserver(() => this.#end && this.toEnd()).observe(this.scroll);
  }

  focus() { if (!onTouch()) this.input.focus(); }

  /** Tells the model whether the reader sees the end of the conversation. */
  look() { this.model.reading(this.#end && document.visibilityState === "visible" && document.hasFocus()); }

  render() {
    const chat = this.model.active;
    show(this.welcome, !chat);
    show(this.pane, chat !== null);
    if (chat !== this.#shown) this.#switch(chat);
    if (!chat) return;
    this.#head(chat);
    show(this.spinner, Boolean(chat.loading));
    this.#hello(chat);
    this.rows.setAttribute("aria-busy", String(Boolean(chat.loading))); // the past is not read aloud as news
    const before = this.scroll.scrollHeight;
    const top = this.scroll.scrollTop;
    const first = this.rows.firstChild;
    reconcile(this.rows, this.#items(chat), (i) => i.key, (i) => this.#make(i), (e, i) => e.update(i));
    show(this.writing, chat.typing.size > 0 && !chat.group);
    if (this.#end) {
      this.toEnd();
      this.#came = 0;
      if (this.#known && chat.loaded) chat.trim();
    } else {
      if (first !== this.rows.firstChild) this.scroll.scrollTop = top + this.scroll.scrollHeight - before;
      if (this.#known) this.#came += chat.messages.filter((m) => m.seq > this.#known && !m.own).length;
    }
    this.#known = chat.newest;
    setText(this.count, String(this.#came));
    show(this.count, this.#came > 0);
    show(this.down, !this.#end);
    this.look();
    this.#fill(chat);
  }

  toEnd(smooth = false) {
    this.scroll.scrollTo({ top: this.scroll.scrollHeight, behavior: smooth && !matchMedia("(prefers-reduced-motion: reduce)").matches ? "smooth" : "instant" });
  }

  #switch(chat) {
    const files = this.tray.take();
    if (this.#shown) Object.assign(this.#shown, { draft: this.input.value, files });
    this.#shown = chat;
    this.#end = true;
    this.#came = this.#known = 0;
    reconcile(this.rows, [], (i) => i.key);
    if (!chat) return;
    this.input.value = chat.draft;
    this.tray.restore(chat.files);
    this.#grow();
  }

  // Head ------------------------------------------------------------------------------------------

  #head(chat) {
    const { model } = this;
    const title = model.title(chat);
    setText(this.title, title || "…");
    setAvatar(this.face, chat.peer ?? chat.key, title);
    show(this.info, chat.group);
    const p = chat.peer && model.presence(chat.peer);
    show(this.dot, p?.status === "online" && model.connected);
    const writers = [...chat.typing];
    this.status.classList.toggle("typing", writers.length > 0);
    if (!model.connected) setText(this.status, "waiting for the connection…");
    else if (writers.length > 0) setText(this.status, chat.group ? this.#writers(writers) : "typing…");
    else if (chat.group) setText(this.status, this.#members(chat));
    else setText(this.status, !p || !chat.threadId ? model.phone(chat.peer) : p.status === "offline" ? lastSeen(p.lastSeen) : p.status);
  }

  #writers(ids) {
    const names = ids.map((id) => (this.model.name(id) || "Somebody").split(" ")[0]);
    return names.length === 1 ? `${names[0]} is typing…` : `${names.slice(0, 2).join(" and ")}${names.length > 2 ? " and others" : ""} are typing…`;
  }

  #members(chat) {
    const { model } = this;
    if (!chat.members) return chat.total ? `${chat.total} members` : "";
    if (chat.total > 8) return `${chat.total} members`;
    const names = chat.members.filter((m) => m.userId !== model.me.userId).map((m) => (model.name(m.userId) || "…").split(" ")[0]);
    return [...names.sort((a, b) => a.localeCompare(b)), "You"].join(", ");
  }

  #hello(chat) {
    const on = chat.messages.length === 0 && chat.waiting.length === 0 && (!chat.threadId || (chat.loaded && chat.complete));
    show(this.hello, on);
    if (on) setText(this.hello, chat.group ? "The group is ready. Say the first word: that is when the others see it." : `Say hello to ${this.model.title(chat)}.`);
  }

  // Messages --------------------------------------------------------------------------------------

  /** What stands in the pane, top to bottom: lines between days, the line before the unread, messages. */
  #items(chat) {
    const { model } = this;
    const items = [];
    const me = model.me.userId;
    let before = null;
    const put = (m) => {
      const newDay = !before || day(before.timestamp) !== day(m.timestamp);
      if (newDay) items.push({ key: `day ${day(m.timestamp)}`, line: "day", text: dayName(m.timestamp) });
      if (chat.divider && m.seq === chat.divider && !m.own) items.push({ key: "unread", line: "unread", text: "New messages" });
      const joined = !newDay && before.senderId === m.senderId && m.timestamp - before.timestamp < TOGETHER && items.at(-1).m;
      if (joined) items.at(-1).tail = false;
      items.push({ key: m.own && m.clientMessageId ? `c ${m.clientMessageId}` : `m ${m.messageId}`, m, chat, joined: Boolean(joined), tail: true, named: chat.group && !m.own && !joined, state: m.state ?? (m.own ? chat.status(m.seq) : null) });
      before = m;
    };
    for (const m of chat.messages) put(m);
    for (const w of chat.waiting) put({ clientMessageId: w.clientMessageId, content: w.content, timestamp: w.at, senderId: me, own: true, state: w.state, messageType: w.messageType, mediaUrls: w.mediaUrls, item: w });
    return items;
  }

  #make(item) {
    if (item.line) {
      const e = el("div", { class: `between ${item.line}` }, el("span", {}, item.text));
      e.update = (i) => setText(e.firstChild, i.text);
      return e;
    }
    const { m } = item;
    const name = el("span", { class: "sender" });
    const time = el("time", { datetime: new Date(m.timestamp).toISOString(), title: fullTime(m.timestamp) }, clockTime(m.timestamp));
    const ticks = el("span", { class: "tick-slot" });
    const { files, text } = this.#parts(m);
    const what = text || files.length === 0 ? el("div", { class: "text", dir: "auto" }, this.#content(m, text)) : null;
    const failed = el("div", { class: "failed", hidden: true });
    const cancel = m.item?.picked ? el("button", { type: "button", class: "cancel", onclick: () => this.model.discard(this.model.active, m.item) }, "Cancel") : null;
    const e = el("div", { class: `message ${m.own ? "own" : "theirs"} ${isEmoji(text) && files.length === 0 ? "emoji" : ""} ${files.length > 0 ? "with-media" : ""}` },
      el("div", { class: "bubble" }, m.own ? null : name, files.map((f) => f.element), what, el("span", { class: "meta" }, time, m.own ? ticks : null)), cancel, failed);
    if (m.item?.picked) m.item.onshare = (share) => files[0].progress(share);
    e.update = (i) => {
      if (m.item?.picked) {
        const sending = i.m.item !== undefined && i.state === "waiting" && i.m.item.share !== null;
        files[0].progress(sending ? i.m.item.share : null);
        show(cancel, sending);
      }
      e.classList.toggle("joined", i.joined);
      e.classList.toggle("tail", i.tail);
      show(name, i.named);
      if (i.named) {
        setText(name, this.model.name(m.senderId) || "…");
        name.className = `sender hue-${hue(m.senderId)}`;
      }
      if (!m.own) return;
      tick(ticks, i.state);
      if (i.chat.group && i.state === "read") ticks.title = `Read by ${i.chat.readers(i.m.seq).map((id) => this.model.name(id)).filter(Boolean).join(", ") || "somebody"}`;
      show(failed, i.state === "failed");
      if (i.state === "failed" && failed.dataset.why !== i.m.item.error) {
        failed.dataset.why = i.m.item.error;
        failed.replaceChildren(`Not sent: ${i.m.item.error} `,
          el("button", { type: "button", onclick: () => this.model.retry(i.chat, i.m.item) }, "Try again"),
          el("button", { type: "button", onclick: () => this.model.discard(i.chat, i.m.item) }, "Remove"));
      }
    };
    return e;
  }

  /** The files of a message, as they are shown, and its text. */
  #parts(m) {
    const { model, nearby } = this;
    if (m.item?.picked) {
      const { picked } = m.item;
      return { files: [new Attachment(picked, { nearby, local: picked.preview })], text: m.content ?? "" };
    }
    const { media, text } = mediaIn(m);
    const files = media.map((info) => new Attachment(info, {
      nearby, local: m.own ? model.preview(m.clientMessageId) : "",
      ask: () => model.media(info.mediaId, { messageId: m.messageId, threadId: m.threadId }),
    }));
    return { files, text };
  }

  #content(m, text) {
    if (text) return linked(text);
    const links = (m.mediaUrls ?? []).filter((u) => /^https?:\/\//i.test(u)).map((u) => linked(u));
    return el("span", { class: "kind" }, m.encryptedContent ? "Encrypted message" : (kind(m) ?? "Message"), " ", links);
  }

  // Scrolling -------------------------------------------------------------------------------------

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroll;
    const end = scrollHeight - scrollTop - clientHeight < NEAR;
    if (end !== this.#end) {
      this.#end = end;
      if (end) this.#came = 0;
      show(this.down, !end);
      show(this.count, this.#came > 0);
      this.look();
    }
    this.#fill(this.model.active);
  }

  /** Near the top, or where the messages do not fill the pane, older ones are fetched. */
  #fill(chat) {
    if (chat && !chat.loading && !chat.complete && chat.loaded && this.scroll.scrollTop < 400) this.model.loadOlder(chat);
  }

  // Writing ---------------------------------------------------------------------------------------

  #typed() {
    this.#grow();
    this.model.typing(this.model.active, this.input.value.trim() !== "");
  }

  #grow() {
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(this.input.scrollHeight, 160)}px`;
    this.sendButton.disabled = this.input.value.trim() === "" && this.tray.size === 0;
  }

  #key(e) {
    if (e.key !== "Enter" || e.shiftKey || e.isComposing) return;
    if (onTouch()) return; // there Enter is a new line, and the button sends
    e.preventDefault();
    this.#send();
  }

  /** Files come by paste and by drop too. */
  #takeFiles() {
    this.input.addEventListener("paste", (e) => {
      if (e.clipboardData.files.length === 0) return;
      e.preventDefault();
      this.tray.add(e.clipboardData.files);
    });
    let inside = 0; // enter and leave come for every element below
    const over = (e, n) => {
      if (!e.dataTransfer?.types.includes("Files")) return;
      e.preventDefault();
      inside = Math.max(0, inside + n);
      show(this.drop, inside > 0);
    };
    this.pane.addEventListener("dragenter", (e) => over(e, 1));
    this.pane.addEventListener("dragover", (e) => over(e, 0));
    this.pane.addEventListener("dragleave", (e) => over(e, -1));
    this.pane.addEventListener("drop", (e) => {
      over(e, -inside);
      this.tray.add(e.dataTransfer.files);
      this.input.focus();
    });
  }

  #send() {
    const text = this.input.value.trim();
    const files = this.tray.take();
    if (files.length > 0) this.model.sendFiles(this.model.active, files, text);
    else if (!text || !this.model.send(this.model.active, text)) return;
    this.input.value = "";
    this.#grow();
    this.#end = true;
    this.model.change();
    this.input.focus();
  }
}
