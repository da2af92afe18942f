package httpapi

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"net"
	"net/netip"

	"github.com/valyala/fasthttp"
)

// clientAddress is the peer's, or the last one in X-Forwarded-For that no trusted proxy added. Zero where
// the connection has none (in-memory ones of tests).
func (a *API) clientAddress(rc *fasthttp.RequestCtx) netip.Addr {
	var peer netip.Addr
	if tcp, ok := rc.RemoteAddr().(*net.TCPAddr); ok {
		peer = tcp.AddrPort().Addr().Unmap()
	}
	if len(a.cfg.TrustedProxies) == 0 || !a.trusted(peer) {
		return peer
	}
	hops := rc.Request.Header.PeekAll("X-Forwarded-For")
	for i := len(hops) - 1; i >= 0; i-- {
		list := hops[i]
		for len(list) > 0 {
			at := bytes.LastIndexByte(list, ',')
			hop, err := netip.ParseAddr(string(bytes.TrimSpace(list[at+1:])))
			if err != nil {
				return peer // what stands before it cannot be believed
			}
			if peer = hop.Unmap(); !a.trusted(peer) {
				return peer
			}
			list = list[:max(at, 0)]
		}
	}
	return peer
}

func (a *API) trusted(addr netip.Addr) bool {
	for _, p := range a.cfg.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// requestID takes a client's id over when it is short and plain, and else makes one.
func requestID(given []byte) string {
	if len(given) > 0 && len(given) <= 64 && plain(given) {
		return string(given)
	}
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand aborts the process instead
	return hex.EncodeToString(b[:])
}

func plain(id []byte) bool {
	for _, c := range id {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}
