// The line over the page that says when there is no connection, and what is being done about it.

import { el, setText, show } from "/app/dom.js";

const PATIENCE = 1_500; // ms without a connection before we speak of it

export class Banner {
  #since = 0; // when the connection was lost, in Unix milliseconds
  #timer = null;

  constructor(model) {
    this.model = model;
    this.text = el("span", {});
    this.button = el("button", { type: "button", onclick: () => this.#again() }, "Try now");
    this.element = el("div", { class: "banner", role: "status", hidden: true }, this.text, this.button);
  }

  end() { clearTimeout(this.#timer); }

  render() {
    const { state, retryAt, code } = this.model.connection;
    clearTimeout(this.#timer);
    if (state === "online" || state === "idle") {
      this.#since = 0;
      return show(this.element, false);
    }
    const now = Date.now();
    this.#since ||= now;
    const again = (ms) => { this.#timer = setTimeout(() => this.render(), ms); };
    if (state !== "closed" && now - this.#since < PATIENCE) return again(PATIENCE - (now - this.#since));
    if (state === "waiting") again(1_000);
    show(this.button, state !== "connecting");
    setText(this.text, words(state, code, Math.ceil((retryAt - now) / 1_000)));
    show(this.element, true);
  }

  #again() {
    if (this.model.connection.state === "closed") this.model.client.connect();
    else this.model.client.wake();
  }
}

function words(state, code, seconds) {
  if (state === "closed") return code ? `The server ended this connection (${code}).` : "Not connected.";
  if (!navigator.onLine) return "You are offline. What you write is sent as soon as you are back.";
  if (state === "connecting") return "Connecting…";
  return seconds > 3 ? `No connection. Next try in ${seconds} s.` : "No connection. Trying again…";
}
