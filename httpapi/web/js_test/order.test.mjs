import assert from "node:assert/strict";
import { test } from "node:test";
import { LIMITS } from "../static/tolkflip.js";
import { World, message, page, range, settled, T, U, ME } from "./world.mjs";

const head = (n) => ({ [T]: { head: n, complete: false } });

test("messages are shown once and in order", async () => {
  const w = await World.online({}, head(4));
  for (const seq of [5, 6, 6, 5, 3, 7]) w.socket.say(message(seq));
  assert.deepEqual(w.seqs(), [5, 6, 7]);
  assert.deepEqual(w.of("message").map((m) => m.own), [false, false, false]);
  assert.equal("type" in w.of("message")[0], false);
});

test("a thread that was not known begins where it is first seen", async () => {
  const w = await World.online();
  w.socket.say(message(9));
  w.socket.say(message(10));
  assert.deepEqual(w.seqs(), [9, 10]);
  assert.deepEqual(w.of("thread").map((e) => [e.threadId, e.head]), [[T, 9]]);
});

test("a jump holds later messages back until resume has brought the missing ones", async () => {
  const w = await World.online({}, head(4));
  w.socket.say(message(5));
  w.socket.say(message(8));
  w.socket.say(message(9));
  assert.deepEqual(w.seqs(), [5]);
  const asked = w.socket.last("resume");
  assert.deepEqual(asked.threads, { [T]: 5 });
  for (const seq of [6, 7, 8, 9]) w.socket.say(message(seq));
  w.socket.say({ type: "resumed", ref: asked.ref, threads: { [T]: { head: 9, seq: 9, complete: true } } });
  w.socket.say(message(10));
  await settled();
  assert.deepEqual(w.seqs(), [5, 6, 7, 8, 9, 10]);
  assert.equal(w.socket.actions("resume").length, 1);
});

test("other threads go on while one heals", async () => {
  const w = await World.online({}, head(4));
  w.socket.say(message(7));
  w.socket.say(message(1, { threadId: U }));
  assert.deepEqual(w.seqs(U), [1]);
  assert.deepEqual(w.seqs(T), []);
});

test("a message that reached the head only behind the hold is fetched too", async () => {
  const w = await World.online({}, head(0));
  for (const seq of range(3, LIMITS.pending + 10)) w.socket.say(message(seq)); // the last ones find no room
  const first = w.socket.last("resume");
  w.socket.say(message(1));
  w.socket.say(message(2));
  w.socket.say({ type: "resumed", ref: first.ref, threads: { [T]: { head: 2, seq: 2, complete: true } } });
  await settled();
  const second = w.socket.last("resume");
  assert.notEqual(second.ref, first.ref);
  assert.deepEqual(second.threads, { [T]: LIMITS.pending + 2 });
  for (const seq of range(LIMITS.pending + 3, LIMITS.pending + 10)) w.socket.say(message(seq));
  w.socket.say({ type: "resumed", ref: second.ref, threads: { [T]: { head: LIMITS.pending + 10, seq: LIMITS.pending + 10, complete: true } } });
  await settled();
  assert.deepEqual(w.seqs(), range(1, LIMITS.pending + 10));
});

test("complete:false is filled by pages of history, before what is live", async () => {
  const w = new World({ threads: { [T]: 100 } });
  w.client.connect();
  w.socket.open();
  w.socket.say({ type: "authenticated", userId: ME });
  for (const seq of range(101, 110)) w.socket.say(message(seq));
  w.socket.say({ type: "resumed", threads: { [T]: { head: 330, seq: 110, complete: false } } });
  w.socket.say(message(331)); // live
  await settled();
  for (const [before, from, to] of [[331, 231, 330], [231, 131, 230], [131, 31, 130]]) {
    const ask = w.socket.last("history");
    assert.equal(ask.before, before);
    w.socket.say(page(range(from, to), false, { ref: ask.ref }));
    await settled();
  }
  assert.deepEqual(w.seqs(), range(101, 331));
  assert.equal(w.socket.actions("history").length, 3);
});

test("a short page goes on where it stopped", async () => {
  const w = await World.online({}, head(0));
  w.socket.say(message(4));
  w.socket.say({ type: "resumed", ref: w.socket.last("resume").ref, threads: { [T]: { head: 4, seq: 0, complete: false } } });
  await settled();
  for (const seqs of [[4], [2, 3], [1]]) {
    w.socket.say(page(seqs, seqs[0] === 1, { ref: w.socket.last("history").ref }));
    await settled();
  }
  assert.deepEqual(w.seqs(), [1, 2, 3, 4]);
});

