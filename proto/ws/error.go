package ws

// Close codes of RFC 6455, section 7.4.1, and the product's own in the private range. A client
// that is told 1002, 1007 or 1009 never sends the same again; after any other of the server's it comes back.
const (
	CloseNormal      uint16 = 1000
	CloseGoingAway   uint16 = 1001 // the server drains
	CloseProtocol    uint16 = 1002
	CloseUnsupported uint16 = 1003 // not sent: a message of the wrong kind is CloseProtocol
	CloseNoStatus    uint16 = 1005 // never on the wire: the close frame had no code
	CloseAbnormal    uint16 = 1006 // never on the wire: there was no close frame
	CloseNotUTF8     uint16 = 1007
	ClosePolicy      uint16 = 1008
	CloseTooBig      uint16 = 1009
	CloseInternal    uint16 = 1011

	CloseToken      uint16 = 4401 // the token is not accepted, or no longer
	CloseSilent     uint16 = 4408 // not authenticated or silent for too long
	CloseSlow       uint16 = 4413 // reads slower than it is sent to
	CloseTooFast    uint16 = 4429
	CloseOverloaded uint16 = 4503
)

// Error is a broken rule of the protocol: the code and the reason of the close frame that answers it.
// After one the connection's input must not be read any further.
type Error struct {
	Code   uint16
	Reason string
}

// Error gives the reason, for logs.
func (e *Error) Error() string { return "websocket: " + e.Reason }

// One value a rule, so that an error costs no allocation.
var (
	errReserved     = &Error{CloseProtocol, "reserved bits set without an extension"}
	errOpcode       = &Error{CloseProtocol, "reserved opcode"}
	errUnmasked     = &Error{CloseProtocol, "client frame without a mask"}
	errControlSize  = &Error{CloseProtocol, "control frame over 125 bytes"}
	errControlFin   = &Error{CloseProtocol, "fragmented control frame"}
	errLength       = &Error{CloseProtocol, "length with the top bit set"}
	errInterleaved  = &Error{CloseProtocol, "new message inside a fragmented one"}
	errContinuation = &Error{CloseProtocol, "continuation of no message"}
	errTooBig       = &Error{CloseTooBig, "message too big"}
	errNotUTF8      = &Error{CloseNotUTF8, "text is not UTF-8"}
	errClosePayload = &Error{CloseProtocol, "close frame of one byte"}
	errCloseCode    = &Error{CloseProtocol, "invalid close code"}
	errCloseNotUTF8 = &Error{CloseNotUTF8, "close reason is not UTF-8"}
)
