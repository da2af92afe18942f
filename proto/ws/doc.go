// Package ws is RFC 6455 without I/O: pure functions over bytes that somebody else read and will write.
//
// A loop holds one [State] a connection (8 bytes, no pointers, useful as its zero value) and calls
// [State.Next] on the bytes it has: it gets one whole frame, checked and unmasked in place, or learns that
// more bytes are needed, or gets an [*Error] with the close code to send. [ParseHead] does the same for
// the HTTP head that comes before, and [AppendAccept] and [AppendRefusal] answer it.
//
// Nothing here allocates, keeps a reference after it returns, or needs a lock. All slices that come out
// alias the bytes that went in and live as long as those do; Append functions write to dst as append does.
//
// Decisions, measured on 2 cores of an AMD EPYC with Go 1.26:
//
//   - The frame parser is ours: gobwas/ws reads headers from an io.Reader, 70 ns and two allocations against
//     3.5 ns here. Its mask kernel (SSE2, AVX2, NEON) and its Upgrader's rules are kept.
//   - The head parser is ours: an Upgrader eats the bytes of a head that is not whole, copies and
//     allocates, has no limit on a whole head, and cannot pass the bytes on to an HTTP server.
//   - Extensions are not negotiated, so a set RSV bit is an error. permessage-deflate would cost 36 KB or
//     more of inflate window for a connection that is being read.
//   - A text message is checked to be UTF-8 here, also across fragments, so that nothing behind this
//     package has to ask again. sonic's validator does it at 15 GB/s for text beyond ASCII, where
//     unicode/utf8 comes to 1.1 GB/s: 4 us against 59 us for 64 KiB of Cyrillic.
package ws
