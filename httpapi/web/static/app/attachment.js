// A file as it stands in a message: a picture, a video, a sound, or a card with its name. It takes its room at once
// and fetches its link when it comes near the screen.

import { el, icon, iconButton, setText, show } from "/app/dom.js";
import { kindOf, roomFor, sizeText } from "/app/media.js";

const WHOLE = 1_500_000; // bytes up to which a picture is shown as it is, and not by its thumbnail

/** Calls what elements near the screen wait for, once each. */
export class Nearby {
  #waiting = new WeakMap();
  #observer;

  constructor(root) {
    this.#observer = new IntersectionObserver((seen) => {
      for (const { target, isIntersecting } of seen) {
        if (!isIntersecting) continue;
        this.#observer.unobserve(target);
        this.#waiting.get(target)?.();
      }
    }, { root, rootMargin: "600px 0px" });
  }

  when(element, f) {
    this.#waiting.set(element, f);
    this.#observer.observe(element);
  }
}

export class Attachment {
  #said = null; // what the server says of it
  #local; // an address in this tab of what we sent ourselves

  /**
   * @param info    what is known of the file: { mediaId, kind, name, size, type, width, height }
   * @param ask     gives what the server says of it: { url, thumbnailUrl, fileName, size, mimeType, expiresAt }
   * @param nearby  a Nearby
   * @param local   where the file is in this tab, if it is ours
   */
  constructor(info, { ask, nearby, local = "" }) {
    this.info = info;
    this.ask = ask;
    this.#local = local;
    this.why = el("span", { class: "why", hidden: true });
    this.bar = el("progress", { max: "1", value: 0, "aria-label": "Sent so far", hidden: true });
    this.element = el("div", {}, this.why, this.bar);
    this.#draw(info);
    if (local) this.#show({ url: local, thumbnailUrl: null });
    else nearby.when(this.element, () => this.#fetch());
  }

  /** Shows how much of it is sent, 0 to 1, or with null that none of it has to be. */
  progress(share) {
    show(this.bar, share !== null);
    if (share !== null) this.bar.value = share;
    this.element.classList.toggle("sending", share !== null);
  }

  async #fetch() {
    try {
      this.#said = await this.ask();
    } catch (e) {
      this.#gone(e);
      return null;
    }
    show(this.why, false);
    this.#show(this.#said);
    return this.#said;
  }

  #gone(e) {
    if (e.status === 404 || e.status === 403) return this.#explain("This file is not there any more.");
    this.#explain("This file could not be loaded. ", el("button", { type: "button", onclick: () => this.#fetch() }, "Try again"));
  }

  #explain(...words) {
    this.why.replaceChildren(...words);
    show(this.why, true);
  }

  /** The link as it is good now. */
  async #link() {
    if (this.#local) return this.#local;
    if (this.#said && this.#said.expiresAt > Date.now() + 60_000) return this.#said.url;
    return (await this.#fetch())?.url ?? null;
  }

  get #name() { return this.#said?.fileName || this.info.name; }

  // What stands in the message ----------------------------------------------------------------------

  /** Makes the element of a kind, in place of the one before. */
  #draw(info) {
    this.info = info;
    this.element.className = `media ${info.kind}`;
    this.body?.remove();
    this.body = { image: () => this.#picture(), video: () => this.#player("video"), audio: () => this.#player("audio"), file: () => this.#card() }[info.kind]();
    this.element.prepend(this.body);
  }

  #room(element) {
    const { width, height } = roomFor(this.info);
    element.style.width = `${width}px`;
    element.style.aspectRatio = `${width} / ${height}`;
    return element;
  }

  #picture() {
    this.img = el("img", { alt: "", decoding: "async", draggable: "false" });
    this.img.onerror = () => this.#local || this.#explain("This picture cannot be shown.");
    const label = this.info.name ? `Picture ${this.info.name}` : "Picture";
    return this.#room(el("button", { type: "button", class: "picture", "aria-label": `${label}, open`, onclick: () => this.#open() }, this.img));
  }

  #player(kind) {
    const label = `${kind === "video" ? "Video" : "Sound"} ${this.info.name}`.trim();
    const player = el(kind, { controls: true, preload: kind === "video" ? "metadata" : "none", playsinline: kind === "video", "aria-label": label });
    return kind === "video" ? this.#room(player) : player;
  }

  #card() {
    this.name = el("span", { class: "file-name" }, this.info.name || "File");
    this.size = el("span", { class: "file-size" }, this.info.size ? sizeText(this.info.size) : "");
    return el("button", { type: "button", class: "card-file", title: "Save this file", onclick: () => this.#save() },
      el("span", { class: "file-icon" }, icon("file")), el("span", { class: "file-words" }, this.name, this.size));
  }

  #show(said) {
    const kind = said.mimeType ? kindOf(said.mimeType) : this.info.kind; // the server's word counts, not the sender's
    if (kind !== this.info.kind) this.#draw({ ...this.info, kind, width: said.width ?? 0, height: said.height ?? 0 });
    if (kind === "file") {
      if (said.fileName) setText(this.name, said.fileName);
      if (said.size) setText(this.size, sizeText(said.size));
    } else if (kind === "image") {
      const thumb = said.thumbnailUrl && said.size > WHOLE && said.mimeType !== "image/gif";
      this.img.src = thumb ? said.thumbnailUrl : said.url;
    } else {
      this.body.src = said.url;
    }
  }

  async #save() {
    const url = await this.#link();
    if (!url) return;
    const a = el("a", { href: url.startsWith("blob:") ? url : withDownload(url), download: this.#name || "file", rel: "noopener" });
    document.body.append(a);
    a.click();
    a.remove();
  }

  /** The picture by itself, as large as the window. */
  async #open() {
    const url = await this.#link();
    if (!url) return;
    const close = () => box.close();
    const box = el("dialog", { class: "viewer", "aria-label": this.#name ? `Picture ${this.#name}` : "Picture" },
      el("header", {}, el("span", { class: "viewer-name" }, this.#name),
        iconButton("save", "Save this picture", () => this.#save()), iconButton("close", "Close", close, { autofocus: true })),
      el("img", { src: url, alt: this.#name, onclick: close }));
    box.addEventListener("close", () => box.remove());
    box.addEventListener("click", (e) => e.target === box && close());
    document.body.append(box);
    box.showModal();
  }
}

/** A link of ours that saves what it leads to; a link of another store says by itself what becomes of it. */
function withDownload(url) {
  const u = new URL(url, location.href);
  if (u.origin === location.origin) u.searchParams.set("download", "1");
  return u.href;
}
