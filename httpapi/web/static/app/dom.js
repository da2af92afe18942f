// Small pieces for building the page. Whatever comes from people goes in as text nodes, never as markup.

/**
 * Makes an element: el("button", { class: "icon", onclick: f, "aria-label": "Send" }, child, "text", …).
 * Properties that begin with "on" are listeners, `value`, `checked` and `disabled` are set as properties, null
 * and false leave one out. Children that are null or false are passed over.
 */
export function el(tag, props = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled") e[name] = value;
    else e.setAttribute(name, value === true ? "" : value);
  }
  e.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return e;
}

/** A picture out of the sprite in index.html. It says nothing to screen readers. */
export function icon(name, size = 22) {
  const ns = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(ns, "svg");
  for (const [k, v] of [["width", size], ["height", size], ["aria-hidden", "true"], ["class", `icon-${name}`]]) svg.setAttribute(k, v);
  const use = document.createElementNS(ns, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A round button with an icon and a name for those who cannot see it. */
export function iconButton(name, label, onclick, props = {}) {
  return el("button", { type: "button", class: "round", "aria-label": label, title: label, onclick, ...props }, icon(name));
}

/** Sets text only where it differs, so that nothing is announced or drawn twice. */
export function setText(e, text) {
  if (e.textContent !== text) e.textContent = text;
}

export function show(e, on) { e.hidden = !on; }

/**
 * Makes parent's children be one element an item, in order, and keeps those that are there already.
 * key(item) names it, make(item) builds it, update(element, item) brings it up to date.
 */
export function reconcile(parent, items, key, make, update) {
  const have = parent.byKey ?? (parent.byKey = new Map());
  const wanted = new Set();
  let place = parent.firstChild;
  for (const item of items) {
    const k = key(item);
    wanted.add(k);
    let e = have.get(k);
    if (!e) have.set(k, (e = make(item)));
    update?.(e, item);
    if (e === place) place = place.nextSibling;
    else parent.insertBefore(e, place);
  }
  for (const [k, e] of have) {
    if (wanted.has(k)) continue;
    e.remove();
    have.delete(k);
  }
}

// A link ends before closing punctuation, which mostly belongs to the sentence around it.
const LINK = /\bhttps?:\/\/[^\s<>"'\u2018-\u201f]+[^\s<>"'\u2018-\u201f.,:;!?)\]}]/gi;

/** Text with its web addresses as links. Only http and https ever become one. */
export function linked(text) {
  const out = document.createDocumentFragment();
  let at = 0;
  for (const m of text.matchAll(LINK)) {
    if (!URL.canParse(m[0])) continue;
    out.append(text.slice(at, m.index));
    out.append(el("a", { href: m[0], target: "_blank", rel: "noopener noreferrer nofollow" }, m[0]));
    at = m.index + m[0].length;
  }
  out.append(text.slice(at));
  return out;
}

/** Whether a text is one to three emoji and nothing else: those are drawn large. */
export function isEmoji(text) {
  return text.length <= 24 && /^(?:\p{Extended_Pictographic}(?:\ufe0f|\p{Emoji_Modifier}|\u200d\p{Extended_Pictographic})*\s*){1,3}$/u.test(text);
}

const HUES = 10;

/** A number from 0 to 9 that stays the same for an id. */
export function hue(id) {
  let n = 0;
  for (const c of id) n = (n * 31 + c.codePointAt(0)) >>> 0;
  return n % HUES;
}

/** The first letters of up to two words. */
export function initials(name) {
  const words = name.trim().split(/\s+/).filter((w) => /[\p{L}\p{N}]/u.test(w));
  const first = (w) => [...w].find((c) => /[\p{L}\p{N}]/u.test(c)) ?? "";
  if (words.length === 0) return "?";
  return (first(words[0]) + (words.length > 1 ? first(words.at(-1)) : "")).toUpperCase();
}

/** A person's or a group's picture: letters on a colour. */
export function avatar(id, name, { group = false, size = "" } = {}) {
  return el("span", { class: `avatar hue-${hue(id)} ${size}`.trim(), "aria-hidden": "true" }, group && !name ? icon("group") : initials(name || "?"));
}

export function setAvatar(e, id, name) {
  const text = initials(name || "?");
  if (e.firstChild?.nodeValue === text && e.dataset.of === id) return;
  e.dataset.of = id;
  e.className = e.className.replace(/hue-\d+/, `hue-${hue(id)}`);
  e.replaceChildren(text);
}

/** Says a short thing at the foot of the page, for sighted people and screen readers alike. */
export function toast(text) {
  const box = document.getElementById("toasts");
  const one = el("div", { class: "toast" }, text);
  box.append(one);
  setTimeout(() => one.remove(), 5_000);
}

/** A modal dialog with a title and a way out. It takes itself out of the page when it is closed. */
export function dialog(title, ...content) {
  const close = () => box.close();
  const box = el("dialog", { class: "dialog", "aria-label": title },
    el("header", {}, el("h2", {}, title), iconButton("close", "Close", close)),
    el("div", { class: "dialog-body" }, content));
  box.addEventListener("close", () => box.remove());
  box.addEventListener("click", (e) => e.target === box && close()); // the backdrop
  document.body.append(box);
  box.showModal();
  return box;
}
