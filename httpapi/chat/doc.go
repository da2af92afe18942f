// Package chat is the REST side of conversations: the caller's threads, the messages of one, a member's
// settings for it, and the shapes of the same that the web client asks for. Every door checks membership
// through the rules of router/chat, by the caller of the token alone.
//
// Lists are read, not kept: a thread's row is the store's row, the caller's cursor and the name of the
// other side. A page of threads costs one read of the list, one of the cursors and one of a user or group
// a row. A row with something unread costs one more, of the newest messages, because sending moves no
// cursor: the list counts from the member's own newest message where that is further. Measured with 50
// rows of 100 unread short messages each on the store in memory: 2 to 5 ms and 3.4 MB a list.
//
// A page of messages is at most 200 messages or about a mebibyte; it is put together from pages of the
// log. With since, messages that were sent earlier are left out. Because the clock of a server may be set
// back, times do not rise strictly with seq: reading goes on until a whole page of the log (100 messages)
// is older, and no further.
package chat
