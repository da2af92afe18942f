// Times as people say them, in the browser's own language.

const DAY = 86_400_000;

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "long" });
const short = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const long = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const withYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "long", year: "numeric" });

/** Midnight before a time, by the wall clock here. */
export function day(ms) { return new Date(ms).setHours(0, 0, 0, 0); }

function daysAgo(ms, now) { return Math.round((day(now) - day(ms)) / DAY); }

export function clockTime(ms) { return clock.format(ms); }

export function fullTime(ms) { return full.format(ms); }

/** For lists: a clock time today, then "Yesterday", a weekday, a date. */
export function listTime(ms, now = Date.now()) {
  const n = daysAgo(ms, now);
  if (n <= 0) return clock.format(ms);
  if (n === 1) return "Yesterday";
  return n < 7 ? weekday.format(ms) : short.format(ms);
}

/** For the line between two days of a conversation. */
export function dayName(ms, now = Date.now()) {
  const n = daysAgo(ms, now);
  if (n <= 0) return "Today";
  if (n === 1) return "Yesterday";
  return new Date(ms).getFullYear() === new Date(now).getFullYear() ? long.format(ms) : withYear.format(ms);
}

/** "last seen …"; an unknown time is just "offline". */
export function lastSeen(ms, now = Date.now()) {
  if (!ms) return "offline";
  const minutes = Math.floor((now - ms) / 60_000);
  if (minutes < 1) return "last seen just now";
  if (minutes < 60) return `last seen ${minutes} min ago`;
  const n = daysAgo(ms, now);
  if (n <= 0) return `last seen today at ${clock.format(ms)}`;
  if (n === 1) return `last seen yesterday at ${clock.format(ms)}`;
  return `last seen ${short.format(ms)}`;
}