test("more than catchUp missing ones are given up, and said", async () => {
  const w = await World.online({ catchUp: 50 }, head(10));
  await w.redial();
  w.socket.open();
  w.socket.say({ type: "authenticated", userId: ME });
  for (const seq of range(11, 20)) w.socket.say(message(seq));
  w.socket.say({ type: "resumed", threads: { [T]: { head: 500, seq: 20, complete: false } } });
  await settled();
  w.socket.say(message(501));
  assert.deepEqual(w.of("gap").map(({ from, to }) => [from, to]), [[21, 500]]);
  assert.deepEqual(w.seqs(), [...range(11, 20), 501]);
  assert.equal(w.socket.actions("history").length, 0);
});

test("a heal that fails is tried again with back-off, and ends", async (t) => {
  await t.test("busy, then well", async () => {
    const w = await World.online({}, head(4));
    w.socket.say(message(7));
    w.socket.say({ type: "error", ref: w.socket.last("resume").ref, code: "busy", message: "later" });
    await settled();
    assert.equal(w.socket.actions("resume").length, 1);
    await w.clock.pass(1_000);
    assert.equal(w.socket.actions("resume").length, 2);
    for (const seq of [5, 6, 7]) w.socket.say(message(seq));
    w.socket.say({ type: "resumed", ref: w.socket.last("resume").ref, threads: { [T]: { head: 7, seq: 7, complete: true } } });
    await settled();
    assert.deepEqual(w.seqs(), [5, 6, 7]);
    assert.deepEqual(w.of("gap"), []);
  });
  await t.test("never", async () => {
    const w = await World.online({}, head(4));
    w.socket.say(message(7));
    for (let i = 0; i < 10; i++) {
      const ask = w.socket.last("resume");
      w.socket.say({ type: "resumed", ref: ask.ref, threads: { [T]: { head: 7, seq: 4, complete: true } } });
      await w.clock.pass(9_000);
    }
    assert.deepEqual(w.of("gap").map(({ from, to }) => [from, to]), [[5, 6]]);
    assert.deepEqual(w.seqs(), [7], "what was held is shown in the end");
  });
  await t.test("no longer a member", async () => {
    const w = await World.online({}, head(4));
    w.socket.say(message(7));
    w.socket.say({ type: "resumed", ref: w.socket.last("resume").ref, threads: {} });
    await settled();
    assert.deepEqual(w.of("gap").map(({ from, to }) => [from, to]), [[5, 6]]);
  });
});

test("a heal that a lost connection cuts off goes on by the next one's resume", async () => {
  const w = await World.online({}, head(4));
  w.socket.say(message(7));
  await w.redial();
  w.socket.open();
  assert.deepEqual(w.socket.last("authenticate").resume.threads, { [T]: 4 });
  w.socket.say({ type: "authenticated", userId: ME });
  for (const seq of [5, 6, 7, 8]) w.socket.say(message(seq));
  w.socket.say({ type: "resumed", threads: { [T]: { head: 8, seq: 8, complete: true } } });
  await settled();
  assert.deepEqual(w.seqs(), [5, 6, 7, 8]);
  assert.deepEqual(w.of("gap"), []);
  await w.clock.pass(10_000);
  assert.equal(w.socket.actions("resume").length, 0, "the authenticate's resume was enough");
});

test("one resume at a time carries all that is missing", async () => {
  const w = await World.online({}, { [T]: { head: 4, complete: false }, [U]: { head: 1, complete: false } });
  w.socket.say(message(7));
  w.socket.say(message(3, { threadId: U }));
  assert.equal(w.socket.actions("resume").length, 1, "the server refuses a second one");
  w.socket.say({ type: "error", ref: w.socket.last("resume").ref, code: "busy", message: "later" });
  await w.clock.pass(1_000);
  const { ref, threads } = w.socket.last("resume");
  assert.deepEqual(threads, { [T]: 4, [U]: 1 });
  for (const seq of [5, 6, 7]) w.socket.say(message(seq));
  for (const seq of [2, 3]) w.socket.say(message(seq, { threadId: U }));
  w.socket.say({ type: "resumed", ref, threads: { [T]: { head: 7, seq: 7, complete: true }, [U]: { head: 3, seq: 3, complete: true } } });
  await settled();
  assert.deepEqual([w.seqs(T), w.seqs(U)], [[5, 6, 7], [2, 3]]);
  assert.equal(w.socket.actions("resume").length, 2);
});

