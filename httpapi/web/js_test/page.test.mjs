import assert from "node:assert/strict";
import { test } from "node:test";
import { Chat, preview } from "../static/app/chat.js";
import { initials, isEmoji, hue } from "../static/app/dom.js";
import { dayName, lastSeen, listTime } from "../static/app/time.js";
import { range } from "./world.mjs";

const ME = "me";
const row = (seq, more = {}) => ({ messageId: `m${seq}`, seq, senderId: "peer", own: false, content: `text ${seq}`, messageType: "text", timestamp: 1_000 + seq, ...more });
const own = (seq, more = {}) => row(seq, { senderId: ME, own: true, clientMessageId: `c${seq}`, ...more });
const rows = (from, to) => range(from, to).map((s) => row(s));
const chat = () => new Chat({ key: "peer", threadId: "t", peer: "peer" });

test("pages and live messages make one window", () => {
  const c = chat();
  c.add(row(61));
  c.merge(rows(11, 60), false);
  c.add(row(62));
  c.merge(rows(1, 10), true);
  c.merge(rows(5, 20), false);
  assert.deepEqual(c.messages.map((m) => m.seq), range(1, 62));
  assert.deepEqual([c.oldest, c.newest, c.head, c.complete], [1, 62, 62, true]);
});

test("unread counts what others wrote after we read or wrote last", () => {
  const c = chat();
  c.head = 10;
  c.readSeq = 8;
  assert.equal(c.unread, 2);
  c.add(row(11));
  assert.equal(c.unread, 3);
  c.add(own(12));
  assert.equal(c.unread, 0);
  c.add(row(13));
  assert.equal(c.unread, 1);
});

test("a message of ours takes the place of what waited", () => {
  const c = chat();
  c.waiting.push({ clientMessageId: "c1", content: "x", at: 5_000, state: "waiting" }, { clientMessageId: "c2", content: "y", at: 5_001, state: "waiting" });
  assert.equal(c.at, 5_001);
  c.add(own(1));
  assert.deepEqual(c.waiting.map((w) => w.clientMessageId), ["c2"]);
});

test("status follows the best receipt, and never goes back", () => {
  const c = chat();
  for (const seq of [1, 2, 3]) c.add(own(seq));
  assert.equal(c.status(1), "sent");
  c.receipt("delivered", "a", 2);
  assert.deepEqual([1, 2, 3].map((s) => c.status(s)), ["delivered", "delivered", "sent"]);
  c.receipt("read", "b", 1);
  c.receipt("delivered", "a", 1);
  assert.deepEqual([1, 2, 3].map((s) => c.status(s)), ["read", "delivered", "sent"]);
  c.statuses([{ seq: 3, sender_id: ME, status: "delivered" }, { seq: 2, sender_id: ME, status: "read" }, { seq: 9, sender_id: "peer", status: "read" }], ME);
  assert.deepEqual([1, 2, 3].map((s) => c.status(s)), ["read", "read", "delivered"]);
  assert.equal(c.unsettled, true);
  c.receipt("read", "a", 3);
  assert.equal(c.unsettled, false);
  assert.deepEqual(c.readers(1), ["a", "b"]);
  assert.deepEqual(c.readers(3), ["a"]);
});

test("a long window is cut at its old end", () => {
  const c = chat();
  c.merge(rows(1, 900), true);
  c.trim();
  assert.deepEqual([c.oldest, c.newest, c.complete], [501, 900, false]);
  c.reset();
  assert.deepEqual([c.messages.length, c.loaded, c.complete], [0, false, false]);
});

test("the list shows the newest message, also of one without text", () => {
  const c = chat();
  c.merge([row(1), row(2, { content: "", messageType: "image" })], true);
  assert.equal(c.last.text, "Photo");
  c.merge([row(1)], true);
  assert.equal(c.last.text, "Photo", "a page of old messages changes nothing");
  assert.equal(preview({ content: "", encryptedContent: "xx", messageType: "text" }), "Encrypted message");
  assert.equal(preview({ content: "", messageType: "new_kind" }), "Message");
});

test("initials", () => {
  for (const [name, want] of [["Ada Lovelace", "AL"], ["ada", "A"], ["  Ada  King Lovelace ", "AL"], ["+1555", "1"], ["\u00c9mile", "\u00c9"], ["\u5f20 \u4f1f", "\u5f20\u4f1f"], ["(\u{1f600}) Bo", "B"], ["", "?"], ["--", "?"]]) {
    assert.equal(initials(name), want, name);
  }
});

test("up to three emoji are large, words are not", () => {
  for (const s of ["\u{1f600}", "\u2764\ufe0f", "\u{1f44d}\u{1f3fd}", "\u{1f468}\u200d\u{1f469}\u200d\u{1f467}", "\u{1f600} \u{1f600}\u{1f600}"]) assert.equal(isEmoji(s), true, s);
  for (const s of ["", "a", "1", "\u{1f600} hi", "\u{1f600}".repeat(4), "#", "12"]) assert.equal(isEmoji(s), false, s);
});

test("a colour is one of ten and stays", () => {
  for (const id of ["", "a", "00000000-0000-8000-8000-00000000000a"]) {
    assert.ok(hue(id) >= 0 && hue(id) < 10);
    assert.equal(hue(id), hue(id));
  }
});

test("times as people say them", () => {
  const now = new Date(2026, 5, 10, 15, 30).getTime();
  const ago = (minutes) => now - minutes * 60_000;
  assert.equal(lastSeen(0, now), "offline");
  assert.equal(lastSeen(ago(0.5), now), "last seen just now");
  assert.equal(lastSeen(ago(59), now), "last seen 59 min ago");
  assert.match(lastSeen(ago(120), now), /^last seen today at 1\D?.*30/);
  assert.match(lastSeen(ago(60 * 20), now), /^last seen yesterday at /);
  assert.equal(listTime(ago(60 * 24), now), "Yesterday");
  assert.equal(dayName(ago(1), now), "Today");
  assert.equal(dayName(ago(60 * 24), now), "Yesterday");
  assert.match(dayName(ago(60 * 24 * 400), now), /2025/);
});
