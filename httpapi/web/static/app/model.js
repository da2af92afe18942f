// What the page shows, kept right by the socket and the REST side. It knows nothing of elements: whoever draws
// sets onchange, which is called at most once a turn of the event loop.

import { newId, TolkflipClient } from "/tolkflip.js";
import { Chat } from "/app/chat.js";
import { language, outboxOf } from "/app/api.js";
import { addressWith } from "/app/media.js";

const PREFETCH = 20; // conversations with news that are fetched at the start, so that they count as delivered
const PAGE = 50;
const LINKS = 500; // files whose links are remembered
const PREVIEWS = 60; // files of ours that are shown out of this tab

export class Model {
  chats = new Map(); // key → Chat
  active = null;
  connection = { state: "idle" };
  ready = false; // the list was fetched, or could not be
  trouble = ""; // why it could not be
  onchange = () => {};
  onnotice = () => {}; // a text for the reader
  onsignout = () => {};
  #people = new Map(); // user id → { userId, name, phone } or a promise of it
  #byThread = new Map();
  #changed = false;
  #listing = null;
  #listTimer = null;
  #reading = false; // the reader looks at the end of the active conversation
  #links = new Map(); // media id → { until, said: a promise of what the server says }
  #sent = new Map(); // clientMessageId → Picked, of what we sent since this tab was loaded
  #queue = []; // files that wait to be uploaded, { chat, item }, and texts that go behind them, { chat, text }
  #uploading = false;

  constructor(me, api) {
    this.me = me;
    this.api = api;
    this.#people.set(me.userId, { userId: me.userId, name: me.name, phone: me.phone });
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.client = new TolkflipClient({
      url: `${scheme}://${location.host}/ws`,
      token: me.token,
      refresh: () => api.refresh(),
      outbox: outboxOf(me.userId),
    });
    this.#listen();
  }

  async start() {
    this.client.connect();
    await Promise.all([this.list(), this.#contacts()]);
    for (const body of this.client.unsent()) this.#wait(this.#chatFor(body), body);
    this.ready = true;
    this.change();
  }

  stop() { this.client.close(); }

  get connected() { return this.connection.state === "online"; }

  change() {
    if (this.#changed) return;
    this.#changed = true;
    setTimeout(() => {
      this.#changed = false;
      this.onchange();
    });
  }

  // People ----------------------------------------------------------------------------------------

  /** A person's name; one that is not known yet is looked up, and shown when it is there. */
  name(userId) {
    const p = this.#people.get(userId);
    if (!p) this.#lookUp(userId);
    return p?.name ?? "";
  }

  phone(userId) { return this.#people.get(userId)?.phone ?? ""; }

  /** Everyone we know of, by name. */
  people() {
    return [...this.#people.values()].filter((p) => p.userId && p.userId !== this.me.userId && p.name).sort((a, b) => a.name.localeCompare(b.name));
  }

  know(p) {
    const old = this.#people.get(p.userId);
    this.#people.set(p.userId, { ...p, phone: p.phone || (old?.phone ?? "") });
    this.change();
  }

  async #lookUp(userId) {
    this.#people.set(userId, {});
    try {
      this.know(await this.api.profile(userId));
    } catch (e) {
      if (e.status === 404) this.know({ userId, name: "Someone who left", phone: "" });
      else this.#people.delete(userId); // asked again when it is drawn next
    }
  }

  async #contacts() {
    try {
      for (const p of await this.api.contacts()) this.know(p);
    } catch { /* the names of conversations come with their list */ }
  }

  presence(userId) { return this.client.presence(userId); }

  async rename(name) {
    await this.api.rename(name);
    this.me.name = name;
    this.know({ userId: this.me.userId, name, phone: this.me.phone });
  }

  // The list --------------------------------------------------------------------------------------

  /** Conversations in the order of the list. */
  ordered() {
    return [...this.chats.values()].filter((c) => !c.gone && (c.threadId || c.waiting.length > 0 || c === this.active)).sort((a, b) => b.at - a.at);
  }

  get unread() { return this.ordered().reduce((n, c) => n + (c.unread > 0 ? 1 : 0), 0); }

  title(chat) { return (chat.group ? chat.name : this.name(chat.peer)) || (chat.group ? "Group" : ""); }

  /** Fetches the list of conversations. Several calls at once are one. */
  list() {
    this.#listing ??= this.#list().then(() => { this.trouble = ""; }, (e) => { this.trouble = e.message; }).finally(() => {
      this.#listing = null;
      this.change();
    });
    return this.#listing;
  }

  async #list() {
    for (const r of await this.api.threads()) {
      const group = r.thread_type === "group";
      const chat = this.#chatFor({ threadId: r.thread_id, receiverId: r.other_participant_id, group });
      if (group) chat.name = r.name || chat.name;
      else if (r.name) this.know({ userId: r.other_participant_id, name: r.name, phone: "" });
      const at = Date.parse(r.last_message_time) || 0;
      chat.created = Date.parse(r.created_at) || at;
      if (r.last_message_preview && at >= (chat.last?.at ?? 0)) chat.last = { text: r.last_message_preview, at, senderId: r.last_sender_id };
      const head = r.seq ?? r.unread_count;
      chat.readSeq = Math.max(chat.readSeq, r.read_seq ?? 0, head - r.unread_count); // who answered has read
      chat.head = Math.max(chat.head, head);
    }
    this.client.watch([...this.chats.values()].filter((c) => c.peer).slice(0, 500).map((c) => c.peer));
    this.#prefetch();
  }

