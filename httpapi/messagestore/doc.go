// Package messagestore is the REST side of single messages: sending one, reading a thread's, saying how
// far one got. It sends through the same rules as the sockets, so that a message that was posted is
// checked, ordered, acked and delivered like any other.
//
// A body may spell its keys in snake_case or camelCase. The sender is the caller of the token whatever it
// says. clientMessageId (also client_message_id, tempMessageId or, last, a messageId of the client's own)
// makes a retry the same message; without one every post is a new message. What a body says of status,
// isGroup and metadata is passed over: the server knows better, or keeps none.
package messagestore
