// What opens over the page: finding people, making groups, what a group is, and who we are.

import { Identity, tidyPhone } from "/app/api.js";
import { avatar, dialog, el, hue, icon, show, toast } from "/app/dom.js";

/** Finds a person by number or name; open(chat) shows the conversation. */
export function newChat(model, open) {
  const finder = new Finder(model, (p) => {
    box.close();
    open(model.personChat(p));
  });
  const box = dialog("New conversation", finder.element);
  finder.focus();
}

/** Makes a group of people who are picked one by one. */
export function newGroup(model, open) {
  const picked = new Map();
  const chips = el("ul", { class: "chips", "aria-label": "Members" });
  const name = el("input", { id: "group-name", type: "text", maxlength: "60", placeholder: "Name of the group", required: true, autocomplete: "off" });
  const problem = el("p", { class: "problem", role: "alert" });
  const create = el("button", { type: "submit", class: "primary" }, "Create the group");
  const draw = () => {
    chips.replaceChildren(...[...picked.values()].map((p) => el("li", {},
      el("button", { type: "button", class: `chip hue-${hue(p.userId)}`, "aria-label": `Leave out ${p.name}`, onclick: () => { picked.delete(p.userId); draw(); } }, p.name, icon("close", 14)))));
    create.disabled = picked.size === 0;
    finder.draw();
  };
  const finder = new Finder(model, (p) => {
    if (!picked.delete(p.userId)) picked.set(p.userId, p);
    draw();
  }, { isOn: (id) => picked.has(id) });
  const form = el("form", {
    onsubmit: async (e) => {
      e.preventDefault();
      problem.textContent = "";
      create.disabled = true;
      try {
        const chat = await model.createGroup(name.value.trim(), [...picked.keys()]);
        box.close();
        open(chat);
      } catch (err) {
        problem.textContent = err.message;
        create.disabled = false;
      }
    },
  }, el("label", { for: "group-name" }, "Name"), name, el("p", { class: "label" }, "Members"), chips);
  const box = dialog("New group", form, finder.element, problem, create);
  create.setAttribute("form", (form.id = "group-form"));
  draw();
  name.focus();
}

/** Shows a group's members; anyone in it may add people and leave. */
export function groupInfo(model, chat, gone) {
  const list = el("ul", { class: "people" });
  const problem = el("p", { class: "problem", role: "alert" });
  const attempt = async (f) => {
    problem.textContent = "";
    try { await f(); } catch (err) { problem.textContent = err.message; }
    draw();
  };
  const isMember = (id) => chat.members?.some((m) => m.userId === id) ?? false;
  const finder = new Finder(model, (p) => attempt(() => model.addMember(chat, p.userId)), { hide: (id) => isMember(id) });
  show(finder.element, false);
  let drawn = "";
  const draw = () => {
    const now = JSON.stringify([chat.members, chat.total, chat.members?.map((m) => model.name(m.userId))]);
    if (now === drawn) return;
    drawn = now;
    const mine = chat.members?.find((m) => m.userId === model.me.userId);
    list.replaceChildren(...(chat.members ?? []).map((m) => {
      const me = m.userId === model.me.userId;
      const name = model.name(m.userId) || "…";
      return el("li", { class: "person" }, avatar(m.userId, name), el("span", { class: "name" }, me ? `${name} (you)` : name),
        m.admin && el("span", { class: "role" }, "admin"),
        mine?.admin && !me && sure("quiet", ["Remove"], () => attempt(() => model.removeMember(chat, m.userId))));
    }));
    if (chat.total > (chat.members?.length ?? 0)) list.append(el("li", { class: "more" }, `and ${chat.total - (chat.members?.length ?? 0)} more`));
    finder.draw();
  };
  const add = el("button", { type: "button", class: "row-button", onclick: () => { show(finder.element, true); finder.focus(); } }, icon("add"), "Add somebody");
  const leave = sure("row-button danger", [icon("out"), "Leave the group"], () => attempt(async () => {
    await model.removeMember(chat, model.me.userId);
    box.close();
    gone();
  }));
  const box = dialog(model.title(chat), list, problem, add, finder.element, leave);
  draw();
  model.loadMembers(chat).then(draw);
  const off = setInterval(draw, 1_000); // names that were not known yet
  box.addEventListener("close", () => clearInterval(off));
}