  #listSoon() {
    clearTimeout(this.#listTimer);
    this.#listTimer = setTimeout(() => this.list(), 250);
  }

  /** What came while this tab was away is fetched, and counts as delivered from then on. */
  #prefetch() {
    for (const c of this.ordered().filter((c) => c.unread > 0 && !c.loaded).slice(0, PREFETCH)) this.load(c);
  }

  /** Finds the conversation of a thread or a person, or makes it. */
  #chatFor({ threadId = null, receiverId = null, group = false }) {
    let chat = this.#byThread.get(threadId) ?? (receiverId && this.chats.get(receiverId));
    if (!chat) {
      chat = new Chat({ key: receiverId ?? threadId, threadId, group: group || !receiverId, peer: receiverId });
      this.chats.set(chat.key, chat);
      if (chat.group) this.#about(chat);
    }
    if (threadId && chat.threadId !== threadId) {
      chat.threadId = threadId;
      if (chat.peer) this.client.watch([chat.peer]); // we share a thread now, so there is more to be seen
    }
    if (threadId) this.#byThread.set(threadId, chat);
    return chat;
  }

  async #about(chat) {
    if (chat.name) return;
    try {
      const g = await this.api.group(chat.threadId);
      chat.name = g.group_name ?? g.name ?? chat.name;
      chat.total = g.member_count ?? chat.total;
      chat.created = Date.parse(g.created_at) || chat.created;
    } catch { /* the list brings the name later */ }
    this.change();
  }

  // One conversation ------------------------------------------------------------------------------

  open(chat) {
    if (this.active === chat) return;
    if (this.active) this.active.divider = 0;
    this.active = chat;
    this.#reading = false;
    if (chat) {
      chat.divider = chat.unread > 0 ? chat.readSeq + 1 : 0;
      this.load(chat);
      if (chat.group) this.loadMembers(chat);
      if (chat.stale) this.#refreshStatuses(chat);
    }
    this.change();
  }

  /** The conversation with a person; it may have no message yet. */
  personChat(p) {
    this.know(p);
    const chat = this.#chatFor({ receiverId: p.userId });
    this.client.watch([p.userId]);
    return chat;
  }

  /** Fetches the newest page of a conversation once. */
  async load(chat) {
    if (chat.loaded || chat.loading || !chat.threadId) return;
    chat.loading = true;
    try {
      const { messages, complete } = await this.client.history(chat.threadId, { limit: PAGE });
      chat.merge(messages, complete);
      chat.loaded = true;
      const last = messages.at(-1);
      if (last && !last.own) this.client.delivered(chat.threadId, last.seq);
      this.#refreshStatuses(chat);
    } catch { /* tried again when the connection is back */ }
    chat.loading = false;
    this.#markRead();
    this.change();
  }

  /** Fetches the page before the oldest message that is here. */
  async loadOlder(chat) {
    if (!chat.loaded || chat.complete || chat.loading) return;
    chat.loading = true;
    this.change();
    try {
      const { messages, complete } = await this.client.history(chat.threadId, { before: chat.oldest, limit: PAGE });
      chat.merge(messages, complete || messages.length === 0);
    } catch { /* scrolling asks again */ }
    chat.loading = false;
    this.change();
  }

  async #refreshStatuses(chat) {
    chat.stale = false;
    if (!chat.unsettled) return;
    try {
      chat.statuses(await this.api.statuses(chat.threadId), this.me.userId);
    } catch {
      chat.stale = true;
    }
    this.change();
  }

  async loadMembers(chat) {
    try {
      const { list, total } = await this.api.members(chat.threadId);
      chat.members = list;
      chat.total = total;
      this.client.watch(list.map((m) => m.userId).filter((id) => id !== this.me.userId));
    } catch { /* the header does without */ }
    this.change();
  }

  /** Says whether the reader looks at the end of the active conversation right now. */
  reading(on) {
    this.#reading = on;
    this.#markRead();
  }

  #markRead() {
    const chat = this.active;
    if (!this.#reading || !chat?.threadId || !chat.loaded || chat.head === 0) return;
    if (chat.unread > 0) this.change();
    chat.readSeq = Math.max(chat.readSeq, chat.newest);
    this.client.read(chat.threadId, chat.newest);
  }

  // Sending ---------------------------------------------------------------------------------------

  send(chat, content) {
    const to = chat.threadId ? { threadId: chat.threadId } : { receiverId: chat.peer };
    try {
      const clientMessageId = this.client.send({ ...to, content, originalLanguage: language() });
      this.#wait(chat, { clientMessageId, content });
    } catch (e) {
      this.onnotice(e instanceof RangeError ? "This message is too long, or too many wait to be sent." : e.message);
      return false;
    }
    chat.divider = 0;
    this.change();
    return true;
  }

  /** Sends files, a message each, in their order. The text goes with a single one, and behind several. */
  async sendFiles(chat, files, text = "") {
    await Promise.all(files.map((p) => p.measured)); // so that they take their room once
    for (const picked of files) {
      const item = {
        clientMessageId: newId(), content: files.length === 1 ? text : "", messageType: picked.kind,
        picked, share: 0, at: Date.now(), state: "waiting", error: "", uploaded: null, abort: null, onshare: null,
      };
      chat.waiting.push(item);
      this.#queue.push({ chat, item });
    }
    if (files.length > 1 && text) this.#queue.push({ chat, text });
    chat.divider = 0;
    this.change();
    this.#upload();
  }

  /** One file at a time: they arrive in their order, and a slow line is not shared. */
  async #upload() {
    if (this.#uploading) return;
    this.#uploading = true;
    for (let job; (job = this.#queue.shift()); ) {
      if (job.item) await this.#uploadOne(job.chat, job.item);
      else this.send(job.chat, job.text);
    }
    this.#uploading = false;
  }

  async #uploadOne(chat, item) {
    if (!chat.waiting.includes(item)) return;
    const { picked } = item;
    item.abort = new AbortController();
    const tell = (share) => { item.share = share; item.onshare?.(share); };
    try {
      tell(0);
      item.uploaded ??= await this.client.upload(picked.file, { threadId: chat.threadId ?? undefined, name: picked.name, signal: item.abort.signal, onProgress: tell });
      tell(null);
      const { url, fileName, size, mimeType, width = picked.width, height = picked.height } = item.uploaded;
      this.client.send({
        ...(chat.threadId ? { threadId: chat.threadId } : { receiverId: chat.peer }),
        clientMessageId: item.clientMessageId, content: item.content, messageType: item.messageType, originalLanguage: language(),
        mediaUrls: [addressWith(url, { name: fileName, size, type: mimeType, width, height })],
      });
      this.#keepPreview(item);
    } catch (e) {
      if (item.abort.signal.aborted) return;
      Object.assign(item, { state: "failed", share: null, error: e.status === 0 ? "The connection was lost." : e.message, offline: e.status === 0 });
    }
    this.change();
  }

  #keepPreview({ clientMessageId, picked }) {
    this.#sent.set(clientMessageId, picked);
    for (const [id, old] of this.#sent) {
      if (this.#sent.size <= PREVIEWS) break;
      old.close();
      this.#sent.delete(id);
    }
  }

  /** Where a file that we sent is found in this tab, or "". */
  preview(clientMessageId) { return this.#sent.get(clientMessageId)?.preview ?? ""; }

  /** What the server says of a file in a message, with links of this origin as paths. */
  media(mediaId, { messageId, threadId }) {
    const known = this.#links.get(mediaId);
    if (known && known.until > Date.now() + 60_000) return known.said;
    const link = { until: Infinity, said: null };
    const here = (url) => (url && new URL(url).host === location.host ? url.slice(new URL(url).origin.length) : url);
    link.said = this.client.media(mediaId, { messageId, threadId }).then((r) => {
      link.until = r.expiresAt;
      return { ...r, url: here(r.url), thumbnailUrl: here(r.thumbnailUrl) };
    }, (e) => {
      this.#links.delete(mediaId);
      throw e;
    });
    this.#links.delete(mediaId);
    this.#links.set(mediaId, link);
    if (this.#links.size > LINKS) this.#links.delete(this.#links.keys().next().value);
    return link.said;
  }

  typing(chat, on = true) { this.client.typing(chat.threadId ? { threadId: chat.threadId } : { receiverId: chat.peer }, on); }

  #wait(chat, { clientMessageId, content, messageType, mediaUrls }) {
    if (chat.waiting.some((w) => w.clientMessageId === clientMessageId)) return;
    chat.waiting.push({ clientMessageId, content, messageType, mediaUrls, at: Date.now(), state: "waiting", error: "" });
  }

  retry(chat, item) {
    if (item.picked) {
      Object.assign(item, { state: "waiting", error: "", share: 0, offline: false });
      this.#queue.push({ chat, item });
      this.change();
      this.#upload();
      return;
    }
    const { content, messageType, mediaUrls } = item;
    this.discard(chat, item, false);
    const to = chat.threadId ? { threadId: chat.threadId } : { receiverId: chat.peer };
    const again = { content, ...(mediaUrls && { messageType, mediaUrls }) };
    this.#wait(chat, { ...again, clientMessageId: this.client.send({ ...to, ...again, originalLanguage: language() }) });
    this.change();
  }

  /** Takes back what is not sent; a file that was uploaded for it goes too. */
  discard(chat, item, files = true) {
    chat.waiting = chat.waiting.filter((w) => w !== item);
    this.client.cancel(item.clientMessageId);
    item.abort?.abort();
    if (files && item.picked) {
      item.picked.close();
      if (item.uploaded) this.client.deleteMedia(item.uploaded.mediaId).catch(() => {}); // nobody else knows of it
    }
    this.change();
  }

  // Groups ----------------------------------------------------------------------------------------

  async createGroup(name, userIds) {
    const threadId = await this.api.createGroup(name, userIds);
    const chat = this.#chatFor({ threadId, group: true });
    Object.assign(chat, { name, created: Date.now(), loaded: true, complete: true, total: userIds.length + 1 });
    this.open(chat);
    return chat;
  }

  async addMember(chat, userId) {
    await this.api.addMember(chat.threadId, userId);
    await this.loadMembers(chat);
  }

  async removeMember(chat, userId) {
    await this.api.removeMember(chat.threadId, userId);
    if (userId !== this.me.userId) return this.loadMembers(chat);
    this.client.forget(chat.threadId);
    this.chats.delete(chat.key);
    this.#byThread.delete(chat.threadId);
    if (this.active === chat) this.open(null);
    this.change();
  }

  // What the socket tells -------------------------------------------------------------------------

  #listen() {
    const on = (name, f) => this.client.on(name, (e) => { f(e); this.change(); });
    const chatOf = (e) => this.#byThread.get(e.threadId);
    on("state", (e) => { this.connection = e; });
    on("resumed", () => this.#back());
    on("unauthorized", () => this.onsignout());
    on("message", (m) => this.#arrived(m));
    on("sent", (e) => {
      const chat = this.#chatFor(e);
      const item = chat.waiting.find((w) => w.clientMessageId === e.clientMessageId);
      if (item) item.state = "sent"; // its message follows, at once or behind what is missing before it
    });
    on("failed", (e) => {
      const item = this.#chatFor(e).waiting.find((w) => w.clientMessageId === e.clientMessageId);
      if (item) Object.assign(item, { state: "failed", error: e.message });
    });
    on("delivered", (e) => e.userId !== this.me.userId && chatOf(e)?.receipt("delivered", e.userId, e.seq));
    on("read", (e) => {
      const chat = chatOf(e);
      if (chat && e.userId === this.me.userId) chat.readSeq = Math.max(chat.readSeq, e.seq); // in another tab of ours
      else chat?.receipt("read", e.userId, e.seq);
    });
    on("typing", (e) => {
      if (e.userId === this.me.userId) return;
      if (e.isTyping) chatOf(e)?.typing.add(e.userId);
      else chatOf(e)?.typing.delete(e.userId);
    });
    on("presence", () => {});
    on("thread", (e) => this.#byThread.has(e.threadId) || this.#listSoon());
    on("gap", (e) => {
      const chat = chatOf(e);
      chat?.reset();
      if (chat && chat === this.active) this.load(chat);
    });
    on("error", (e) => e.code !== "internal" && e.code !== "busy" && this.onnotice(e.message ?? e.code));
  }

  #arrived(m) {
    const peer = m.own ? m.receiverId : m.receiverId && m.senderId;
    const chat = this.#chatFor({ threadId: m.threadId, receiverId: peer, group: !m.receiverId });
    if (chat.messages.length === 0 && m.seq === 1) chat.loaded = chat.complete = true;
    chat.add(m);
    if (chat !== this.active) chat.trim();
    this.#markRead();
  }

  /** The connection is up again: what only comes live may have been missed. */
  #back() {
    for (const c of this.chats.values()) {
      c.stale = true;
      for (const item of c.waiting.filter((w) => w.offline)) this.retry(c, item);
    }
    this.#listSoon();
    if (!this.active) return;
    this.load(this.active);
    if (this.active.loaded) this.#refreshStatuses(this.active);
    if (this.active.group) this.loadMembers(this.active);
  }
}
