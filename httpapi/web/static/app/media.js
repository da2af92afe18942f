// Files in messages, as far as they are data: what an address says of one, and how it is shown. It knows nothing of
// elements and servers.
//
// An address of a file ends in its id. What the one who sent it knows of it stands behind the #, so that a message can
// be laid out before anything is fetched; the server never sees that part. It is the sender's word: good for making
// room and for a name to show, and replaced by what the server says once that is known.

const ID = /(?:^|\/)([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:\/content|\.[a-z0-9]{1,8})$/;
const MOST = 2_000; // bytes of an address

/** The kinds of pictures that browsers show; all other types are files to save. */
const SHOWN = {
  image: ["image/jpeg", "image/png", "image/gif", "image/webp", "image/avif"],
  video: ["video/mp4", "video/webm", "video/ogg"],
  audio: ["audio/mpeg", "audio/mp4", "audio/ogg", "audio/wav", "audio/webm", "audio/flac", "audio/aac"],
};

/** How a file of a type is shown: image, video, audio or file. It is also its messageType. */
export function kindOf(type) {
  return Object.keys(SHOWN).find((kind) => SHOWN[kind].includes(type)) ?? "file";
}

/** What an address says of a file of ours, or null: { mediaId, kind, name, size, type, width, height }. */
export function mediaOf(address, messageType = "") {
  if (!URL.canParse(address)) return null;
  const url = new URL(address);
  const id = (url.protocol === "https:" || url.protocol === "http:") && url.pathname.match(ID);
  if (!id) return null;
  const about = new URLSearchParams(url.hash.slice(1));
  const type = about.get("type") ?? "";
  const number = (name, most) => Math.min(most, Math.max(0, Math.trunc(Number(about.get(name))) || 0));
  return {
    mediaId: id[1],
    kind: type ? kindOf(type) : Object.hasOwn(SHOWN, messageType) ? messageType : "file",
    name: (about.get("name") ?? "").slice(-255),
    size: number("size", Number.MAX_SAFE_INTEGER),
    type,
    width: number("width", 20_000),
    height: number("height", 20_000),
  };
}

/** An address with what is known of the file behind it; a name that makes it too long is cut. */
export function addressWith(url, { name = "", size, type, width, height }) {
  const plain = url.split("#")[0];
  for (let n = name.length; ; n = Math.floor(n / 2)) {
    const about = new URLSearchParams({ type, size, ...(width && height && { width, height }), ...(n > 0 && { name: name.slice(-n) }) });
    const whole = `${plain}#${about}`;
    if (whole.length <= MOST) return whole;
    if (n === 0) return plain;
  }
}

/** The files of a message, and its text. Clients that know no mediaUrls send the address as the text. */
export function mediaIn(m) {
  const media = (m.mediaUrls ?? []).map((u) => mediaOf(u, m.messageType)).filter(Boolean);
  const alone = media.length === 0 && m.content && m.messageType !== "text" ? mediaOf(m.content.trim(), m.messageType) : null;
  if (alone) return { media: [alone], text: "" };
  return { media, text: m.content ?? "" };
}

/** 2.4 MB, as people say sizes. */
export function sizeText(bytes) {
  if (bytes < 1_000) return `${bytes} B`;
  for (const [unit, name] of [[1e9, "GB"], [1e6, "MB"], [1e3, "KB"]]) {
    if (bytes >= unit * 0.9995) return `${bytes / unit < 9.95 ? (bytes / unit).toFixed(1) : Math.round(bytes / unit)} ${name}`;
  }
  return "";
}

const BOX = 320; // px, the longest side in a conversation
const LEAST = 72; // px, so that a thin one can be hit

/** The room for a picture in a conversation. Where its sides are not known it is as wide as most. */
export function roomFor({ width, height }) {
  if (!width || !height) return { width: 240, height: 180 };
  const scale = Math.min(1, BOX / width, BOX / height);
  return { width: Math.max(LEAST, Math.round(width * scale)), height: Math.max(LEAST, Math.round(height * scale)) };
}
