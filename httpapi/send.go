package httpapi

import (
	"io"
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// ReplyStream sends size bytes of body, which is closed behind them; to a HEAD only the length. The client
// must take them at the pace that Config.StreamRate and StreamSilence ask for.
func (r *Request) ReplyStream(status int, contentType string, body io.ReadCloser, size int64) {
	r.rc.SetStatusCode(status)
	r.rc.SetContentType(contentType)
	r.rc.SetBodyStream(&outgoing{ReadCloser: body, conn: r.rc.Conn(), cfg: &r.api.cfg}, int(size))
}

// ReplyLength answers a HEAD: the length that the body would have.
func (r *Request) ReplyLength(status int, contentType string, size int64) {
	r.rc.SetStatusCode(status)
	r.rc.SetContentType(contentType)
	r.rc.Response.SkipBody = true
	r.rc.Response.Header.SetContentLength(int(size))
}

// ReplyEmpty answers without a body, such as 304.
func (r *Request) ReplyEmpty(status int) { r.rc.SetStatusCode(status) }

// SetHeader sets a header of the reply in place of what the kit put there.
func (r *Request) SetHeader(name, value string) { r.rc.Response.Header.Set(name, value) }

// IsHead reports whether only the head of the reply is asked for.
func (r *Request) IsHead() bool { return r.rc.IsHead() }

// Path is the path as it was asked for, decoded.
func (r *Request) Path() string { return string(r.rc.Path()) }

// Origin is how the client reached this server: scheme and host, as a trusted proxy says it or as the
// request does. It is the client's word, good for links in the client's own reply and for nothing else.
func (r *Request) Origin() string {
	scheme, host := "http", string(r.rc.Host())
	if r.rc.IsTLS() {
		scheme = "https"
	}
	if tcp, ok := r.rc.RemoteAddr().(*net.TCPAddr); ok && r.api.trusted(tcp.AddrPort().Addr().Unmap()) {
		if s := r.Header("X-Forwarded-Proto"); s == "http" || s == "https" {
			scheme = s
		}
		if h := r.Header("X-Forwarded-Host"); h != "" && validHost(h) {
			host = h
		}
	}
	if !validHost(host) {
		host = "localhost"
	}
	return scheme + "://" + host
}

// validHost reports whether h may stand in a URL as host and port.
func validHost(h string) bool {
	for i := range len(h) {
		switch c := h[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_', c == ':', c == '[', c == ']':
		default:
			return false
		}
	}
	return h != ""
}

// outgoing is a body on its way out, which its reader must take at a pace.
type outgoing struct {
	io.ReadCloser
	conn   net.Conn
	cfg    *Config
	waited time.Duration // in all writes
	n      int64
}

// SupportsBodyWriteTo makes fasthttp use WriteTo, and with it our larger writes.
func (o *outgoing) SupportsBodyWriteTo() bool { return true }

// WriteTo copies by pieces that are large enough to be cheap.
func (o *outgoing) WriteTo(w io.Writer) (int64, error) {
	buf := pieces.Get().(*[pieceSize]byte) //nolint:forcetypeassert // New makes nothing else
	defer pieces.Put(buf)
	for {
		n, err := o.Read(buf[:])
		if n > 0 {
			began := time.Now()
			if o.conn != nil {
				if late := o.conn.SetWriteDeadline(began.Add(o.cfg.patience(o.waited, o.n))); late != nil {
					return o.n, late
				}
			}
			sent, failed := w.Write(buf[:n])
			o.waited += time.Since(began)
			o.n += int64(sent)
			if failed != nil {
				return o.n, failed
			}
		}
		if err == io.EOF { //nolint:errorlint // a reader's plain end
			return o.n, nil
		}
		if err != nil {
			return o.n, err
		}
	}
}

const pieceSize = 32 << 10

var pieces = sync.Pool{New: func() any { return new([pieceSize]byte) }} //nolint:gochecknoglobals // a pool

var _ fasthttp.BodyWriterTo = (*outgoing)(nil)
