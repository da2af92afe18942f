// A server with a log, and a network that loses, cuts and delays at random: what the client promises must hold
// all the same. A failure names its seed; TOLKFLIP_TEST_SEED runs that one alone.
import assert from "node:assert/strict";
import { test } from "node:test";
import { World, settled, T, U, ME, PEER } from "./world.mjs";

const SEEDS = 60;
const STEPS = 400;
const ATONCE = 7; // messages that one resume brings of a thread before it stops

/** A small generator of random numbers (mulberry32). */
function generator(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Does what the protocol says; frames wait in a connection's queue until the test lets them arrive. */
class Server {
  logs = { [T]: [], [U]: [] };
  byId = new Map();
  conns = new Map(); // socket → { queue, authenticated, resuming }
  losses = true;

  constructor(random) { this.random = random; }

  chance(p) { return this.random() < p; }

  append(threadId, senderId, content, clientMessageId) {
    const log = this.logs[threadId];
    const m = { messageId: `${threadId}/${log.length + 1}`, threadId, seq: log.length + 1, senderId, content, messageType: "text", timestamp: 1, clientMessageId };
    log.push(m);
    return m;
  }

  /** Live frames may be lost: then the client sees a jump in seq. */
  deliver(m, except) {
    for (const [socket, c] of this.conns) {
      if (socket !== except && c.authenticated && !(this.losses && this.chance(0.1))) c.queue.push({ type: "new_message", ...m });
    }
  }

  take(socket, f) {
    const c = this.conns.get(socket);
    if (!c) return;
    switch (f.action) {
      case "authenticate":
        c.authenticated = true;
        c.queue.push({ type: "authenticated", success: true, userId: ME, ref: f.ref });
        return this.resume(c, f);
      case "resume": return this.resume(c, f);
      case "send_message": return this.send(socket, c, f);
      case "history": {
        if (this.losses && this.chance(0.2)) return void c.queue.push({ type: "error", ref: f.ref, code: "busy", message: "later" });
        const log = this.logs[f.threadId].filter((m) => !f.before || m.seq < f.before);
        const messages = log.slice(-Math.min(f.limit, 3));
        return void c.queue.push({ type: "history", ref: f.ref, threadId: f.threadId, messages, complete: messages.length === 0 || messages[0].seq === 1 });
      }
      case "ping": return void c.queue.push({ type: "pong", ref: f.ref });
    }
  }

  resume(c, { ref, threads = {}, resume }) {
    if (c.resuming || (this.losses && this.chance(0.15))) return void c.queue.push({ type: "error", ref, code: "busy", message: "later" });
    const state = {};
    for (const [id, last] of Object.entries(resume?.threads ?? threads)) {
      const log = this.logs[id];
      const some = log.slice(last, last + ATONCE);
      for (const m of some) c.queue.push({ type: "new_message", ...m });
      state[id] = { head: log.length, seq: last + some.length, complete: last + some.length === log.length };
    }
    c.resuming = true;
    c.queue.push({ type: "resumed", ref, threads: state, end: true });
  }

  send(socket, c, f) {
    if (this.losses && this.chance(0.15)) {
      return void c.queue.push({ type: "message_error", clientMessageId: f.clientMessageId, code: "busy", message: "later", retryable: true });
    }
    const first = this.byId.get(f.clientMessageId);
    const m = first ?? this.append(f.threadId, ME, f.content, f.clientMessageId);
    this.byId.set(f.clientMessageId, m);
    const { messageId, threadId, seq, timestamp } = m;
    c.queue.push({ type: "message_sent", messageId, threadId, seq, timestamp, clientMessageId: f.clientMessageId, status: "sent", ...(first ? { duplicate: true } : {}) });
    if (!first) this.deliver(m, socket);
  }

  /** Lets one frame arrive. */
  arrive(socket) {
    const c = this.conns.get(socket);
    const f = c?.queue.shift();
    if (!f) return false;
    if (f.end) c.resuming = false;
    socket.say(f);
    return true;
  }

  cut(socket, code) {
    this.conns.delete(socket);
    socket.drop(code);
  }
}

async function storm(seed) {
  const random = generator(seed);
  const server = new Server(random);
  const w = new World({ threads: { [T]: 0, [U]: 0 }, random });
  w.onsend = (socket, f) => server.take(socket, f);
  const accept = () => {
    if (w.socket.readyState !== 0 || server.conns.has(w.socket)) return;
    server.conns.set(w.socket, { queue: [], authenticated: false, resuming: false });
    w.socket.open();
  };
  const pick = (list) => list[Math.floor(random() * list.length)];
  const sent = [];
  w.client.connect();
  for (let i = 0; i < STEPS; i++) {
    const dice = random();
    if (dice < 0.2) server.deliver(server.append(pick([T, U]), PEER, `theirs ${i}`));
    else if (dice < 0.3) sent.push(w.client.send({ threadId: pick([T, U]), content: `mine ${i}` }));
    else if (dice < 0.32 && w.socket.readyState === 1) server.cut(w.socket, pick([1001, 1006, 4408, 4413, 4429, 4503]));
    else if (dice < 0.36) await w.clock.pass(random() * 8_000);
    else if (dice < 0.42) accept();
    else server.arrive(w.socket);
    await settled();
  }
  server.losses = false;
  for (const id of [T, U]) server.deliver(server.append(id, PEER, "the last one"));
  const whole = () => [T, U].every((id) => w.seqs(id).length === server.logs[id].length) && w.client.unsent().length === 0;
  for (let i = 0; i < 400 && !whole(); i++) {
    accept();
    while (server.arrive(w.socket)) await settled();
    await w.clock.pass(2_000);
  }
  for (const id of [T, U]) {
    assert.deepEqual(w.of("message").filter((m) => m.threadId === id).map((m) => [m.seq, m.content, m.own]),
      server.logs[id].map((m) => [m.seq, m.content, m.senderId === ME]), `seed ${seed}: every message once and in order`);
  }
  assert.deepEqual(w.of("gap"), [], `seed ${seed}: nothing was given up`);
  assert.deepEqual(w.client.unsent(), [], `seed ${seed}: all is sent`);
  assert.deepEqual(w.of("sent").map((e) => e.clientMessageId).sort(), [...sent].sort(), `seed ${seed}: each is acked once`);
  return w;
}

test("every message is shown once and in order, and every send arrives once, whatever the network does", async () => {
  if (process.env.TOLKFLIP_TEST_SEED) return storm(Number(process.env.TOLKFLIP_TEST_SEED));
  let [cuts, heals, pages] = [0, 0, 0];
  for (let seed = 1; seed <= SEEDS; seed++) {
    const w = await storm(seed);
    cuts += w.sockets.length - 1;
    for (const s of w.sockets) {
      heals += s.actions("resume").length;
      pages += s.actions("history").length;
    }
  }
  assert.ok(cuts > SEEDS && heals > SEEDS && pages > SEEDS, `the storm was a breeze: ${cuts} cuts, ${heals} resumes, ${pages} pages`);
});