test("a busy server is asked until it is not, and nothing is given up", async () => {
  const w = await World.online({}, head(4));
  w.socket.say(message(7));
  for (let i = 1; i <= 8; i++) {
    assert.equal(w.socket.actions("resume").length, i);
    w.socket.say({ type: "error", ref: w.socket.last("resume").ref, code: "busy", message: "later" });
    for (let j = 0; j < 6; j++) { w.socket.say({ type: "pong" }); await w.clock.pass(2_500); }
  }
  assert.deepEqual(w.of("gap"), []);
});

test("a gap during the first resume waits for its end", async () => {
  const w = new World();
  w.client.connect();
  w.socket.open();
  w.socket.say({ type: "authenticated", userId: ME });
  w.socket.say(message(1));
  w.socket.say(message(3));
  assert.equal(w.socket.actions("resume").length, 0);
  w.socket.say({ type: "resumed", threads: { [T]: { head: 3, complete: false } } });
  assert.deepEqual(w.socket.last("resume").threads, { [T]: 1 });
});

test("a refused resume of authenticate is asked for again", async () => {
  const w = new World({ threads: { [T]: 4 } });
  w.client.connect();
  w.socket.open();
  w.socket.say({ type: "authenticated", ref: 0, userId: ME });
  w.socket.say({ type: "error", ref: 0, code: "busy", message: "later" });
  assert.deepEqual(w.socket.last("resume").threads, { [T]: 4 });
  assert.deepEqual(w.of("error"), []);
});

test("threads that came up while away are fetched from their start", async () => {
  const w = await World.online({}, head(4));
  await w.redial();
  w.socket.open();
  w.socket.say({ type: "authenticated", userId: ME });
  w.socket.say({ type: "resumed", threads: { [T]: { head: 4, seq: 4, complete: true }, [U]: { head: 2, complete: false } } });
  const ask = w.socket.last("resume");
  assert.deepEqual(ask.threads, { [U]: 0 });
  for (const seq of [1, 2]) w.socket.say(message(seq, { threadId: U }));
  w.socket.say({ type: "resumed", ref: ask.ref, threads: { [U]: { head: 2, seq: 2, complete: true } } });
  await settled();
  assert.deepEqual(w.seqs(U), [1, 2]);
});

test("more threads than one resume may name: the rest is healed from the heads that come back", async () => {
  const threads = Object.fromEntries(range(1, LIMITS.resume + 1).map((i) => [`t${i}`, 5]));
  const w = new World({ threads });
  w.client.connect();
  w.socket.open();
  assert.equal(Object.keys(w.socket.last("authenticate").resume.threads).length, LIMITS.resume);
  w.socket.say({ type: "authenticated", userId: ME });
  w.socket.say({ type: "resumed", threads: { [`t${LIMITS.resume + 1}`]: { head: 6, complete: false } } });
  assert.deepEqual(w.socket.last("resume").threads, { [`t${LIMITS.resume + 1}`]: 5 });
});

test("history marks our own and fails when the connection does", async () => {
  const w = await World.online();
  const asked = w.client.history(T, { before: 3, limit: 2 });
  const frame = w.socket.last("history");
  assert.deepEqual({ ...frame, ref: 0 }, { action: "history", threadId: T, limit: 2, before: 3, ref: 0 });
  w.socket.say({ type: "history", ref: frame.ref, threadId: T, complete: true, messages: [{ seq: 1, senderId: ME }, { seq: 2, senderId: "x" }] });
  assert.deepEqual((await asked).messages.map((m) => m.own), [true, false]);
  const cut = assert.rejects(w.client.history(T), /disconnected/);
  w.socket.drop();
  await cut;
  await assert.rejects(w.client.history(T), /not connected/);
});

test("history that is never answered is given up", async () => {
  const w = await World.online();
  const asked = assert.rejects(w.client.history(T), /no answer/);
  for (let i = 0; i < 4; i++) { w.socket.say({ type: "pong" }); await w.clock.pass(LIMITS.answer / 3); }
  await asked;
});
