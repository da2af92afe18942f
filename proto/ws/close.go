package ws

import (
	"encoding/binary"
	"unicode/utf8"
)

// AppendClose adds a server's close frame. Code 0 or CloseNoStatus makes it one without a payload. A reason
// over 123 bytes is cut at a character.
func AppendClose(dst []byte, code uint16, reason string) []byte {
	if code == 0 || code == CloseNoStatus {
		return AppendHeader(dst, Close, 0)
	}
	if len(reason) > MaxControl-2 {
		cut := MaxControl - 2
		for cut > 0 && !utf8.RuneStart(reason[cut]) {
			cut--
		}
		reason = reason[:cut]
	}
	dst = AppendHeader(dst, Close, 2+len(reason))
	dst = binary.BigEndian.AppendUint16(dst, code)
	return append(dst, reason...)
}

// ParseClose reads the payload of a close frame: its code, CloseNoStatus when it has none, and its reason.
// A payload that breaks RFC 6455, sections 5.5.1 and 7.4, is an Error.
func ParseClose(payload []byte) (code uint16, reason []byte, err *Error) {
	switch len(payload) {
	case 0:
		return CloseNoStatus, nil, nil
	case 1:
		return 0, nil, errClosePayload
	}
	code = binary.BigEndian.Uint16(payload)
	if !validCode(code) {
		return 0, nil, errCloseCode
	}
	if !utf8.Valid(payload[2:]) {
		return 0, nil, errCloseNotUTF8
	}
	return code, payload[2:], nil
}

// validCode reports whether a code may stand in a close frame: 1004 to 1006 and 1015 may not, nor what
// nobody has defined. 1012 to 1014 are registered, but for servers to say.
func validCode(code uint16) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1011, code >= 3000 && code <= 4999:
		return true
	default:
		return false
	}
}
