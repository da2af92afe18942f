// Files that were picked, pasted or dropped, until they are sent: a tray above the place to write.

import { el, iconButton, show } from "/app/dom.js";
import { kindOf, sizeText } from "/app/media.js";
import { LIMITS } from "/tolkflip.js";

const MOST = 20; // files at once
const PATIENCE = 3_000; // ms for a browser to find out the sides of a picture

/** A file with what this tab can find out of it. Its preview is an address that close() gives back. */
export class Picked {
  width = 0;
  height = 0;

  constructor(file) {
    this.file = file;
    this.name = file.name || `pasted.${file.type.split("/")[1] ?? "bin"}`;
    this.size = file.size;
    this.type = file.type.split(";")[0];
    this.kind = kindOf(this.type);
    this.preview = URL.createObjectURL(file);
    this.measured = this.#measure();
  }

  close() { URL.revokeObjectURL(this.preview); }

  /** Finds the sides; a picture or video that this browser cannot read is sent as a file. */
  async #measure() {
    if (this.kind !== "image" && this.kind !== "video") return;
    const e = document.createElement(this.kind === "image" ? "img" : "video");
    e.preload = "metadata";
    const read = new Promise((resolve) => {
      e.onload = e.onloadedmetadata = () => resolve(true);
      e.onerror = () => resolve(false);
      setTimeout(() => resolve(null), PATIENCE);
    });
    e.src = this.preview;
    if (await read === false) {
      this.kind = "file";
      return;
    }
    this.width = e.naturalWidth || e.videoWidth || 0;
    this.height = e.naturalHeight || e.videoHeight || 0;
  }
}

export class Tray {
  #list = [];

  /** changed is called when files come or go; complain with what is wrong with one. */
  constructor({ changed, complain }) {
    this.changed = changed;
    this.complain = complain;
    this.input = el("input", { type: "file", multiple: true, tabindex: "-1", "aria-hidden": "true", class: "unseen", onchange: () => { this.add(this.input.files); this.input.value = ""; } });
    this.button = iconButton("clip", "Attach files", () => this.input.click(), { class: "round attach" });
    this.element = el("ul", { class: "tray", "aria-label": "Files to send", hidden: true });
  }

  get size() { return this.#list.length; }

  add(files) {
    for (const file of files) {
      if (this.#list.length >= MOST) {
        this.complain(`At most ${MOST} files at once.`);
        break;
      }
      if (file.size > LIMITS.file) this.complain(`${file.name} is larger than ${sizeText(LIMITS.file)}.`);
      else if (file.size === 0) this.complain(`${file.name} is empty.`);
      else this.#put(new Picked(file));
    }
    this.#drawn();
  }

  #put(picked) {
    this.#list.push(picked);
    const chip = el("li", { class: "tray-file" },
      picked.kind === "image" ? el("img", { src: picked.preview, alt: "" }) : null,
      el("span", { class: "file-words" }, el("span", { class: "file-name" }, picked.name), el("span", { class: "file-size" }, sizeText(picked.size))),
      iconButton("close", `Remove ${picked.name}`, () => this.#remove(picked, chip)));
    this.element.append(chip);
  }

  #remove(picked, chip) {
    picked.close();
    chip.remove();
    this.#list = this.#list.filter((p) => p !== picked);
    this.#drawn();
  }

  /** Gives the files away, to be sent. */
  take() {
    const list = this.#list;
    this.#list = [];
    this.element.replaceChildren();
    this.#drawn();
    return list;
  }

  /** Takes back what take() gave. */
  restore(list) {
    for (const picked of list) this.#put(picked);
    this.#drawn();
  }

  #drawn() {
    show(this.element, this.#list.length > 0);
    this.changed();
  }
}