/** Who this tab is, and what can be done about it. */
export function you(model, { leave, changed }) {
  const { me } = model;
  const link = `${location.origin}/#to=${encodeURIComponent(me.phone)}`;
  const field = el("input", { type: "text", readonly: true, value: link, "aria-label": "Link to you", onfocus: (e) => e.target.select() });
  const name = el("input", { id: "my-name", type: "text", value: me.name, maxlength: "60", required: true, autocomplete: "name" });
  const keep = el("input", { type: "checkbox", checked: me.kept, onchange: () => { me.kept = keep.checked; Identity.write(me); } });
  dialog("You",
    el("div", { class: "self" }, avatar(me.userId, me.name, { size: "large" }), el("p", {}, me.phone)),
    el("form", {
      class: "inline",
      onsubmit: async (e) => {
        e.preventDefault();
        try {
          await model.rename(name.value.trim());
          Identity.write(me);
          changed();
          toast("Your name is changed.");
        } catch (err) {
          toast(err.message);
        }
      },
    }, el("label", { for: "my-name" }, "Name"), name, el("button", { type: "submit" }, "Save")),
    el("div", { class: "inline" }, el("label", {}, "A link that opens a conversation with you"), field,
      el("button", { type: "button", onclick: () => copy(field) }, icon("link", 18), "Copy")),
    el("label", { class: "check" }, keep, " Stay signed in on this device"),
    el("a", { class: "row-button", href: "/#new", target: "_blank", rel: "noopener" }, icon("tab"), "Open a tab as somebody else"),
    el("button", { type: "button", class: "row-button danger", onclick: (e) => { e.target.closest("dialog").close(); leave(); } }, icon("out"), "Sign out"));
}

/** A button for what cannot be taken back: the first press asks, the second one does it. */
function sure(kind, content, f) {
  const button = el("button", {
    type: "button", class: kind,
    onclick: () => {
      if (button.dataset.asked) return f();
      button.dataset.asked = "yes";
      button.replaceChildren("Sure? Press again");
      setTimeout(() => { delete button.dataset.asked; button.replaceChildren(...content); }, 4_000);
    },
  }, content);
  return button;
}

async function copy(field) {
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    toast("The link is copied.");
  } catch { // not on plain HTTP: it is selected, and the keyboard copies it
    toast("Press Ctrl+C to copy the link.");
  }
}

/** A field for a number or a name, and the people it fits. picked(person) is called for the one chosen. */
class Finder {
  #found = null;
  #asked = 0;

  constructor(model, picked, { isOn = null, hide = () => false } = {}) {
    this.model = model;
    this.picked = picked;
    this.isOn = isOn;
    this.hide = hide;
    this.input = el("input", { type: "text", inputmode: "search", placeholder: "Phone number or name", "aria-label": "Phone number or name", autocomplete: "off", oninput: () => this.draw() });
    this.list = el("ul", { class: "people" });
    this.note = el("p", { class: "hint", role: "status" });
    this.element = el("div", { class: "finder" }, el("form", { class: "find", onsubmit: (e) => { e.preventDefault(); this.#find(); } }, this.input, el("button", { type: "submit" }, "Find")), this.note, this.list);
    this.draw();
  }

  focus() { this.input.focus(); }

  /** A number is looked up on the server; a name only among those we know. */
  async #find() {
    const phone = tidyPhone(this.input.value);
    if (!/^\+?\d{3,}$/.test(phone)) {
      const only = this.#matching();
      if (only.length === 1) this.#take(only[0]);
      else this.note.textContent = only.length === 0 ? "Nobody you know by that name. Try the phone number." : "";
      return;
    }
    const asked = ++this.#asked; // an answer that comes after another question, or a choice, is passed over
    this.note.textContent = "Looking…";
    let note = "";
    try {
      const p = await this.model.api.find(phone);
      if (asked !== this.#asked) return;
      this.#found = p;
      if (p) this.model.know(p);
      else note = "Nobody is registered with that number.";
      if (p?.userId === this.model.me.userId) note = "That is you.";
    } catch (err) {
      if (asked !== this.#asked) return;
      note = err.message;
    }
    this.note.textContent = note;
    this.draw();
  }

  #matching() {
    const words = this.input.value.trim().toLowerCase();
    const phone = tidyPhone(words);
    const known = this.model.people().filter((p) => !words || p.name.toLowerCase().includes(words) || (/^\+?\d+$/.test(phone) && p.phone.includes(phone)));
    const found = this.#found && this.#found.userId !== this.model.me.userId ? [this.#found] : [];
    return [...found, ...known.filter((p) => p.userId !== found[0]?.userId)].filter((p) => !this.hide(p.userId));
  }

  #take(p) {
    this.#asked++;
    this.input.value = "";
    this.#found = null;
    this.note.textContent = "";
    this.picked(p);
    this.draw();
  }

  draw() {
    this.list.replaceChildren(...this.#matching().slice(0, 50).map((p) => {
      const on = this.isOn?.(p.userId);
      const status = this.model.presence(p.userId)?.status;
      return el("li", {}, el("button", { type: "button", class: "person", "aria-pressed": this.isOn ? String(on) : null, onclick: () => this.#take(p) },
        avatar(p.userId, p.name), el("span", { class: "name" }, p.name), el("span", { class: "phone" }, p.phone || (status === "online" ? "online" : "")),
        on && icon("sent", 20)));
    }));
  }
}
