/**
 * Tolkflip's client: one ES module without dependencies, for browsers and for Node.
 *
 *   import { TolkflipClient } from "/tolkflip.js";
 *
 *   const client = new TolkflipClient({
 *     url: "wss://chat.example.com/ws",
 *     token: accessToken,
 *     refresh: async () => (await fetchNewToken()).token, // null = signed out
 *   });
 *   client.on("state", ({ state, retryAt }) => console.log(state, retryAt));
 *   client.on("message", (m) => {           // every message once, in seq order within its thread
 *     console.log(m.threadId, m.seq, m.senderId, m.content, m.own);
 *     client.read(m.threadId, m.seq);       // "delivered" goes out by itself
 *   });
 *   client.on("sent", ({ clientMessageId, seq }) => console.log("durable", clientMessageId, seq));
 *   client.on("failed", ({ clientMessageId, message }) => console.log("refused", message));
 *   client.on("presence", ({ userId, status, lastSeen }) => console.log(userId, status, lastSeen));
 *   client.connect();
 *   client.watch([peerId]);
 *   client.send({ receiverId: peerId, content: "hello" }); // or threadId; kept until it is durable
 *   const { messages, complete } = await client.history(threadId, { before: 41, limit: 50 });
 *   const { url } = await client.upload(file, { threadId, onProgress: (share) => bar.value = share });
 *   client.send({ threadId, content: "", messageType: "image", mediaUrls: [url] });
 *   const { url: fresh } = await client.media(mediaId, { messageId }); // links end, files do not
 *
 * Promises
 *  - What send() took goes out until it is acked or refused for good, always with the same
 *    clientMessageId, so that a retry never shows twice. Give `outbox` to keep it over a reload.
 *  - "message" comes once per message and in seq order within a thread. A jump in seq holds the later
 *    ones back until the missing ones were fetched; after `catchUp` missing ones (default 1,000) the
 *    client gives up on them and says so with "gap" { threadId, from, to }: read them with history().
 *  - It comes back by itself: with back-off and full jitter, resuming every thread it knows. It stays
 *    away after close codes 1002, 1007, 1009 unless the message at fault is known and was dropped, and
 *    after 4401 unless `refresh` gives another token ("unauthorized" is emitted when it does not).
 *
 * Events: state, message, sent, failed, delivered, read, typing, presence, thread, gap, resumed, error,
 * unauthorized. `thread` { threadId, head } tells of a thread that was not known before.
 */

/** What the client waits for, in milliseconds, and how much it holds. */
export const LIMITS = Object.freeze({
  connect: 10_000, // from dialling to authenticated
  answer: 15_000, // an ack, a history page, a resume
  idle: 20_000, // silence before a ping
  pong: 10_000, // silence after it before the connection is given up
  stable: 10_000, // online this long: the next failure starts at the shortest back-off again
  cursor: 150, // delivered and read are collected for so long
  typing: 3_000, // at most one "typing" a thread in this time
  typingEnds: 6_000, // after the last sign of it
  backoff: 30_000, // the longest wait before a reconnect or a retry
  renewAhead: 60_000, // before a token ends
  window: 32, // messages on their way at once
  outbox: 1_000, // messages that wait, in all
  pending: 1_000, // live messages held back behind a gap, a thread
  resume: 1_000, // threads named in one resume
  watch: 200, // users named in one presence_watch
  content: 64 << 10, // bytes
  file: 100 << 20, // bytes of an upload
});

const OVERLOADED = new Set([4413, 4429, 4503]);

/** What a close code asks for: "token" a new one first, "input" never the same again, or "backoff". */
export function policy(code) {
  if (code === 4401) return "token";
  return code === 1002 || code === 1007 || code === 1009 ? "input" : "backoff";
}

/** Milliseconds to wait before attempt n (from 0) after a close code: full jitter, uniform in [floor, ceiling). */
export function backoff(code, attempt, random = Math.random) {
  const floor = OVERLOADED.has(code) ? 1_000 : 0;
  const ceiling = Math.min(LIMITS.backoff, (floor ? 4_000 : 500) * 2 ** Math.min(attempt, 10));
  return floor + random() * (ceiling - floor);
}

