import assert from "node:assert/strict";
import { test } from "node:test";
import { LIMITS } from "../static/tolkflip.js";
import { World, message, settled, T, U, ME, PEER } from "./world.mjs";

const ack = (clientMessageId, seq, more = {}) => ({ type: "message_sent", clientMessageId, messageId: `id-${clientMessageId}`, threadId: T, seq, status: "sent", timestamp: 1, ...more });
const ids = (socket) => socket.actions("send_message").map((f) => f.clientMessageId);

test("an acked message is sent once and shown as our own", async () => {
  const w = await World.online();
  const id = w.client.send({ receiverId: PEER, content: "hello", originalLanguage: "en" });
  assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.deepEqual(w.socket.last("send_message"), { action: "send_message", receiverId: PEER, content: "hello", originalLanguage: "en", clientMessageId: id });
  assert.equal(w.client.unsent().length, 1);
  w.socket.say(ack(id, 1));
  assert.deepEqual(w.of("sent").map((e) => [e.clientMessageId, e.threadId, e.seq, e.receiverId, e.duplicate]), [[id, T, 1, PEER, false]]);
  const [m] = w.of("message");
  assert.deepEqual([m.own, m.senderId, m.content, m.messageType, m.seq, m.messageId], [true, ME, "hello", "text", 1, `id-${id}`]);
  assert.equal(w.client.unsent().length, 0);
  await w.clock.pass(60_000);
  assert.equal(ids(w.sockets[0]).length, 1);
});

test("what is sent while away goes out after authentication, in its order", async () => {
  const w = new World();
  for (const c of ["a", "b", "c"]) w.client.send({ threadId: T, content: c, clientMessageId: c });
  w.client.connect();
  w.socket.open();
  assert.deepEqual(ids(w.socket), [], "nothing before authenticated");
  await w.accept();
  assert.deepEqual(ids(w.socket), ["a", "b", "c"]);
});

test("without an ack the same id goes out again, on a new connection and on a silent one", async () => {
  const w = await World.online();
  w.client.send({ threadId: T, content: "x", clientMessageId: "x" });
  await w.redial();
  await w.accept();
  assert.deepEqual(ids(w.socket), ["x"]);
  for (let i = 0; i < 4; i++) { w.socket.say({ type: "pong" }); await w.clock.pass(LIMITS.answer / 3); }
  assert.deepEqual(ids(w.socket), ["x", "x"]);
  w.socket.say(ack("x", 1, { duplicate: true }));
  assert.deepEqual(w.of("sent").map((e) => e.duplicate), [true]);
  assert.deepEqual(w.seqs(), [1]);
  await w.redial();
  await w.accept();
  assert.deepEqual(ids(w.socket), []);
});

test("a retryable refusal is tried again with growing waits until it is taken", async () => {
  const w = await World.online();
  w.random = 1;
  w.client.send({ threadId: T, content: "x", clientMessageId: "x" });
  for (const [n, wait] of [1_000, 2_000, 4_000].entries()) {
    w.socket.say({ type: "message_error", clientMessageId: "x", code: "busy", message: "busy", retryable: true });
    await w.clock.pass(wait - 1);
    assert.equal(ids(w.socket).length, n + 1);
    await w.clock.pass(1);
    assert.equal(ids(w.socket).length, n + 2);
  }
  w.socket.say(ack("x", 1));
  assert.equal(w.of("failed").length, 0);
  assert.equal(w.of("sent").length, 1);
});

test("a refusal for good is told once and ends it", async () => {
  const w = await World.online();
  w.client.send({ threadId: T, content: "x", clientMessageId: "x" });
  w.socket.say({ type: "message_error", clientMessageId: "x", code: "forbidden", message: "not a member", retryable: false });
  const [f] = w.of("failed");
  assert.deepEqual([f.clientMessageId, f.code, f.message, f.body.content], ["x", "forbidden", "not a member", "x"]);
  await w.redial();
  await w.accept();
  assert.deepEqual(ids(w.socket), []);
  assert.deepEqual(w.client.unsent(), []);
});

test("our message that resume brings before its ack is settled by it and shown once", async () => {
  const w = await World.online({}, { [T]: { head: 3, complete: false } });
  w.client.send({ threadId: T, content: "x", clientMessageId: "x" });
  await w.redial();
  w.socket.open();
  w.socket.say({ type: "authenticated", userId: ME });
  assert.deepEqual(ids(w.socket), ["x"]);
  w.socket.say(message(4, { senderId: ME, clientMessageId: "x" }));
  w.socket.say({ type: "resumed", threads: { [T]: { head: 4, seq: 4, complete: true } } });
  w.socket.say(ack("x", 4, { duplicate: true }));
  assert.deepEqual(w.seqs(), [4]);
  assert.deepEqual(w.of("sent").map((e) => e.seq), [4]);
});

