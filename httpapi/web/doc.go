// Package web is what a browser loads from the gateway: the chat page at "/" and the client at
// "/tolkflip.js", embedded as they are written. There is no build step: the modules that a reader sees
// here are the modules that run.
//
// Files are held in memory twice, as they are and gzipped once at start, so that a request copies
// nothing and compresses nothing. All of it is revalidated by ETag (Cache-Control: no-cache): a page of
// one version never runs with modules of another, and a reload costs a 304 a file, about 150 bytes each.
//
// The page is hostile ground: names and messages are written by strangers. Scripts put text into the
// document as text nodes only; the Content-Security-Policy refuses inline scripts and styles, other
// origins, frames and plug-ins, and Trusted Types refuse every sink that would parse markup.
package web
