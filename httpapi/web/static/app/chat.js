// One conversation as this tab knows it: plain data, no server and no page.

import { mediaIn } from "./media.js";

const KEEP = 400; // messages that stay in memory when the reader is at the end of a longer list

export class Chat {
  messages = []; // a window without holes that ends at the newest one, rising in seq
  waiting = []; // ours that have no seq yet: { clientMessageId, content, at, state, error }, and of a file { messageType, picked, share }
  loaded = false; // the window reaches the newest message
  complete = false; // nothing is older than the window
  head = 0; // the newest seq that is known to exist
  readSeq = 0; // how far we read
  last = null; // { text, at, senderId } for the list
  created = 0;
  typing = new Set();
  members = null; // of a group: [{ userId, admin }]
  total = 0; // of a group: how many members
  divider = 0; // the first unread seq when the conversation was opened
  draft = "";
  files = []; // picked for it, and not sent yet
  gone = false; // we are in it no more
  stale = false; // receipts may have been missed
  #receipts = new Map(); // user id → { delivered, read }, of others
  #floor = { delivered: 0, read: 0 }; // what the server said of any of them

  /** A direct conversation has a peer; before the first message it has no thread. */
  constructor({ key, threadId = null, group = false, peer = null, name = "" }) {
    Object.assign(this, { key, threadId, group, peer, name });
  }

  get unread() { return Math.max(0, this.head - this.readSeq); }

  /** When something happened here last, in Unix milliseconds. */
  get at() { return Math.max(this.waiting.at(-1)?.at ?? 0, this.last?.at ?? this.created); }

  get newest() { return this.messages.at(-1)?.seq ?? 0; }
  get oldest() { return this.messages[0]?.seq ?? 0; }

  /** Takes the next message of the thread. Those that write have read what stands above. */
  add(m) {
    this.head = Math.max(this.head, m.seq);
    if (m.own) {
      this.readSeq = Math.max(this.readSeq, m.seq);
      this.waiting = this.waiting.filter((w) => w.clientMessageId !== m.clientMessageId);
    }
    if (!this.last || m.timestamp >= this.last.at) this.last = { text: preview(m), at: m.timestamp, senderId: m.senderId };
    this.typing.delete(m.senderId);
    if (m.seq > this.newest) this.messages.push(m);
  }

  /** Takes a page of history. What is there already stays the same object. */
  merge(page, complete) {
    const all = new Map(page.map((m) => [m.seq, m]));
    for (const m of this.messages) all.set(m.seq, m);
    this.messages = [...all.values()].sort((a, b) => a.seq - b.seq);
    this.complete ||= complete;
    this.head = Math.max(this.head, this.newest);
    const m = this.messages.at(-1);
    if (m && m.timestamp >= (this.last?.at ?? 0)) this.last = { text: preview(m), at: m.timestamp, senderId: m.senderId };
  }

  /** Forgets the window, for instance because there is a hole behind it. */
  reset() {
    this.messages = [];
    this.loaded = this.complete = false;
  }

  /** Lets go of old messages of a long window; scrolling up brings them back. */
  trim() {
    if (this.messages.length < 2 * KEEP) return;
    this.messages = this.messages.slice(-KEEP);
    this.complete = false;
  }

  /** Another's devices hold, or another has read, all up to seq. */
  receipt(kind, userId, seq) {
    const r = this.#receipts.get(userId) ?? { delivered: 0, read: 0 };
    r[kind] = Math.max(r[kind], seq);
    r.delivered = Math.max(r.delivered, r.read);
    this.#receipts.set(userId, r);
  }

  /** Takes what the server says of messages: rows with seq, sender_id and status. */
  statuses(rows, me) {
    for (const { seq, sender_id: sender, status } of rows) {
      if (sender !== me) continue;
      if (status === "read") this.#floor.read = Math.max(this.#floor.read, seq);
      if (status !== "sent") this.#floor.delivered = Math.max(this.#floor.delivered, seq);
    }
  }

  /** How far a message of ours got: sent, delivered or read. In a group the first other member decides. */
  status(seq) {
    const best = { ...this.#floor };
    for (const r of this.#receipts.values()) {
      best.delivered = Math.max(best.delivered, r.delivered);
      best.read = Math.max(best.read, r.read);
    }
    return seq <= best.read ? "read" : seq <= best.delivered ? "delivered" : "sent";
  }

  /** Who is known to have read a message. */
  readers(seq) { return [...this.#receipts].filter(([, r]) => r.read >= seq).map(([id]) => id); }

  /** Whether a tick of ours could still move. */
  get unsettled() { return this.messages.some((m) => m.own && this.status(m.seq) !== "read"); }
}

const KINDS = { image: "Photo", video: "Video", audio: "Audio", voice_note: "Voice message", file: "File" };

/** The line of a message in the list. */
export function preview(m) {
  const { media, text } = mediaIn(m);
  if (text) return text;
  if (media.length > 0 && media[0].kind === "file" && media[0].name) return media[0].name;
  if (m.encryptedContent) return "Encrypted message";
  return KINDS[m.messageType] ?? "Message";
}

/** What stands in a message without text. */
export function kind(m) { return KINDS[m.messageType] ?? null; }
