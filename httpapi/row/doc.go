// Package row holds what several services answer in the same shape: the rows of messages and threads
// with the snake_case keys that the existing clients read, and the opaque page positions. Keys that are
// not in those clients' models (seq, client_message_id, reply_to, name, avatar_url and the like) are
// additions that they skip over.
//
// Status is not stored. It is derived from the cursors of the others at the moment of reading, so it can
// never contradict them: sent until one other member's devices hold the message, then delivered, then
// read. In a group the first other member decides, as with the live receipts.
package row
