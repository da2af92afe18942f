// The page: signed out it is the way in, signed in it is the list and one conversation.

import { Api, Identity, tidyPhone } from "/app/api.js";
import { Banner } from "/app/banner.js";
import { Conversation } from "/app/conversation.js";
import { el, toast } from "/app/dom.js";
import { Model } from "/app/model.js";
import { Sidebar } from "/app/sidebar.js";
import { signIn } from "/app/signin.js";

const root = document.getElementById("app");

function enter(notice = "") {
  document.title = "Tolkflip";
  signIn(root, { notice, invited: invitation(), done: (me) => { Identity.write(me); chat(me); } });
}

/** The phone number of a link like /#to=+15550100, or "". */
function invitation() {
  const m = location.hash.match(/^#to=(.+)$/);
  try { return m ? tidyPhone(decodeURIComponent(m[1])) : ""; } catch { return ""; }
}

function chat(me) {
  const api = new Api(me);
  const model = new Model(me, api);
  const page = new Page(model);
  model.onnotice = toast;
  model.onsignout = () => {
    page.end();
    Identity.forget(me);
    enter("You were signed out. Sign in again to go on.");
  };
  page.onleave = async () => {
    await api.logout().catch(() => {}); // the session ends by itself in the worst case
    page.end();
    Identity.forget(me);
    enter();
  };
  page.begin();
}

/** The two panes, and what is true of the tab as a whole. */
class Page {
  #ended = new AbortController();

  constructor(model) {
    this.model = model;
    this.sidebar = new Sidebar(model, { open: (c) => this.#open(c), leave: () => this.onleave() });
    this.conversation = new Conversation(model, { back: () => history.back(), gone: () => this.#show() });
    this.banner = new Banner(model);
    this.frame = el("div", { class: "frame" }, this.banner.element, this.sidebar.element, this.conversation.element);
  }

  async begin() {
    const { model } = this;
    root.replaceChildren(this.frame);
    model.onchange = () => this.#render();
    const signal = this.#ended.signal;
    addEventListener("popstate", () => this.#show(), { signal });
    addEventListener("online", () => model.client.wake(), { signal });
    addEventListener("focus", () => this.#look(), { signal });
    addEventListener("blur", () => this.#look(), { signal });
    document.addEventListener("visibilitychange", () => this.#look(), { signal });
    document.addEventListener("keydown", (e) => this.#key(e), { signal });
    for (const name of ["dragover", "drop"]) document.addEventListener(name, (e) => e.dataTransfer?.types.includes("Files") && e.preventDefault(), { signal }); // a file that misses would replace the page
    const tick = setInterval(() => model.change(), 30_000); // "last seen" grows older by itself
    signal.addEventListener("abort", () => clearInterval(tick));
    this.#render();
    await model.start();
    await this.#invited();
    this.#show();
  }

  end() {
    this.#ended.abort();
    this.model.onchange = () => {};
    this.banner.end();
    this.model.stop();
    history.replaceState(null, "", "/");
  }

  async #invited() {
    const phone = invitation();
    if (location.hash) history.replaceState(history.state, "", "/");
    if (!phone || phone === this.model.me.phone) return;
    try {
      const p = await this.model.api.find(phone);
      if (p) this.#open(this.model.personChat(p));
      else toast("Nobody is registered with the number of that link.");
    } catch (e) {
      toast(e.message);
    }
  }

  /** Opens a conversation as a place in the tab's history, so that back leads to the list. */
  #open(c) {
    const state = { chat: c.key };
    if (history.state?.chat) history.replaceState(state, "");
    else history.pushState(state, "");
    this.model.open(c);
    this.#render();
    this.conversation.focus();
  }

  #show() {
    this.model.open(this.model.chats.get(history.state?.chat) ?? null);
    this.#render();
  }

  #look() {
    if (document.visibilityState === "visible") this.model.client.wake();
    this.conversation.look();
  }

  #key(e) {
    if (e.key === "Escape" && !document.querySelector("dialog[open]") && this.model.active) {
      history.back();
      this.sidebar.focus();
    } else if (e.key.toLowerCase() === "k" && (e.ctrlKey || e.metaKey)) {
      e.preventDefault();
      this.sidebar.search();
    }
  }

  #render() {
    this.frame.classList.toggle("in-chat", this.model.active !== null);
    this.banner.render();
    this.sidebar.render();
    this.conversation.render();
    const n = this.model.unread;
    const title = n > 0 ? `(${n}) Tolkflip` : "Tolkflip";
    if (document.title !== title) document.title = title;
  }
}

const me = Identity.read();
if (me) chat(me);
else enter();
