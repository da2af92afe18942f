// The REST side, and who this tab is.

const KEY = "tolkflip.identity";

/**
 * Who this tab is: { userId, name, phone, token, refreshToken, kept }. It lives in the tab, so that two tabs
 * can be two people; a kept one also lives in the browser, and new tabs begin with it. The address /#new begins
 * with nobody.
 */
export class Identity {
  static read() {
    const own = parse(sessionStorage.getItem(KEY));
    if (own) return own;
    if (location.hash === "#new") return null;
    const kept = parse(localStorage.getItem(KEY));
    if (kept) sessionStorage.setItem(KEY, JSON.stringify(kept));
    return kept;
  }

  static write(me) {
    sessionStorage.setItem(KEY, JSON.stringify(me));
    if (me.kept) localStorage.setItem(KEY, JSON.stringify(me));
    else if (parse(localStorage.getItem(KEY))?.userId === me.userId) localStorage.removeItem(KEY);
  }

  static forget(me) {
    sessionStorage.removeItem(KEY);
    sessionStorage.removeItem(outboxKey(me.userId));
    if (parse(localStorage.getItem(KEY))?.userId === me.userId) localStorage.removeItem(KEY);
  }
}

/** Keeps what is unsent over a reload of the tab. */
export function outboxOf(userId) {
  return {
    load: () => parse(sessionStorage.getItem(outboxKey(userId))) ?? [],
    save: (list) => sessionStorage.setItem(outboxKey(userId), JSON.stringify(list)),
  };
}

function outboxKey(userId) { return `tolkflip.outbox.${userId}`; }

function parse(text) {
  try { return JSON.parse(text); } catch { return null; }
}

/** What a refused request says: a text for people, and the status (0 = the server was not reached). */
export class Refusal extends Error {
  constructor(status, text, body = {}) {
    super(text);
    this.status = status;
    this.body = body;
  }
}

/** One request. The reply's JSON, or a Refusal. */
async function request(method, path, { body, token } = {}) {
  const headers = {};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let reply;
  try {
    reply = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store" });
  } catch {
    throw new Refusal(0, "The server cannot be reached. Are you online?");
  }
  const text = await reply.text();
  const json = parse(text) ?? {};
  if (reply.ok) return json;
  let why = json.error ?? json.errors?.[0]?.msg ?? `The server answered ${reply.status}.`;
  if (reply.status === 429 && reply.headers.get("Retry-After")) why = `Too many requests. Try again in ${wait(Number(reply.headers.get("Retry-After")))}.`;
  throw new Refusal(reply.status, why, json);
}

function wait(seconds) { return seconds < 90 ? `${seconds} seconds` : `${Math.ceil(seconds / 60)} minutes`; }

/** A phone number as the server wants it: spaces and brackets gone, 00 for + accepted. */
export function tidyPhone(text) { return text.replace(/[\s().\-/]/g, "").replace(/^00/, "+"); }

// Before there is a token ---------------------------------------------------------------------------

export function requestCode(phone) { return request("POST", "/api/auth/request-code", { body: { phone_number: phone } }); }

export function verifyCode(phone, code) { return request("POST", "/api/auth/verify-code", { body: { phone_number: phone, code } }); }

/** The identity behind a verified phone, or null where nobody registered with it. */
export async function login(phone) {
  try {
    return identity(await request("POST", "/api/auth/login", { body: { phone_number: phone } }), phone, "");
  } catch (e) {
    if (e.status === 404) return null;
    throw e;
  }
}

export async function register(phone, name) {
  const body = { phone_number: phone, display_name: name, primary_language: language() };
  return identity(await request("POST", "/api/auth/register", { body }), phone, name);
}

function identity(r, phone, name) {
  return {
    userId: r.userId ?? r.user_id,
    name: r.user?.displayName || r.user?.display_name || name || phone,
    phone: r.user?.phoneNumber || r.user?.phone_number || phone,
    token: r.token ?? r.accessToken ?? r.access_token,
    refreshToken: r.refreshToken ?? r.refresh_token,
    kept: false,
  };
}

export function language() { return (navigator.language || "en").slice(0, 2).toLowerCase(); }

// With one ------------------------------------------------------------------------------------------

export class Api {
  #renewing = null;

  constructor(me) { this.me = me; }

  /** A new access token; null when the session is over, an error when it cannot be known now. */
  refresh() {
    this.#renewing ??= this.#renew().finally(() => { this.#renewing = null; });
    return this.#renewing;
  }

  async #renew() {
    try {
      const r = await request("POST", "/api/auth/refresh", { body: { refreshToken: this.me.refreshToken } });
      this.me.token = r.token ?? r.accessToken ?? r.access_token;
      Identity.write(this.me);
      return this.me.token;
    } catch (e) {
      if (e.status === 401 || e.status === 400) return null;
      throw e;
    }
  }

  /** A request with our token, renewed at most once. */
  async call(method, path, body) {
    try {
      return await request(method, path, { body, token: this.me.token });
    } catch (e) {
      if (e.status !== 401 || !(await this.refresh())) throw e;
      return request(method, path, { body, token: this.me.token });
    }
  }

  async threads() {
    const rows = [];
    for (let at = ""; rows.length < 1_000; ) {
      const r = await this.call("GET", `/api/chat/threads?limit=100${at && `&pageState=${encodeURIComponent(at)}`}`);
      rows.push(...r.threads);
      if (!r.pageState) break;
      at = r.pageState;
    }
    return rows;
  }

  /** How far the newest messages of a thread got, as rows with seq, sender_id and status. */
  async statuses(threadId) { return (await this.call("GET", `/api/chat/threads/${threadId}/messages?limit=100`)).messages; }

  async contacts() { return (await this.call("GET", "/api/users/contacts")).contacts.map(person); }

  async profile(userId) { return person((await this.call("GET", `/api/users/profile/${userId}`)).user); }

  /** The person with a phone number, or null. */
  async find(phone) {
    try {
      return person((await this.call("GET", `/api/users/search?phone=${encodeURIComponent(phone)}`)).user);
    } catch (e) {
      if (e.status === 404) return null;
      throw e;
    }
  }

  rename(name) { return this.call("PUT", "/api/users/profile", { display_name: name }); }

  async createGroup(name, memberIds) {
    return (await this.call("POST", "/api/groups", { name, creatorId: this.me.userId, memberIds })).groupId;
  }

  async group(groupId) { return (await this.call("GET", `/api/groups/${groupId}`)).group; }

  async members(groupId) {
    const r = await this.call("GET", `/api/groups/${groupId}/members?limit=100`);
    return { list: r.members.map((m) => ({ userId: m.user_id, admin: m.role === "admin" })), total: r.total ?? r.members.length };
  }

  addMember(groupId, userId) { return this.call("POST", `/api/groups/${groupId}/members`, { userId: this.me.userId, newMemberId: userId }); }

  removeMember(groupId, userId) { return this.call("DELETE", `/api/groups/${groupId}/members/${userId}`); }

  logout() { return request("POST", "/api/auth/logout", { body: { refreshToken: this.me.refreshToken }, token: this.me.token }); }
}

function person(u) { return { userId: u.userId, name: u.displayName || u.phoneNumber, phone: u.phoneNumber ?? "" }; }
