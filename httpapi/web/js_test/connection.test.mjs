import assert from "node:assert/strict";
import { test } from "node:test";
import { backoff, LIMITS, policy } from "../static/tolkflip.js";
import { World, message, settled, T, U, PEER } from "./world.mjs";

test("policy of close codes", () => {
  for (const [code, want] of [
    [1000, "backoff"], [1001, "backoff"], [1006, "backoff"], [1011, "backoff"], [4408, "backoff"], [4413, "backoff"], [4429, "backoff"], [4503, "backoff"],
    [4401, "token"], [1002, "input"], [1007, "input"], [1009, "input"],
  ]) assert.equal(policy(code), want, `code ${code}`);
});

test("back-off has full jitter between its bounds", () => {
  for (const code of [1001, 1006, 4408]) {
    for (let n = 0; n < 40; n++) {
      assert.equal(backoff(code, n, () => 0), 0);
      assert.equal(backoff(code, n, () => 1), Math.min(30_000, 500 * 2 ** n));
      assert.equal(backoff(code, n, () => 0.5), Math.min(30_000, 500 * 2 ** n) / 2);
    }
  }
  for (const code of [4413, 4429, 4503]) {
    assert.equal(backoff(code, 0, () => 0), 1_000, "an overloaded server is never dialled at once");
    assert.equal(backoff(code, 0, () => 1), 4_000);
    assert.equal(backoff(code, 9, () => 1), 30_000);
  }
});

test("authenticates on open and asks for the heads of all threads", async () => {
  const w = new World({ threads: { [T]: 41 } });
  w.client.connect();
  assert.equal(w.socket.url, "ws://test/ws");
  w.socket.open();
  assert.deepEqual(w.socket.sent, [{ action: "authenticate", ref: 0, token: "token-1", resume: { threads: { [T]: 41 }, all: true } }]);
  await w.accept();
  assert.equal(w.client.state, "online");
  assert.deepEqual(w.of("state").map((e) => e.state), ["connecting", "online"]);
});

