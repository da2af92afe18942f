// Package media is the service of files: pictures, videos, voice notes, documents, and bytes that the
// clients encrypted. It takes them in, keeps them in a store.Blobs with a record beside, and lets those read
// them who may.
//
// # Taking in
//
// An upload is a multipart form or a JSON document with base64 in it. The caller is known before a byte of
// the body is read (httpapi's streaming routes), and nothing holds a file in memory: it flows from the
// socket through the form's or the document's reader, which count it, into the store. A record is written
// after the file, and it is what makes the file exist; deleting removes the record first. So whatever is
// cut off, at any point, there is never a record without its file, and the request that failed deletes what
// it stored. Only a crash of the process between the two can leave a file that no record names. It can be
// found: a key is <owner>/<media id>.<ext>, or <owner>/<media id>_thumb.jpg, so a key whose id has no record
// is one. They are rare (a window of milliseconds, at a crash), cost space and nothing else, and nobody can
// reach them; so nothing sweeps.
//
// What a file is, its first bytes say (kinds.go). What the client says of it only chooses between names of
// one container, such as audio/webm and video/webm. The types that a browser shows without running anything
// are served inline; all else, and above all HTML and SVG, as an attachment of type
// application/octet-stream, without sniffing, in a sandbox.
//
// # Who may read
//
// The owner, and the members of a thread that the owner gave the file to. There are two ways to give: name
// the thread at upload (the mobile apps do), or send a message that names the file (the web client and the
// page do: they upload first and may have no thread yet). For the second nothing is stored and the way of a
// message stays free of us: the log is the record. Who asks says in which message they saw the file; if the
// owner of the file wrote that message, in a thread that the asker is a member of, it was given. Who says
// nothing is looked for in the newest messages of the asker's direct thread with the owner. A member who
// leaves a group loses the files with the messages.
//
// A link needs no token, because <img> and the players of the apps send none: it is signed, names one file
// and ends (LinkLife, a day unless configured). Links stand in messages, and messages live longer than
// links: a client that finds one expired asks GET /media/{id} for a new one. The page always does, for what
// is on screen. The end of a link is rounded so that a file keeps its link for hours, and the browser's
// cache its copy.
//
// # Thumbnails
//
// A picture is decoded by a library that trusts its header, so the header is read first: sides, pixels and
// the memory that decoding this kind of picture takes (picture.go) must be within bounds, and all decoders
// at work share one budget of memory. A thumbnail is a convenience: whatever is wrong with the picture, or
// busy, the upload stands without one.
package media
