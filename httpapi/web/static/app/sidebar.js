// The left pane: who we are, and the list of conversations.

import { avatar, el, icon, iconButton, reconcile, setAvatar, setText, show } from "/app/dom.js";
import { preview } from "/app/chat.js";
import { newChat, newGroup, you } from "/app/dialogs.js";
import { fullTime, listTime } from "/app/time.js";
import { tick } from "/app/conversation.js";

export class Sidebar {
  constructor(model, { open, leave }) {
    this.model = model;
    this.open = open;
    const { me } = model;
    this.picture = avatar(me.userId, me.name);
    this.name = el("span", { class: "my-name" }, me.name);
    this.filter = el("input", {
      type: "search", placeholder: "Search", "aria-label": "Search conversations", autocomplete: "off",
      oninput: () => this.render(),
      onkeydown: (e) => { if (e.key === "Enter") this.list.querySelector("button")?.click(); },
    });
    this.list = el("ul", { class: "chats", onkeydown: (e) => this.#arrows(e) });
    this.empty = el("div", { class: "empty" },
      el("p", {}, "No conversations yet."),
      el("button", { type: "button", class: "primary", onclick: () => newChat(model, open) }, "Find somebody"),
      el("p", { class: "hint" }, "Alone here? ", el("a", { href: "/#new", target: "_blank", rel: "noopener" }, "Open another tab"),
        ", register there with another number, and write to yourself."));
    this.nothing = el("p", { class: "nothing" }, "Nothing found.");
    this.why = el("p", {});
    this.trouble = el("div", { class: "trouble", role: "alert", hidden: true }, this.why, el("button", { type: "button", onclick: () => model.list() }, "Try again"));
    this.element = el("aside", { class: "side", "aria-label": "Conversations" },
      el("header", { class: "bar" },
        el("button", { type: "button", class: "me", "aria-label": "You and this tab", title: "You and this tab", onclick: () => you(model, { leave, changed: () => this.render() }) }, this.picture, this.name),
        iconButton("group", "New group", () => newGroup(model, open)),
        iconButton("compose", "New conversation", () => newChat(model, open))),
      el("div", { class: "search" }, icon("search", 18), this.filter),
      el("nav", { class: "scroll", "aria-label": "Conversations" }, this.trouble, this.list, this.empty, this.nothing));
  }

  focus() { (this.list.querySelector("[aria-current]") ?? this.list.querySelector("button") ?? this.filter).focus(); }

  search() {
    this.filter.focus();
    this.filter.select();
  }

  render() {
    const { model } = this;
    setText(this.name, model.me.name);
    setAvatar(this.picture, model.me.userId, model.me.name);
    const all = model.ordered();
    const words = this.filter.value.trim().toLowerCase();
    const list = words ? all.filter((c) => model.title(c).toLowerCase().includes(words) || model.phone(c.peer).includes(words)) : all;
    reconcile(this.list, list, (c) => c.key, (c) => this.#make(c), (e, c) => e.update(c));
    show(this.trouble, model.trouble !== "" && model.connected); // without a connection the banner speaks
    setText(this.why, `Your conversations could not be loaded: ${model.trouble}`);
    show(this.empty, model.ready && !model.trouble && all.length === 0);
    show(this.nothing, all.length > 0 && list.length === 0);
  }

  #make(chat) {
    const face = avatar(chat.peer ?? chat.key, this.model.title(chat), { group: chat.group });
    const dot = el("span", { class: "dot", hidden: true });
    const name = el("span", { class: "name" });
    const time = el("time", {});
    const text = el("span", { class: "preview" });
    const badge = el("span", { class: "badge", hidden: true });
    const ticks = el("span", { class: "tick-slot" });
    const button = el("button", { type: "button", class: "chat", onclick: () => this.open(chat) },
      el("span", { class: "face" }, face, dot),
      el("span", { class: "line" }, name, time),
      el("span", { class: "line" }, ticks, text, badge));
    const item = el("li", {}, button);
    item.update = (c) => {
      const { model } = this;
      const title = model.title(c);
      setText(name, title || "…");
      if (title) setAvatar(face, c.peer ?? c.key, title);
      const online = c.peer && model.presence(c.peer)?.status === "online" && model.connected;
      show(dot, online);
      const at = c.at;
      setText(time, at ? listTime(at) : "");
      time.dateTime = at ? new Date(at).toISOString() : "";
      time.title = at ? fullTime(at) : "";
      this.#line(c, text, ticks);
      const n = c === model.active ? 0 : c.unread;
      setText(badge, n > 99 ? "99+" : String(n));
      show(badge, n > 0);
      button.classList.toggle("unread", n > 0);
      if (c === model.active) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
      button.setAttribute("aria-label", `${title}${online ? ", online" : ""}${n > 0 ? `, ${n} unread` : ""}. ${text.textContent}`);
    };
    return item;
  }

  /** The second line: who writes now, what waits, or the last message with its tick. */
  #line(c, text, ticks) {
    const { model } = this;
    const writers = [...c.typing];
    const waiting = c.waiting.at(-1);
    text.classList.toggle("typing", writers.length > 0);
    if (writers.length > 0) {
      setText(text, c.group ? `${model.name(writers[0]) || "Somebody"} is typing…` : "typing…");
      return tick(ticks, null);
    }
    if (waiting) {
      setText(text, preview(waiting));
      return tick(ticks, waiting.state === "sent" ? "sent" : waiting.state);
    }
    const own = c.last?.senderId === model.me.userId;
    const who = c.group && c.last?.senderId ? (own ? "You: " : `${(model.name(c.last.senderId) || "…").split(" ")[0]}: `) : "";
    setText(text, c.last ? who + c.last.text : c.group ? "Nothing written yet" : "");
    tick(ticks, own && c.newest > 0 && c.newest === c.head ? c.status(c.newest) : null);
  }

  #arrows(e) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (!step) return;
    const all = [...this.list.querySelectorAll("button")];
    const next = all[all.indexOf(document.activeElement) + step];
    if (!next) return;
    e.preventDefault();
    next.focus();
  }
}