export class TolkflipClient {
  #url; #http; #token; #refresh; #Socket; #Request; #clock; #random; #catchUp; #saved;
  #listeners = new Map(); // event → Set of functions
  #threads = new Map(); // thread id → { id, last, head, healing, pending }
  #outbox = new Map(); // clientMessageId → { body, tries, inFlight, timer }
  #cursors = new Map(); // thread id → { delivered, read, toldDelivered, toldRead }
  #unsure = new Set(); // threads whose cursors went out, but no pong has followed yet
  #watched = new Set();
  #presence = new Map();
  #typing = new Map(); // what we told: target → { at, timer }
  #writers = new Map(); // who writes: thread/user → timer
  #state = "idle"; #wanted = false; #greeted = false;
  #conn = null; // all that dies with the connection: { socket, timers, asks, … }
  #retry = null; #next = null; #attempt = 0; #renewals = 0; #refused = 0; #refs = 0;

  /**
   * @param {object} o
   * @param {string} o.url          WebSocket address, path /ws
   * @param {string} [o.http]       address of the REST side, by default the origin of url
   * @param {string} o.token        access token
   * @param {() => Promise<string|null>} [o.refresh]  gives a new access token, null when there is none
   *                                to be had; what it throws counts as "not now"
   * @param {Object<string,number>} [o.threads]  thread id → last seq that the caller holds already
   * @param {{load(): object[], save(list: object[]): void}} [o.outbox]  keeps unsent messages
   * @param {number} [o.catchUp]    most messages to fetch behind one gap
   * @param {Function} [o.WebSocket]  class to dial with, for where there is no global one
   * @param {Function} [o.XMLHttpRequest]  class to upload with, likewise; it is what tells of progress
   * @param {object} [o.clock]      { now, setTimeout, clearTimeout }, for tests
   * @param {() => number} [o.random]
   */
  constructor({ url, http, token, refresh, threads = {}, outbox, catchUp = 1_000, WebSocket: Socket, XMLHttpRequest: Request, clock, random }) {
    this.#url = url;
    this.#http = (http ?? new URL(url).origin).replace(/^ws/, "http").replace(/\/$/, "");
    this.#token = token;
    this.#refresh = refresh;
    this.#Socket = Socket ?? globalThis.WebSocket;
    this.#Request = Request ?? globalThis.XMLHttpRequest;
    this.#clock = clock ?? {
      now: () => Date.now(),
      setTimeout: (f, ms) => setTimeout(f, ms),
      clearTimeout: (t) => clearTimeout(t),
    };
    this.#random = random ?? Math.random;
    this.#catchUp = catchUp;
    this.#saved = outbox;
    for (const [id, seq] of Object.entries(threads)) this.#learn(id, seq);
    for (const body of outbox?.load() ?? []) this.#keep(body);
  }

  /** Who we are; null before the first authentication. */
  userId = null;
  sessionId = null;

  /** idle, connecting, online, waiting (for the next attempt) or closed (connect() starts again). */
  get state() { return this.#state; }

  /** Calls listener with each event of that name; returns the function that ends it. */
  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(listener);
    return () => this.#listeners.get(name).delete(listener);
  }

  connect() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#attempt = this.#renewals = this.#refused = 0;
    this.#open();
  }

  /** Ends the connection. What is unsent stays in the outbox and goes out after the next connect(). */
  close() {
    this.#wanted = false;
    this.#hangUp(1000);
    this.#become("closed", {});
  }

  /** Tells that the network is back or the page is looked at again: no waiting, and a check of life. */
  wake() {
    if (this.#state === "waiting") this.#retryNow();
    else if (this.#state === "online") this.#ping(this.#conn);
  }

  /**
   * Takes a message for a thread or a person and returns its clientMessageId. Further fields of
   * send_message (messageType, originalLanguage, mediaUrls, encryptedContent, replyTo) pass through.
   */
  send({ clientMessageId = newId(), ...fields }) {
    if (!fields.threadId === !fields.receiverId) throw new TypeError("send: give threadId or receiverId");
    if (new TextEncoder().encode(fields.content ?? "").length > LIMITS.content) throw new RangeError("send: content is over 64 KiB");
    if (this.#outbox.size >= LIMITS.outbox) throw new RangeError("send: the outbox is full");
    this.#keep({ ...fields, clientMessageId });
    this.#save();
    this.typing(fields, false);
    this.#flush();
    return clientMessageId;
  }

  /** Drops a message that was not acked yet. It may have arrived all the same. */
  cancel(clientMessageId) { this.#settle(clientMessageId); }

  /** The messages that wait for their ack, oldest first. */
  unsent() { return [...this.#outbox.values()].map((e) => ({ ...e.body })); }

  /** A page of a thread, rising in seq, all below `before`; complete = there is nothing older. */
  async history(threadId, { before, limit = 50 } = {}) {
    const { messages, complete } = await this.#ask({ action: "history", threadId, limit, ...(before ? { before } : {}) });
    return { messages: messages.map((m) => ({ ...m, own: m.senderId === this.userId })), complete };
  }

  /**
   * Stores a file (a File or Blob) and returns what the server says of it: mediaId, url, thumbnailUrl, mimeType,
   * size, fileName, width and height where it is a picture. The members of threadId may read it; without one, those
   * of a thread to which we send a message with its url. onProgress hears the share that is sent, 0 to 1; signal ends
   * it. A refusal is an Error with status (0 = the server was not reached), code and retryable.
   */
  async upload(file, { threadId, name = file.name ?? "file", onProgress, signal } = {}) {
    if (file.size > LIMITS.file) throw refusal(413, { error: "File too large", code: "invalid" });
    const form = new FormData();
    if (threadId) form.append("thread_id", threadId); // before the file: who may not is told before it is sent
    form.append("file", file, name);
    return this.#rest("POST", "/api/media/upload", { body: form, onProgress, signal });
  }

  /** What the server says of a file, with links that work from now on. messageId says in which message it came. */
  media(mediaId, { messageId, threadId } = {}) {
    const query = new URLSearchParams({ ...(messageId && { messageId }), ...(threadId && { threadId }) });
    return this.#rest("GET", `/api/media/media/${encodeURIComponent(mediaId)}${query.size ? `?${query}` : ""}`);
  }

  /** Deletes a file of ours, for everybody. */
  deleteMedia(mediaId) { return this.#rest("DELETE", `/api/media/media/${encodeURIComponent(mediaId)}`); }

  /** Says that all up to seq was read (or, for delivered, is on this device). Cheap to call often. */
  read(threadId, seq) { this.#advance(threadId, "read", seq); }
  delivered(threadId, seq) { this.#advance(threadId, "delivered", seq); }

  /** Tells a thread or a person that we write; call it with every key, it goes out every three seconds. */
  typing({ threadId, receiverId }, on = true) {
    const key = threadId ?? receiverId;
    const told = this.#typing.get(key);
    if (told) this.#clock.clearTimeout(told.timer);
    if (!on) {
      if (told && this.#typing.delete(key)) this.#transmit({ action: "typing", threadId, receiverId, isTyping: false });
      return;
    }
    const now = this.#clock.now();
    const due = !told || now - told.at >= LIMITS.typing;
    if (due) this.#transmit({ action: "typing", threadId, receiverId, isTyping: true });
    const timer = this.#clock.setTimeout(() => this.typing({ threadId, receiverId }, false), LIMITS.typingEnds);
    this.#typing.set(key, { at: due ? now : told.at, timer });
  }

  /** Follows the presence of people, also over reconnects. Asking again for someone asks the server again. */
  watch(userIds) {
    for (const id of userIds) this.#watched.add(id);
    this.#tell("presence_watch", userIds);
  }

  unwatch(userIds) {
    for (const id of userIds) { this.#watched.delete(id); this.#presence.delete(id); }
    this.#tell("presence_unwatch", userIds);
  }

  /** The last that was heard of a watched person: { status, lastSeen }, or undefined. */
  presence(userId) { return this.#presence.get(userId); }

  /** Thread id → last seq shown, for the `threads` option of a later client. */
  positions() { return Object.fromEntries([...this.#threads.values()].map((t) => [t.id, t.last])); }

  /** Stops to follow a thread, for instance after leaving a group. */
  forget(threadId) { this.#threads.delete(threadId); this.#cursors.delete(threadId); this.#unsure.delete(threadId); }

  // Connection ------------------------------------------------------------------------------------

  #open() {
    const conn = { socket: null, online: false, timers: new Set(), asks: new Map(), named: new Set(), missing: new Set(), resuming: true, since: 0, heard: 0, frames: 0 };
    this.#conn = conn;
    this.#become("connecting", {});
    this.#later(conn, LIMITS.connect, () => conn.online || this.#gone(conn, 1006));
    const socket = conn.socket = new this.#Socket(this.#url);
    socket.onopen = () => this.#authenticate(conn);
    socket.onmessage = ({ data }) => this.#conn === conn && this.#receive(conn, data);
    socket.onerror = () => {}; // a close follows, and says more
    socket.onclose = ({ code }) => this.#gone(conn, code || 1006);
  }

  #authenticate(conn) {
    const known = [...this.#threads.values()].slice(0, LIMITS.resume);
    for (const t of known) {
      t.healing = true;
      conn.named.add(t);
    }
    const threads = Object.fromEntries(known.map((t) => [t.id, t.last]));
    this.#transmit({ action: "authenticate", ref: 0, token: this.#token, resume: { threads, all: true } });
  }

  #hangUp(code) {
    this.#clock.clearTimeout(this.#retry);
    const conn = this.#conn;
    if (!conn) return;
    this.#conn = null;
    for (const t of conn.timers) this.#clock.clearTimeout(t);
    for (const { reject } of conn.asks.values()) reject(new Error("disconnected"));
    const s = conn.socket;
    s.onopen = s.onmessage = s.onclose = null;
    if (s.readyState < 2) s.close(code);
    for (const t of this.#threads.values()) { t.healing = false; t.pending.clear(); t.head = t.last; }
    for (const e of this.#outbox.values()) {
      this.#clock.clearTimeout(e.timer);
      e.timer = undefined;
      e.inFlight = false;
    }
    for (const key of this.#writers.keys()) this.#wrote(...key.split("/"), false);
  }

  #gone(conn, code) {
    if (this.#conn !== conn) return;
    if (conn.online && this.#clock.now() - conn.since >= LIMITS.stable) this.#attempt = this.#refused = 0;
    const suspects = [...this.#outbox.values()].filter((e) => e.inFlight);
    this.#hangUp(1000);
    switch (policy(code)) {
      case "token":
        return this.#renew(code);
      case "input": // what was on its way is at fault; with nothing on its way nobody knows what is
        for (const { body } of suspects) this.#fail(body, { code: "invalid", message: `connection closed with ${code}`, retryable: false });
        if (suspects.length === 0 || ++this.#refused > 2) return this.#stop(code);
    }
    this.#comeBack(code);
  }

  #comeBack(code, next = () => this.#open()) {
    const wait = backoff(code, this.#attempt++, this.#random);
    this.#become("waiting", { code, retryAt: this.#clock.now() + wait });
    this.#next = next;
    this.#retry = this.#clock.setTimeout(() => this.#retryNow(), wait);
  }

  #retryNow() {
    this.#clock.clearTimeout(this.#retry);
    this.#next();
  }

  #stop(code) {
    this.#wanted = false;
    this.#become("closed", { code });
    if (code === 4401) this.#emit("unauthorized", {});
  }

  async #renew(code) {
    if (!this.#refresh) return this.#stop(code);
    this.#become("connecting", { code });
    let token;
    try {
      token = await this.#refresh();
    } catch {
      return this.#wanted && this.#comeBack(code, () => this.#renew(code));
    }
    if (!this.#wanted || this.#conn) return;
    if (!token || token === this.#token) return this.#stop(code);
    this.#token = token;
    if (this.#renewals++ === 0) this.#open();
    else this.#comeBack(code);
  }

  /** Renews the token of an open connection before it ends. A failure shows as 4401 later. */
  #planRenewal(conn) {
    const ends = expiry(this.#token);
    if (!ends || !this.#refresh) return;
    const wait = Math.max(LIMITS.idle, ends - this.#clock.now() - LIMITS.renewAhead);
    this.#later(conn, Math.min(wait, 2 ** 31 - 1), async () => {
      let token;
      try { token = await this.#refresh(); } catch { return; }
      if (!token || token === this.#token) return;
      this.#token = token;
      if (this.#conn === conn) this.#transmit({ action: "authenticate", token });
    });
  }

  #transmit(frame) {
    if (this.#conn?.socket.readyState !== 1) return false;
    if (frame.action !== "authenticate" && !this.#conn.online) return false;
    this.#conn.socket.send(JSON.stringify(frame));
    return true;
  }

  /** Asks what the server answers with the same ref. */
  #ask(frame) {
    const conn = this.#conn;
    const ref = ++this.#refs;
    return new Promise((resolve, reject) => {
      if (!this.#transmit({ ...frame, ref })) return reject(new Error("not connected"));
      conn.asks.set(ref, { resolve, reject });
      this.#later(conn, LIMITS.answer, () => conn.asks.delete(ref) && reject(new Error("no answer")));
    });
  }

  #ping(conn) {
    if (conn.pinged) return;
    const unsure = new Set(this.#unsure);
    conn.pinged = () => unsure.forEach((id) => this.#unsure.delete(id));
    this.#transmit({ action: "ping" });
    const { frames } = conn;
    this.#later(conn, LIMITS.pong, () => {
      conn.pinged = null;
      if (conn.frames === frames) this.#gone(conn, 1006);
    });
  }

  #watchLife(conn) {
    this.#later(conn, LIMITS.idle, () => {
      if (this.#clock.now() - conn.heard >= LIMITS.idle || this.#unsure.size > 0) this.#ping(conn);
      this.#watchLife(conn);
    });
  }

  // Frames ----------------------------------------------------------------------------------------

  #receive(conn, data) {
    let f;
    try { f = JSON.parse(data); } catch { return; }
    if (typeof f !== "object" || f === null) return;
    conn.heard = this.#clock.now();
    conn.frames++;
    const asked = f.ref === undefined ? undefined : conn.asks.get(f.ref);
    if (asked) conn.asks.delete(f.ref);
    switch (f.type) {
      case "authenticated": return this.#authenticated(conn, f);
      case "auth_error": return this.#later(conn, 1_000, () => this.#gone(conn, 4401)); // the close comes first
      case "message_sent": return this.#acked(f);
      case "message_error": return this.#refusedSend(f);
      case "new_message": return this.#accept(withoutType(f));
      case "resumed": return asked ? asked.resolve(f) : this.#resumed(conn, f);
      case "history": return asked?.resolve(f);
      case "delivered": return this.#emit("delivered", f);
      case "read_receipt": return this.#emit("read", { ...f, userId: f.readBy });
      case "typing": return this.#wrote(f.threadId, f.userId ?? f.senderId, f.isTyping !== false);
      case "presence":
        if (this.#watched.has(f.userId)) this.#presence.set(f.userId, { status: f.status, lastSeen: f.lastSeen });
        return this.#emit("presence", f);
      case "pong": conn.pinged?.(); conn.pinged = null; return;
      case "error": if (f.ref === 0) return this.#unresumed(conn);
        return asked ? asked.reject(Object.assign(new Error(f.message ?? f.code), { code: f.code })) : this.#emit("error", f);
    }
  }

  #authenticated(conn, { userId, sessionId }) {
    if (conn.online) return this.#planRenewal(conn); // an open connection's token was renewed
    conn.online = true;
    conn.since = this.#clock.now();
    this.#renewals = 0;
    this.userId = userId;
    this.sessionId = sessionId;
    this.#become("online", {});
    this.#planRenewal(conn);
    this.#watchLife(conn);
    this.#tell("presence_watch", [...this.#watched]);
    for (const id of this.#unsure) Object.assign(this.#cursors.get(id), { toldDelivered: 0, toldRead: 0 });
    for (const id of this.#cursors.keys()) this.#tellCursor(id);
    this.#flush();
  }

  #tell(action, userIds) {
    for (let i = 0; i < userIds.length; i += LIMITS.watch) this.#transmit({ action, userIds: userIds.slice(i, i + LIMITS.watch) });
  }

  #wrote(threadId, userId, isTyping) {
    const key = `${threadId}/${userId}`;
    this.#clock.clearTimeout(this.#writers.get(key));
    if (isTyping) this.#writers.set(key, this.#clock.setTimeout(() => this.#wrote(threadId, userId, false), LIMITS.typingEnds));
    else if (!this.#writers.delete(key)) return;
    this.#emit("typing", { threadId, userId, isTyping });
  }

  // Order within a thread -------------------------------------------------------------------------

  #learn(id, last) {
    const t = { id, last, head: last, healing: false, tried: -1, fruitless: 0, pending: new Map() };
    this.#threads.set(id, t);
    return t;
  }

  /** Takes a live or resumed message: shows it when it is next, holds it behind a gap, drops a repeat. */
  #accept(m) {
    let t = this.#threads.get(m.threadId);
    if (!t) {
      t = this.#learn(m.threadId, m.seq - 1);
      this.#emit("thread", { threadId: t.id, head: m.seq });
    }
    this.#settle(m.senderId === this.userId && m.clientMessageId, m); // our own, before its ack
    if (m.seq <= t.last) return;
    t.head = Math.max(t.head, m.seq);
    if (m.seq > t.last + 1) {
      if (t.pending.size < LIMITS.pending) t.pending.set(m.seq, m);
      this.#heal(t);
      return;
    }
    this.#show(t, m);
    this.#drain(t);
  }

  #show(t, m) {
    t.last = m.seq;
    t.head = Math.max(t.head, m.seq);
    const own = m.senderId === this.userId;
    if (!own) {
      this.#wrote(t.id, m.senderId, false);
      this.delivered(t.id, m.seq);
    }
    this.#emit("message", { ...m, own });
  }

  #drain(t) {
    for (let m; (m = t.pending.get(t.last + 1)); ) {
      t.pending.delete(m.seq);
      this.#show(t, m);
    }
    for (const seq of t.pending.keys()) if (seq <= t.last) t.pending.delete(seq);
  }

  /** Fetches what is missing up to t.head. */
  #heal(t) {
    const conn = this.#conn;
    if (t.healing || t.last >= t.head || !conn?.online) return;
    t.healing = true;
    conn.missing.add(t);
    this.#resume(conn);
  }

  /** The server takes one resume of a connection at a time: all threads that miss something share it. */
  async #resume(conn) {
    if (conn.resuming) return;
    conn.resuming = true;
    for (let tries = 0; conn.missing.size > 0; ) {
      if (tries > 0) await this.#sleep(conn, backoff(0, tries, this.#random));
      const batch = [...conn.missing].slice(0, LIMITS.resume);
      try {
        const { threads = {} } = await this.#ask({ action: "resume", threads: Object.fromEntries(batch.map((t) => [t.id, t.last])) });
        tries = 0;
        for (const t of batch) {
          conn.missing.delete(t);
          this.#healed(conn, t, threads[t.id]);
        }
      } catch {
        if (this.#conn !== conn) return;
        tries++;
      }
    }
    conn.resuming = false;
  }

  /** What a resume came to for one thread; where it stopped early, pages of history bring the rest. */
  async #healed(conn, t, state) {
    const start = t.tried;
    t.tried = t.last;
    const far = t.head - t.last > this.#catchUp;
    if (t.last < t.head && (far || !state)) this.#skip(t); // too much, or not ours to read any more
    else if (t.last < t.head && state.complete === false) {
      await this.#page(t).catch(() => {});
      if (this.#conn !== conn) return;
    }
    t.fruitless = t.last > start ? 0 : t.fruitless + 1;
    if (t.last < t.head && t.fruitless > 4) this.#skip(t);
    if (t.last < t.head && t.fruitless > 0) await this.#sleep(conn, backoff(0, t.fruitless, this.#random));
    t.healing = false;
    this.#heal(t);
  }

  async #page(t) {
    const found = [];
    for (let before = t.head + 1; ; before = found[0].seq) {
      const { messages, complete } = await this.#ask({ action: "history", threadId: t.id, before, limit: 100 });
      found.unshift(...messages.filter((m) => m.seq > t.last));
      if (complete || messages.length === 0 || messages[0].seq <= t.last + 1) break;
    }
    for (const m of found) if (m.seq > t.last) this.#show(t, m);
    this.#drain(t);
  }

  /** Gives up on what is missing before the next held message, or up to the head. */
  #skip(t) {
    const to = t.head - t.last > this.#catchUp || t.pending.size === 0 ? t.head : Math.min(...t.pending.keys()) - 1;
    this.#emit("gap", { threadId: t.id, from: t.last + 1, to });
    t.last = to;
    this.#drain(t);
  }

  /** The end of the resume that came with authenticate. */
  #resumed(conn, { threads = {} }) {
    for (const [id, { head, complete }] of Object.entries(threads)) {
      let t = this.#threads.get(id);
      if (!t) { // at the first connection the past is history; later, all of it is news
        t = this.#learn(id, this.#greeted ? 0 : head);
        this.#emit("thread", { threadId: id, head });
      }
      t.head = Math.max(t.head, head);
      if (conn.named.delete(t)) this.#healed(conn, t, { complete });
      else if (t.head - t.last > this.#catchUp) this.#skip(t);
      else this.#heal(t);
    }
    for (const t of conn.named) t.healing = false;
    conn.named.clear();
    conn.resuming = false;
    this.#resume(conn);
    this.#greeted = true;
    this.#emit("resumed", { threads });
  }

  /** The resume that came with authenticate was refused: it is asked for again by itself. */
  #unresumed(conn) {
    for (const t of conn.named) conn.missing.add(t);
    conn.named.clear();
    conn.resuming = false;
    this.#resume(conn);
  }

  // Outbox ----------------------------------------------------------------------------------------

  #keep(body) { this.#outbox.set(body.clientMessageId, { body, tries: 0, inFlight: false, timer: undefined }); }
  #save() { this.#saved?.save(this.unsent()); }

  #flush() {
    let room = LIMITS.window;
    for (const e of this.#outbox.values()) if (e.inFlight) room--;
    for (const e of this.#outbox.values()) {
      if (room <= 0) return;
      if (e.inFlight || e.timer !== undefined) continue;
      if (!this.#transmit({ action: "send_message", ...e.body })) return;
      e.inFlight = true;
      e.timer = this.#clock.setTimeout(() => this.#again(e, 0), LIMITS.answer);
      room--;
    }
  }

  #again(e, wait) {
    this.#clock.clearTimeout(e.timer);
    e.inFlight = false;
    e.timer = this.#clock.setTimeout(() => { e.timer = undefined; this.#flush(); }, wait);
  }

  #acked({ type: _, ref: __, ...ack }) {
    const body = this.#settle(ack.clientMessageId, ack);
    const t = this.#threads.get(ack.threadId);
    if (body) this.#accept({ messageType: "text", ...body, ...ack, senderId: this.userId });
    else if (t && ack.seq > t.last) { t.head = Math.max(t.head, ack.seq); this.#heal(t); }
  }

  /** Takes a message out of the outbox; with its ack, says that it is durable. */
  #settle(clientMessageId, ack) {
    const e = clientMessageId && this.#outbox.get(clientMessageId);
    if (!e) return undefined;
    this.#clock.clearTimeout(e.timer);
    this.#outbox.delete(clientMessageId);
    this.#save();
    if (ack) {
      const { messageId, threadId, seq, timestamp, duplicate = false } = ack;
      this.#emit("sent", { clientMessageId, messageId, threadId, seq, timestamp, duplicate, receiverId: e.body.receiverId });
    }
    this.#flush();
    return e.body;
  }

  #refusedSend({ clientMessageId, code, message, retryable }) {
    const e = this.#outbox.get(clientMessageId);
    if (!e) return this.#emit("error", { code, message });
    if (retryable) this.#again(e, backoff(0, ++e.tries, this.#random));
    else this.#fail(e.body, { code, message, retryable: false });
  }

  #fail(body, why) {
    this.#settle(body.clientMessageId);
    this.#emit("failed", { ...body, ...why, body });
  }

  // Cursors ---------------------------------------------------------------------------------------

  #advance(threadId, kind, seq) {
    const c = this.#cursors.get(threadId) ?? { delivered: 0, read: 0, toldDelivered: 0, toldRead: 0, timer: undefined };
    this.#cursors.set(threadId, c);
    if (seq <= c[kind]) return;
    c[kind] = seq;
    c.timer ??= this.#clock.setTimeout(() => { c.timer = undefined; this.#tellCursor(threadId); }, LIMITS.cursor);
  }

  /** A read moves delivered as well, so one frame says both. */
  #tellCursor(threadId) {
    const c = this.#cursors.get(threadId);
    if (!c) return;
    if (c.read > c.toldRead && this.#transmit({ action: "read_receipt", threadId, seq: c.read })) {
      c.toldRead = c.read;
      c.toldDelivered = Math.max(c.toldDelivered, c.read);
      this.#unsure.add(threadId);
    }
    if (c.delivered > c.toldDelivered && this.#transmit({ action: "delivered", threadId, seq: c.delivered })) {
      c.toldDelivered = c.delivered;
      this.#unsure.add(threadId);
    }
  }

  // Files -----------------------------------------------------------------------------------------

  /** A request with our token, renewed at most once. */
  async #rest(method, path, options = {}) {
    const token = this.#token;
    try {
      return await this.#request(method, path, options);
    } catch (e) {
      if (e.status !== 401 || !this.#refresh) throw e;
      const next = this.#token === token ? await this.#refresh() : this.#token;
      if (!next || next === token) throw e;
      this.#token = next;
      return this.#request(method, path, options);
    }
  }

  #request(method, path, { body, onProgress, signal }) {
    return new Promise((resolve, reject) => {
      const r = new this.#Request();
      const end = () => signal?.removeEventListener("abort", abort);
      const abort = () => { r.abort(); end(); reject(signal.reason ?? new Error("aborted")); };
      if (signal?.aborted) return reject(signal.reason);
      signal?.addEventListener("abort", abort);
      r.open(method, this.#http + path);
      r.setRequestHeader("Authorization", `Bearer ${this.#token}`);
      if (onProgress) r.upload.onprogress = (e) => e.lengthComputable && e.total > 0 && onProgress(e.loaded / e.total);
      r.onload = () => {
        end();
        let said = null;
        try { said = JSON.parse(r.responseText); } catch { /* not ours */ }
        if (r.status >= 200 && r.status < 300 && said) resolve(said);
        else reject(refusal(r.status, said ?? {}));
      };
      r.onerror = () => { end(); reject(refusal(0, {})); };
      r.send(body);
    });
  }

  // Small things ----------------------------------------------------------------------------------

  /** A timer that ends with the connection. */
  #later(conn, ms, f) {
    const timer = this.#clock.setTimeout(() => { conn.timers.delete(timer); f(); }, ms);
    conn.timers.add(timer);
  }

  #sleep(conn, ms) { return new Promise((resolve) => this.#later(conn, ms, resolve)); }

  #become(state, detail) {
    this.#state = state;
    this.#emit("state", { state, ...detail });
  }

  /** A listener that throws is reported as uncaught, and stops nothing here. */
  #emit(name, event) {
    for (const f of this.#listeners.get(name) ?? []) {
      try { f(event); } catch (e) { queueMicrotask(() => { throw e; }); }
    }
  }
}

function refusal(status, { error, code }) {
  const why = error ?? (status === 0 ? "The server cannot be reached." : `The server answered ${status}.`);
  return Object.assign(new Error(why), { status, code: code ?? "internal", retryable: status === 0 || status === 429 || status >= 500 });
}

function withoutType({ type: _, ref: __, ...rest }) { return rest; }

/** When a JWT ends, in Unix milliseconds; 0 when it does not say. */
function expiry(token) {
  try {
    return JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))).exp * 1000 || 0;
  } catch {
    return 0;
  }
}

/** A random UUID, good as a clientMessageId; crypto.randomUUID is missing on pages that came over plain HTTP. */
export function newId() {
  const b = crypto.getRandomValues(new Uint8Array(16));
  b[6] = (b[6] & 15) | 64;
  b[8] = (b[8] & 63) | 128;
  const hex = [...b].map((x) => x.toString(16).padStart(2, "0")).join("");
  return hex.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, "$1-$2-$3-$4-$5");
}
