import assert from "node:assert/strict";
import { test } from "node:test";
import { preview } from "../static/app/chat.js";
import { addressWith, kindOf, mediaIn, mediaOf, roomFor, sizeText } from "../static/app/media.js";
import { TolkflipClient, LIMITS } from "../static/tolkflip.js";

const ID = "0a1b2c3d-0000-4000-8000-00000000000a";
const LINK = `https://chat.example/api/media/${ID}/content?expires=1&signature=x_y-z`;

test("an address tells which file it leads to", () => {
  for (const [address, found] of [
    [LINK, true],
    [`http://127.0.0.1:3006/media/${ID}/content?expires=1`, true],
    [`https://files.example/bucket/${ID.replace("0a", "ff")}/${ID}.jpeg?X-Amz-Signature=1`, true],
    [`https://chat.example/api/media/${ID}`, false],
    [`https://chat.example/${ID}/content/more`, false],
    [`https://chat.example/x${ID}/content`, false],
    [`https://chat.example/${ID.toUpperCase()}/content`, false],
    [`ftp://chat.example/${ID}/content`, false],
    [`javascript:alert(1)//${ID}/content`, false],
    ["https://chat.example/picture.jpeg", false],
    ["", false], ["no address", false],
  ]) {
    assert.equal(mediaOf(address)?.mediaId, found ? ID : undefined, address);
  }
});

test("what is known of a file goes with its address, and comes back", () => {
  const about = { name: "Grüße & <b>.png", size: 1234, type: "image/png", width: 30, height: 20 };
  const address = addressWith(LINK, about);
  assert.ok(address.startsWith(`${LINK}#`));
  assert.deepEqual(mediaOf(address), { mediaId: ID, kind: "image", ...about });
  assert.deepEqual(mediaOf(addressWith(address, { ...about, width: 0 })), { mediaId: ID, kind: "image", ...about, width: 0, height: 0 });
  const long = addressWith(LINK, { ...about, name: `${"ü".repeat(255)}.png` });
  assert.ok(long.length <= 2_000 && mediaOf(long).name.endsWith(".png"));
  assert.equal(addressWith(`${LINK}&${"x".repeat(1_990)}`, about).includes("#"), false);
});

test("a sender's word is bounded", () => {
  const m = mediaOf(`${LINK}#width=1e99&height=-5&size=NaN&name=${"n".repeat(900)}&type=text/html`);
  assert.deepEqual([m.width, m.height, m.size, m.name.length, m.kind], [20_000, 0, 0, 255, "file"]);
  assert.equal(mediaOf(`${LINK}#type=image/svg%2Bxml`, "image").kind, "file", "what a browser may run is never shown");
  assert.equal(mediaOf(LINK, "image").kind, "image");
  assert.equal(mediaOf(LINK, "constructor").kind, "file");
});

test("kinds", () => {
  for (const [type, kind] of [["image/png", "image"], ["video/mp4", "video"], ["audio/webm", "audio"], ["image/svg+xml", "file"], ["image/heic", "file"], ["text/html", "file"], ["", "file"]]) {
    assert.equal(kindOf(type), kind, type);
  }
});

test("a message has files, and words beside them", () => {
  const file = addressWith(LINK, { name: "a.pdf", size: 9, type: "application/pdf" });
  assert.deepEqual(mediaIn({ content: "look", mediaUrls: [file, "https://other.example/x"], messageType: "file" }).text, "look");
  assert.equal(mediaIn({ content: "look", mediaUrls: [file, "https://other.example/x"], messageType: "file" }).media.length, 1);
  assert.deepEqual(mediaIn({ content: LINK, messageType: "image" }).media.map((m) => m.kind), ["image"], "the web client's way");
  assert.equal(mediaIn({ content: LINK, messageType: "image" }).text, "");
  assert.equal(mediaIn({ content: LINK, messageType: "text" }).text, LINK, "an address that somebody writes stays one");
  assert.equal(preview({ content: "", mediaUrls: [file], messageType: "file" }), "a.pdf");
  assert.equal(preview({ content: LINK, messageType: "image" }), "Photo");
  assert.equal(preview({ content: "look", mediaUrls: [file], messageType: "file" }), "look");
});

test("sizes as people say them", () => {
  for (const [n, want] of [[0, "0 B"], [999, "999 B"], [1_000, "1.0 KB"], [13_000, "13 KB"], [999_600, "1.0 MB"], [2_449_000, "2.4 MB"], [104_857_600, "105 MB"], [3e9, "3.0 GB"]]) {
    assert.equal(sizeText(n), want);
  }
});