test("connects again with growing waits and resumes from what it has", async () => {
  const w = await World.online();
  w.socket.say(message(1));
  w.socket.say(message(2));
  w.random = 0.999;
  const waits = [];
  for (let i = 0; i < 8; i++) {
    const n = w.sockets.length;
    w.socket.drop(1006);
    const { state, retryAt } = w.of("state").at(-1);
    assert.equal(state, "waiting");
    waits.push(Math.round((retryAt - w.clock.now()) / 0.999));
    await w.clock.pass(retryAt - w.clock.now() - 1);
    assert.equal(w.sockets.length, n, "not before its time");
    await w.clock.pass(1);
    assert.equal(w.sockets.length, n + 1);
  }
  assert.deepEqual(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  w.socket.open();
  assert.deepEqual(w.socket.last("authenticate").resume, { threads: { [T]: 2 }, all: true });
});

test("only a connection that lasted resets the back-off", async () => {
  const w = await World.online();
  w.random = 1;
  const wait = () => w.of("state").at(-1).retryAt - w.clock.now();
  w.socket.drop(4429);
  assert.equal(wait(), 4_000);
  await w.clock.pass(wait());
  await w.accept();
  w.socket.drop(4429);
  assert.equal(wait(), 8_000, "thrown out at once: longer");
  await w.clock.pass(wait());
  await w.accept();
  await w.clock.pass(LIMITS.stable);
  w.socket.drop(4429);
  assert.equal(wait(), 4_000, "it lasted: short again");
});

test("wake ends the waiting", async () => {
  const w = await World.online();
  w.random = 1;
  w.socket.drop(1001);
  w.client.wake();
  assert.equal(w.sockets.length, 2);
  await w.clock.pass(1_000);
  assert.equal(w.sockets.length, 2, "the timer of the wait was ended");
});

test("close ends everything, also the timers", async () => {
  const w = await World.online();
  w.client.read(T, 1);
  await w.clock.pass(LIMITS.cursor);
  w.client.close();
  assert.equal(w.socket.closedWith, 1000);
  assert.equal(w.client.state, "closed");
  assert.equal(w.clock.size, 0);
  await w.clock.pass(120_000);
  assert.equal(w.sockets.length, 1);
});

test("4401 comes back with a new token only", async (t) => {
  await t.test("a new one", async () => {
    const tokens = ["token-2"];
    const w = await World.online({ refresh: async () => tokens.shift() });
    w.socket.drop(4401);
    await settled();
    assert.equal(w.sockets.length, 2, "at once");
    w.socket.open();
    assert.equal(w.socket.last("authenticate").token, "token-2");
  });
  for (const [name, refresh] of [["none", undefined], ["null", async () => null], ["the same", async () => "token-1"]]) {
    await t.test(name, async () => {
      const w = await World.online({ refresh });
      w.socket.drop(4401);
      await w.clock.pass(120_000);
      assert.equal(w.sockets.length, 1);
      assert.equal(w.client.state, "closed");
      assert.equal(w.of("unauthorized").length, 1);
    });
  }
  await t.test("not now", async () => {
    let tries = 0;
    const w = await World.online({ refresh: async () => { if (++tries < 3) throw new Error("offline"); return "token-2"; } });
    w.socket.drop(4401);
    await settled();
    assert.equal(w.client.state, "waiting");
    w.client.wake();
    await settled();
    assert.equal(w.sockets.length, 1, "wake asks for a token, it does not dial with the old one");
    const { retryAt } = w.of("state").at(-1);
    await w.clock.pass(retryAt - w.clock.now());
    assert.equal(tries, 3);
    w.socket.open();
    assert.equal(w.socket.last("authenticate").token, "token-2");
  });
  await t.test("new ones that are refused as well do not make a storm", async () => {
    let n = 1;
    const w = await World.online({ refresh: async () => `token-${++n}` });
    w.random = 1;
    w.socket.drop(4401);
    await settled();
    w.socket.open();
    w.socket.say({ type: "auth_error", error: "invalid_token" });
    w.socket.drop(4401);
    await settled();
    assert.equal(w.sockets.length, 2);
    const { state, retryAt } = w.of("state").at(-1);
    assert.equal(state, "waiting");
    await w.clock.pass(retryAt - w.clock.now());
    assert.equal(w.sockets.length, 3);
  });
  await t.test("auth_error without a close counts as 4401", async () => {
    const w = new World({ refresh: async () => "token-2" });
    w.client.connect();
    w.socket.open();
    w.socket.say({ type: "auth_error", error: "token_expired" });
    await w.clock.pass(2_000);
    assert.equal(w.sockets.length, 2);
  });
});

test("1002, 1007 and 1009: what was on its way is dropped, never repeated", async (t) => {
  for (const code of [1002, 1007, 1009]) {
    await t.test(`${code} with a message on its way`, async () => {
      const w = await World.online();
      w.client.send({ threadId: T, content: "bad", clientMessageId: "bad" });
      await w.redial(code);
      w.client.send({ threadId: T, content: "good", clientMessageId: "good" });
      assert.deepEqual(w.of("failed").map((e) => [e.clientMessageId, e.code, e.retryable]), [["bad", "invalid", false]]);
      await w.accept();
      assert.deepEqual(w.socket.actions("send_message").map((f) => f.clientMessageId), ["good"]);
    });
    await t.test(`${code} for nothing that is known`, async () => {
      const w = await World.online();
      w.socket.drop(code);
      await w.clock.pass(120_000);
      assert.equal(w.sockets.length, 1);
      assert.equal(w.client.state, "closed");
      assert.equal(w.of("state").at(-1).code, code);
    });
  }
});

test("a silent server is pinged, and given up when it stays silent", async () => {
  const w = await World.online();
  await w.clock.pass(LIMITS.idle);
  assert.equal(w.socket.actions("ping").length, 1);
  w.socket.say({ type: "pong" });
  await w.clock.pass(LIMITS.pong);
  assert.equal(w.client.state, "online");
  await w.clock.pass(LIMITS.idle - LIMITS.pong);
  assert.equal(w.socket.actions("ping").length, 2);
  await w.clock.pass(LIMITS.pong - 1);
  assert.equal(w.client.state, "online");
  await w.clock.pass(1);
  assert.equal(w.client.state, "waiting");
});

test("a handshake that hangs is given up", async () => {
  const w = new World();
  w.client.connect();
  await w.clock.pass(LIMITS.connect);
  assert.equal(w.client.state, "waiting");
});

test("the token of an open connection is renewed before it ends", async () => {
  const until = (s) => `x.${Buffer.from(JSON.stringify({ exp: s })).toString("base64url")}.x`;
  const now = 1_700_000_000;
  const fresh = until(now + 7_200);
  const w = await World.online({ token: until(now + 3_600), refresh: async () => fresh });
  const keep = async (ms) => {
    for (let i = 0; i < ms / 5_000; i++) { w.socket.say({ type: "pong" }); await w.clock.pass(5_000); }
  };
  await keep(3_530_000);
  assert.equal(w.socket.actions("authenticate").length, 1);
  await keep(20_000);
  assert.deepEqual(w.socket.last("authenticate"), { action: "authenticate", token: fresh });
  w.socket.say({ type: "authenticated", success: true, userId: w.client.userId, sessionId: "s" });
  assert.deepEqual(w.of("state").map((e) => e.state), ["connecting", "online"], "no second coming online");
});

test("presence is watched again after a reconnect, in pieces", async () => {
  const w = await World.online();
  const many = Array.from({ length: LIMITS.watch + 1 }, (_, i) => `u${i}`);
  w.client.watch(many);
  assert.deepEqual(w.socket.actions("presence_watch").map((f) => f.userIds.length), [LIMITS.watch, 1]);
  w.socket.say({ type: "presence", userId: "u1", status: "online", lastSeen: 5 });
  assert.deepEqual(w.client.presence("u1"), { status: "online", lastSeen: 5 });
  w.client.unwatch(["u0"]);
  await w.redial();
  await w.accept();
  assert.deepEqual(w.socket.actions("presence_watch").flatMap((f) => f.userIds), many.slice(1));
});

test("typing goes out at most every three seconds and ends by itself", async () => {
  const w = await World.online();
  const told = () => w.socket.actions("typing").map((f) => f.isTyping);
  for (let i = 0; i < 7; i++) { w.client.typing({ threadId: T }); await w.clock.pass(500); }
  assert.deepEqual(told(), [true, true]);
  await w.clock.pass(LIMITS.typingEnds);
  assert.deepEqual(told(), [true, true, false]);
  w.client.typing({ threadId: T });
  w.client.send({ threadId: T, content: "x" });
  assert.deepEqual(told(), [true, true, false, true, false], "sending ends it");
});

test("who writes is forgotten after a while, and when the message comes", async () => {
  const w = await World.online({}, { [T]: { head: 0, complete: false } });
  const seen = () => w.of("typing").map((e) => [e.userId, e.isTyping]);
  w.socket.say({ type: "typing", threadId: T, userId: PEER, senderId: PEER, isTyping: true });
  await w.clock.pass(LIMITS.typingEnds);
  assert.deepEqual(seen(), [[PEER, true], [PEER, false]]);
  w.socket.say({ type: "typing", threadId: T, userId: PEER, senderId: PEER, isTyping: true });
  w.socket.say(message(1));
  assert.deepEqual(seen().slice(2), [[PEER, true], [PEER, false]]);
  w.socket.say({ type: "typing", threadId: U, userId: PEER, senderId: PEER, isTyping: true });
  w.socket.drop();
  assert.deepEqual(seen().slice(4), [[PEER, true], [PEER, false]], "a lost connection ends it");
});

test("frames that make no sense do no harm", async () => {
  const w = await World.online();
  for (const f of ["", "{", "null", "1", "[]", { type: "new_kind" }, { type: "message_sent" }, { type: "history" }, { type: "error", ref: 99, code: "busy" }]) w.socket.say(f);
  await settled();
  assert.equal(w.client.state, "online");
});
