// A clock that only moves when told, sockets whose other end is the test, and a client between them.
import { TolkflipClient } from "../static/tolkflip.js";

export const ME = "00000000-0000-8000-8000-00000000000a";
export const PEER = "00000000-0000-8000-8000-00000000000b";
export const T = "00000000-0000-8000-8000-0000000000d1";
export const U = "00000000-0000-8000-8000-0000000000d2";

class Clock {
  #now = 1_700_000_000_000;
  #timers = new Map();
  #ids = 0;
  now = () => this.#now;
  setTimeout = (f, ms) => {
    this.#timers.set(++this.#ids, { at: this.#now + ms, f });
    return this.#ids;
  };
  clearTimeout = (id) => void this.#timers.delete(id);
  get size() { return this.#timers.size; }

  /** Moves on by ms; what falls due runs in order, and promises settle in between. */
  async pass(ms) {
    const end = this.#now + ms;
    for (;;) {
      await settled();
      const due = [...this.#timers].filter(([, t]) => t.at <= end).sort(([a, s], [b, t]) => s.at - t.at || a - b)[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.#now = Math.max(this.#now, due[1].at);
      due[1].f();
    }
    this.#now = end;
  }
}

/** Lets every promise that can settle do so: setImmediate comes after all microtasks. */
export function settled() {
  return new Promise((resolve) => setImmediate(resolve));
}

export class World {
  clock = new Clock();
  sockets = [];
  events = [];
  random = 0.5;

  constructor(options = {}) {
    const world = this;
    class Socket {
      readyState = 0;
      sent = [];
      closedWith = undefined;
      constructor(url) {
        this.url = url;
        world.sockets.push(this);
      }
      send(text) {
        if (this.readyState !== 1) throw new Error("not open");
        this.sent.push(JSON.parse(text));
        world.onsend?.(this, this.sent.at(-1));
      }
      close(code) {
        this.closedWith = code;
        this.readyState = 3;
      }
      open() {
        this.readyState = 1;
        this.onopen?.({});
      }
      say(frame) { this.onmessage?.({ data: typeof frame === "string" ? frame : JSON.stringify(frame) }); }
      drop(code = 1006) {
        this.readyState = 3;
        this.onclose?.({ code });
      }
      actions(name) { return this.sent.filter((f) => f.action === name); }
      last(name) { return this.actions(name).at(-1); }
    }
    this.client = new TolkflipClient({
      url: "ws://test/ws",
      token: "token-1",
      WebSocket: Socket,
      clock: this.clock,
      random: () => this.random,
      ...options,
    });
    for (const name of ["state", "message", "sent", "failed", "delivered", "read", "typing", "presence", "thread", "gap", "resumed", "error", "unauthorized"]) {
      this.client.on(name, (e) => this.events.push({ name, ...e }));
    }
  }

  get socket() { return this.sockets.at(-1); }
  of(name) { return this.events.filter((e) => e.name === name); }
  seqs(thread = T) { return this.of("message").filter((m) => m.threadId === thread).map((m) => m.seq); }

  /** Answers the newest socket's authenticate, and its resume with these threads. */
  async accept(threads = {}) {
    this.socket.open();
    this.socket.say({ type: "authenticated", success: true, userId: ME, sessionId: "s" });
    this.socket.say({ type: "resumed", threads });
    await settled();
  }

  /** A client that is online. */
  static async online(options = {}, threads = {}) {
    const w = new World(options);
    w.client.connect();
    await w.accept(threads);
    return w;
  }

  /** The connection breaks; the client waits as long as it wants to and dials again. */
  async redial(code = 1006) {
    this.socket.drop(code);
    const { retryAt } = this.of("state").at(-1);
    await this.clock.pass(retryAt - this.clock.now());
  }
}

export function message(seq, more = {}) {
  return {
    type: "new_message", messageId: `m${seq}`, threadId: T, seq, senderId: PEER, receiverId: ME,
    content: `text ${seq}`, messageType: "text", originalLanguage: "en", timestamp: 1_700_000_000_000 + seq, ...more,
  };
}

export function page(seqs, complete, more = {}) {
  return { type: "history", threadId: T, complete, messages: seqs.map((s) => message(s)).map(({ type, ...m }) => m), ...more };
}

export function range(from, to) { return Array.from({ length: to - from + 1 }, (_, i) => from + i); }