test("an ack above what was seen waits for the messages before it", async () => {
  const w = await World.online({}, { [T]: { head: 3, complete: false } });
  w.client.send({ threadId: T, content: "x", clientMessageId: "x" });
  w.socket.say(ack("x", 6));
  assert.equal(w.of("sent").length, 1, "the tick does not wait");
  assert.deepEqual(w.seqs(), []);
  const { ref } = w.socket.last("resume");
  for (const seq of [4, 5]) w.socket.say(message(seq));
  w.socket.say({ type: "resumed", ref, threads: { [T]: { head: 6, seq: 6, complete: true } } });
  await settled();
  assert.deepEqual(w.seqs(), [4, 5, 6]);
});

test("at most a window of messages is on its way", async () => {
  const w = await World.online();
  for (let i = 0; i < LIMITS.window + 5; i++) w.client.send({ threadId: T, content: "x", clientMessageId: `c${i}` });
  assert.equal(ids(w.socket).length, LIMITS.window);
  w.socket.say(ack("c0", 1));
  w.socket.say(ack("c1", 2));
  assert.equal(ids(w.socket).length, LIMITS.window + 2);
  assert.equal(ids(w.socket).at(-1), `c${LIMITS.window + 1}`);
});

test("the outbox is kept outside and read at the start", async () => {
  let kept = [];
  const outbox = { load: () => kept, save: (list) => { kept = structuredClone(list); } };
  const before = new World({ outbox });
  before.client.send({ threadId: U, content: "x", clientMessageId: "x" });
  assert.deepEqual(kept, [{ threadId: U, content: "x", clientMessageId: "x" }]);
  const after = await World.online({ outbox });
  assert.deepEqual(ids(after.socket), ["x"]);
  after.socket.say(ack("x", 1, { threadId: U }));
  assert.deepEqual(kept, []);
});

test("close keeps what is on its way for the next connect", async () => {
  const w = await World.online();
  w.client.send({ threadId: T, content: "x", clientMessageId: "x" });
  w.client.close();
  w.client.connect();
  await w.accept();
  assert.deepEqual(ids(w.socket), ["x"]);
});

test("a cancelled message is not sent again", async () => {
  const w = await World.online();
  w.client.send({ threadId: T, content: "x", clientMessageId: "x" });
  w.client.cancel("x");
  await w.redial();
  await w.accept();
  assert.deepEqual(ids(w.socket), []);
});

test("what cannot be sent is refused at once", () => {
  const w = new World();
  assert.throws(() => w.client.send({ content: "x" }), TypeError);
  assert.throws(() => w.client.send({ threadId: T, receiverId: PEER, content: "x" }), TypeError);
  assert.throws(() => w.client.send({ threadId: T, content: "\u00fc".repeat(LIMITS.content / 2 + 1) }), RangeError);
  for (let i = 0; i < LIMITS.outbox; i++) w.client.send({ threadId: T, content: "x" });
  assert.throws(() => w.client.send({ threadId: T, content: "x" }), RangeError);
});

test("delivered goes out by itself, collected, and never for our own", async () => {
  const w = await World.online();
  for (const seq of [1, 2, 3]) w.socket.say(message(seq));
  w.socket.say(message(4, { senderId: ME }));
  assert.equal(w.socket.actions("delivered").length, 0);
  await w.clock.pass(LIMITS.cursor);
  assert.deepEqual(w.socket.actions("delivered"), [{ action: "delivered", threadId: T, seq: 3 }]);
});

test("read goes out by seq, only forward, and says delivered as well", async () => {
  const w = await World.online();
  w.socket.say(message(1));
  w.socket.say(message(2));
  for (const seq of [1, 2, 1]) w.client.read(T, seq);
  await w.clock.pass(LIMITS.cursor);
  w.client.read(T, 2);
  await w.clock.pass(LIMITS.cursor);
  assert.deepEqual(w.socket.actions("read_receipt"), [{ action: "read_receipt", threadId: T, seq: 2 }]);
  assert.deepEqual(w.socket.actions("delivered"), []);
});

test("cursors that may be lost with the connection are told again; confirmed ones are not", async () => {
  const w = await World.online();
  w.client.read(T, 7);
  await w.clock.pass(LIMITS.cursor);
  w.client.read(U, 3);
  await w.redial();
  await w.accept();
  assert.deepEqual(w.socket.actions("read_receipt").map((f) => [f.threadId, f.seq]), [[T, 7], [U, 3]]);
  w.client.wake(); // a ping, whose pong confirms what went before
  w.socket.say({ type: "pong" });
  await w.redial();
  await w.accept();
  assert.deepEqual(w.socket.actions("read_receipt"), []);
});

test("receipts of others come with who and how far", async () => {
  const w = await World.online();
  w.socket.say({ type: "delivered", threadId: T, seq: 3, userId: PEER });
  w.socket.say({ type: "read_receipt", threadId: T, seq: 2, messageId: "m2", readBy: PEER });
  assert.deepEqual(w.of("delivered").map((e) => [e.userId, e.seq]), [[PEER, 3]]);
  assert.deepEqual(w.of("read").map((e) => [e.userId, e.seq, e.messageId]), [[PEER, 2, "m2"]]);
});
