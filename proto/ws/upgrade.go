package ws

import (
	"crypto/sha1" // RFC 6455 wants it; it protects nothing
	"encoding/base64"
	"net/http"
	"strconv"
)

// ProtocolJSON is the subprotocol of the JSON dialect. It is spoken as well when none is offered.
const ProtocolJSON = "tolkflip.v1.json"

// Protocol is the subprotocol for the answer: ProtocolJSON when it was offered, else none. A browser that
// offered others only then closes the connection by itself.
func (h *Head) Protocol() string {
	if h.json {
		return ProtocolJSON
	}
	return ""
}

// Refuse checks a head for which WebSocket is true against RFC 6455, section 4.2.1. It gives 0 when the
// upgrade may be accepted, else the status to refuse it with: 400, 405 or 426.
func (h *Head) Refuse() (status int) {
	switch {
	case string(h.Method) != http.MethodGet:
		return http.StatusMethodNotAllowed
	case h.Minor == 0, !h.upgrade, h.repeated, !validKey(h.Key):
		return http.StatusBadRequest
	case string(h.Version) != "13":
		return http.StatusUpgradeRequired
	default:
		return 0
	}
}

const (
	keySize    = 24 // 16 bytes in base64
	acceptSize = 28 // 20 bytes in base64
	magic      = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

// validKey reports whether key is 16 bytes in base64. Bits beyond the last byte are not looked at.
func validKey(key []byte) bool {
	if len(key) != keySize || key[22] != '=' || key[23] != '=' {
		return false
	}
	for _, c := range key[:22] {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '+' && c != '/' {
			return false
		}
	}
	return true
}

// AppendAccept adds the 101 that makes the connection a WebSocket. key is the Head's and must have passed
// Refuse; protocol is what Protocol gave, or "".
func AppendAccept(dst, key []byte, protocol string) []byte {
	var in [keySize + len(magic)]byte
	copy(in[:], key)
	copy(in[keySize:], magic)
	sum := sha1.Sum(in[:])
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	var accept [acceptSize]byte
	base64.StdEncoding.Encode(accept[:], sum[:])
	dst = append(dst, accept[:]...)
	if protocol != "" {
		dst = append(append(dst, "\r\nSec-WebSocket-Protocol: "...), protocol...)
	}
	return append(dst, "\r\n\r\n"...)
}

// AppendRefusal adds a whole HTTP response with the status and {"error":message} as its body, after which
// the connection is to be closed. message is the caller's own words: it must need no escaping in JSON.
// 426 names the version that is spoken, 405 the method, and 429 and 503 ask to wait a second.
func AppendRefusal(dst []byte, status int, message string) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(status)...)
	dst = append(dst, "\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(message)+len(`{"error":""}`)), 10)
	dst = append(dst, "\r\nConnection: close"...)
	switch status {
	case http.StatusMethodNotAllowed:
		dst = append(dst, "\r\nAllow: GET"...)
	case http.StatusUpgradeRequired:
		dst = append(dst, ", Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"...)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		dst = append(dst, "\r\nRetry-After: 1"...)
	}
	dst = append(dst, "\r\n\r\n{\"error\":\""...)
	dst = append(dst, message...)
	return append(dst, "\"}"...)
}
