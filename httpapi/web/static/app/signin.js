// The way in: a phone number, the code that was sent to it, and a name for those who are new.

import { login, register, requestCode, tidyPhone, verifyCode } from "/app/api.js";
import { el, icon } from "/app/dom.js";

/** Draws the way in into root and calls done(identity) at its end. */
export function signIn(root, { notice, invited, done }) {
  const card = el("div", { class: "card" });
  root.replaceChildren(el("main", { class: "entry" },
    el("div", { class: "brand" }, icon("logo", 64), el("h1", {}, "Tolkflip"), el("p", {}, "Messages that arrive: once, in order, and you can see it.")),
    card,
    el("p", { class: "fine" }, "Each tab can be somebody else. ", el("a", { href: "/#new", target: "_blank", rel: "noopener" }, "Open another tab"), " and talk to yourself.")));
  const keep = el("input", { type: "checkbox", id: "keep" });
  const finish = (me) => done({ ...me, kept: keep.checked });
  if (invited) notice ||= "You were invited to a conversation. Sign in, and it opens.";
  askPhone(card, { notice, keep, finish });
}

function askPhone(card, { notice = "", keep, finish, phone = "" }) {
  const input = el("input", { id: "phone", name: "phone", type: "tel", autocomplete: "tel", inputmode: "tel", placeholder: "+1 555 010 0123", required: true, value: phone });
  step(card, {
    title: "Sign in or register",
    notice,
    fields: [
      el("label", { for: "phone" }, "Your phone number"),
      input,
      el("p", { class: "hint" }, "With + and country code. You get a code of six digits."),
      el("label", { class: "check" }, keep, " Stay signed in on this device"),
    ],
    action: "Send the code",
    submit: async () => {
      const number = tidyPhone(input.value);
      if (!/^\+?\d{7,15}$/.test(number)) throw new Error("That does not look like a phone number. Write it with + and country code.");
      const { code } = await requestCode(number);
      askCode(card, { phone: number, shown: input.value, code, keep, finish });
    },
  });
}

function askCode(card, { phone, shown, code, keep, finish }) {
  const input = el("input", {
    id: "code", name: "code", class: "code", type: "text", inputmode: "numeric", autocomplete: "one-time-code", pattern: "[0-9]{6}", maxlength: "6",
    placeholder: "000000", required: true, value: code ?? "",
  });
  const back = el("button", { type: "button", class: "quiet", onclick: () => askPhone(card, { keep, finish, phone: shown }) }, "Another number");
  step(card, {
    title: "Enter the code",
    fields: [
      el("label", { for: "code" }, `Sent to ${shown}`),
      input,
      code ? el("p", { class: "hint dev", id: "dev-code" }, "This server runs with --dev and sends no SMS: your code is ", el("b", {}, code), ", already filled in.") : null,
    ],
    action: "Go on",
    more: back,
    submit: async () => {
      await verifyCode(phone, input.value.trim());
      const me = await login(phone);
      if (me) finish(me);
      else askName(card, { phone, finish });
    },
  });
}

function askName(card, { phone, finish }) {
  const input = el("input", { id: "name", name: "name", type: "text", autocomplete: "name", maxlength: "60", placeholder: "Ada Lovelace", required: true });
  step(card, {
    title: "Welcome! What is your name?",
    fields: [
      el("label", { for: "name" }, "Your name"),
      input,
      el("p", { class: "hint" }, "The people you write to see it."),
    ],
    action: "Start chatting",
    submit: async () => {
      const name = input.value.trim();
      if (!name) throw new Error("A name, please.");
      finish(await register(phone, name));
    },
  });
}

/** One form of the way in. What submit throws is shown under the fields. */
function step(card, { title, notice = "", fields, action, more = null, submit }) {
  const problem = el("p", { class: "problem", role: "alert" });
  const button = el("button", { type: "submit", class: "primary" }, action);
  const form = el("form", {
    onsubmit: async (e) => {
      e.preventDefault();
      problem.textContent = "";
      button.disabled = true;
      try {
        await submit();
      } catch (err) {
        problem.textContent = err.body?.attemptsRemaining > 0 ? `${err.message}. ${err.body.attemptsRemaining} more tries.` : err.message;
      }
      button.disabled = false;
    },
  }, el("h2", {}, title), notice && el("p", { class: "notice" }, notice), fields, problem, button, more);
  card.replaceChildren(form);
  form.querySelector("input:not([type=checkbox])").focus();
}
