// Package blob keeps files: in a directory (OpenDisk), or in a bucket of an S3 server (ParseURL, OpenS3).
// Both are a store.Blobs, and neither holds a file in memory.
//
// # The directory
//
// A file is written under a temporary name, synced, renamed, and its folder synced, before Put returns; so
// it is there whole or not at all, also after a power loss. What is known of it stands in a trailer behind
// its bytes: one file, no second one to be lost, and no extended attributes, which not every file system
// has. A file without a good trailer lost bytes, and is refused.
//
// Everything goes through an os.Root. No name and no link leads out of the directory.
//
// Unfinished files are in a folder of the process, whose lock it holds while it lives. OpenDisk removes the
// folders whose lock nobody holds: those of dead processes, whichever way they died, and never those of
// another living one, such as the one that hands over to this one.
//
// Writing is paced: the system is asked to write out every MiB, and a file waits when 8 MiB of it are not on
// the disk yet. Else the sync at a large file's end holds up the syncs of everything else on the disk, those
// of the messages first. Files are refused at more free space than messages are (DiskConfig): they stop first.
//
// Checkpoint copies by hard links, as a file never changes: a Put in its place is another file.
//
// # The bucket
//
// A file up to a part of 5 MiB is one PUT, which leaves nothing behind however it ends. A larger one is a
// multipart upload, one part after the other, since every part needs its bytes in memory: S3 wants a part's
// length and hash before its first byte, and a part is sent again when a connection breaks.
//
// The parts of all uploads share one pool, see pool. A buffer a part would let 12 uploads share 64 MiB,
// however little they had to send, and a dozen slow phones would stop everybody. So memory is lent in blocks
// of 256 KiB as bytes arrive, in an order that cannot deadlock, and a part that takes longer than PartTime
// while others wait is refused. The pool is outside the heap, which may grow to twice of what lives in it, and
// goes back to the system when nothing is uploaded.
//
// The SHA-256 of every part is signed, over TLS too: the server refuses what arrives otherwise.
//
// What a failed upload left is removed at once, or when the server is back (janitor). That of a dead process
// is removed when it is a day old. MinIO does not list unfinished uploads without their key, and removes old
// ones itself; that matters on other servers.
//
// When the answer to the last request of an upload is lost, the server is asked whether the file is there
// under the name that its parts give it. A lost PUT is retried, and replaces itself.
//
// Presigned URLs are made without asking the server, for PublicURL's host, since the host is signed. A proxy
// there keeps the Host header, and takes the prefix of PublicURL's path off.
//
// Every failure of the server is store.ErrBusy with its text: which server, what, why, and what to check.
// Nothing that a client sends makes it fail, and all of it passes when an operator has looked.
//
// # Measured
//
// Two cores of an AMD EPYC that other jobs used too, MinIO on the same two.
//
//	100 files of 20 MiB at once          throughput    memory grew by
//	directory                            155-339 MB/s  3 MB, with reading them back 6 MB
//	MinIO, parts of 5 MiB, pool 60 MiB   18-37 MB/s    65 MB; the pool's 60 MiB were lent
//
//	20 KiB, 8 at once                    a file
//	directory                            put 1.5 ms, open and read 0.06 ms
//	MinIO                                put 14 ms, open and read 5 ms
//
// MinIO killed in the third part of an upload: ErrBusy after 3 s (four tries), healthy 2.5 s after it was
// started again, and the parts that were left gone 0.1 s later.
package blob