test("the room for a picture keeps its form within bounds", () => {
  for (const [w, h, rw, rh] of [[0, 0, 240, 180], [1200, 800, 320, 213], [800, 1200, 213, 320], [100, 100, 100, 100], [20, 20, 72, 72], [5000, 10, 320, 72]]) {
    assert.deepEqual(roomFor({ width: w, height: h }), { width: rw, height: rh });
  }
});

/** A class of requests whose other end is the test. */
function requests() {
  const all = [];
  return {
    all,
    Request: class {
      upload = {};
      headers = {};
      constructor() { all.push(this); }
      open(method, url) { Object.assign(this, { method, url }); }
      setRequestHeader(name, value) { this.headers[name] = value; }
      send(body) { this.body = body; }
      abort() { this.aborted = true; }
      answer(status, body) { Object.assign(this, { status, responseText: typeof body === "string" ? body : JSON.stringify(body) }); this.onload(); }
    },
  };
}

function clientOf(more = {}) {
  const r = requests();
  const client = new TolkflipClient({ url: "wss://chat.example/ws", token: "t1", XMLHttpRequest: r.Request, WebSocket: class {}, ...more });
  return { client, all: r.all };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("upload sends a form and tells how far it is", async () => {
  const { client, all } = clientOf();
  const shares = [];
  const file = new File(["hello"], "a.txt", { type: "text/plain" });
  const done = client.upload(file, { threadId: "t", onProgress: (s) => shares.push(s) });
  const [r] = all;
  assert.deepEqual([r.method, r.url, r.headers.Authorization], ["POST", "https://chat.example/api/media/upload", "Bearer t1"]);
  assert.deepEqual([...r.body.keys()], ["thread_id", "file"], "the thread comes before the file");
  assert.equal(r.body.get("file").name, "a.txt");
  r.upload.onprogress({ lengthComputable: true, loaded: 1, total: 4 });
  r.upload.onprogress({ lengthComputable: false, loaded: 2, total: 0 });
  r.answer(200, { success: true, mediaId: ID, url: LINK });
  assert.equal((await done).mediaId, ID);
  assert.deepEqual(shares, [0.25]);
});

test("refusals say why, and whether to try again", async () => {
  const { client, all } = clientOf();
  const file = new File(["x"], "x");
  for (const [status, body, want] of [
    [413, { error: "File too large", code: "invalid" }, { message: "File too large", status: 413, retryable: false }],
    [503, { error: "busy", code: "busy" }, { message: "busy", status: 503, retryable: true }],
    [502, "<html>", { message: "The server answered 502.", status: 502, retryable: true }],
  ]) {
    const done = client.upload(file);
    all.at(-1).answer(status, body);
    await assert.rejects(done, want);
  }
  const lost = client.upload(file);
  all.at(-1).onerror();
  await assert.rejects(lost, { status: 0, retryable: true });
  await assert.rejects(client.upload({ size: LIMITS.file + 1, name: "x" }), { status: 413 });
  assert.equal(all.length, 4, "what is too large is not sent");
});

test("a token that ended is renewed once", async () => {
  const { client, all } = clientOf({ refresh: async () => "t2" });
  const done = client.media(ID, { messageId: "m 1" });
  assert.equal(all[0].url, `https://chat.example/api/media/media/${ID}?messageId=m+1`);
  all[0].answer(401, { error: "Invalid token" });
  await turn();
  assert.equal(all[1].headers.Authorization, "Bearer t2");
  all[1].answer(200, { url: LINK });
  assert.equal((await done).url, LINK);
  const again = client.deleteMedia(ID);
  assert.deepEqual([all[2].method, all[2].headers.Authorization], ["DELETE", "Bearer t2"]);
  all[2].answer(401, { error: "Invalid token" });
  await assert.rejects(again, { status: 401 });
});

test("an upload can be ended", async () => {
  const { client, all } = clientOf();
  const end = new AbortController();
  const done = client.upload(new File(["x"], "x"), { signal: end.signal });
  end.abort();
  await assert.rejects(done, { name: "AbortError" });
  assert.equal(all[0].aborted, true);
  await assert.rejects(client.upload(new File(["x"], "x"), { signal: end.signal }), { name: "AbortError" });
});
