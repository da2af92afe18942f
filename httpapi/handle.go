package httpapi

import (
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/bytedance/sonic"
	"github.com/bytedance/sonic/encoder"
	"github.com/valyala/fasthttp"
)

// Handler answers a route's requests. Handle and Raw make one.
type Handler struct {
	run     func(r *Request) error
	in, out reflect.Type // absent for a Raw one
	status  int
}

// Handle makes a Handler of a function of plain values. Its context ends with Config.CallTimeout. In and
// Out are structs; a tag that cannot be bound panics, at construction.
func Handle[In, Out any](status int, call func(ctx context.Context, c Caller, in In) (Out, error)) Handler {
	plan := planOf(reflect.TypeFor[In]())
	return Handler{
		in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](), status: status,
		run: func(r *Request) error {
			var in In
			if err := r.decode(plan, &in); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(r.api.base, r.api.cfg.CallTimeout)
			defer cancel()
			out, err := call(ctx, r.Caller, in)
			if err != nil {
				return err
			}
			code := status
			if s, ok := any(out).(interface{ Status() int }); ok {
				code = s.Status()
			}
			r.Reply(code, out)
			return nil
		},
	}
}

// Raw makes a Handler of a function that reads the request and writes the reply itself, through Ctx. An
// error that it returns becomes the reply.
func Raw(f func(r *Request) error) Handler { return Handler{run: f} }

// Request is one request on its way through the kit. It and all that it gives are valid until the
// handler returns.
type Request struct {
	Caller Caller

	rc    *fasthttp.RequestCtx
	api   *API
	route *mounted // absent where no route matched
	id    string
	start time.Time

	body    *Body   // once reading it began
	kept    *[]byte // the buffer below a body in memory
	asking  bool    // the client waits to be told to send the body
	refused bool    // at the door of its route
}

// Ctx is fasthttp's own view of the request. It must not go below httpapi.
func (r *Request) Ctx() *fasthttp.RequestCtx { return r.rc }

// ID is the request's id, as X-Request-Id says it.
func (r *Request) ID() string { return r.id }

// Context is the base of a Raw handler's work; it ends when the server does.
func (r *Request) Context() context.Context { return r.api.base }

// Query is a query parameter, decoded; empty when it is absent.
func (r *Request) Query(name string) string { return string(r.rc.QueryArgs().Peek(name)) }

// Header is a request header; empty when it is absent.
func (r *Request) Header(name string) string { return string(r.rc.Request.Header.Peek(name)) }

// Body is the JSON body; empty when there is none, its Content-Type is another, or the route streams.
func (r *Request) Body() []byte {
	if r.route.streams() || !isJSON(r.rc.Request.Header.ContentType()) {
		return nil
	}
	return r.rc.Request.Body()
}

// wire is how bodies are read and written. Strings that are decoded own their memory: services keep them.
var wire = sonic.Config{CopyString: true, ValidateString: true}.Froze() //nolint:gochecknoglobals // never changes

const jsonType = "application/json; charset=utf-8"

// Reply writes v as the JSON reply.
func (r *Request) Reply(status int, v any) {
	b := buffers.Get().(*[]byte) //nolint:forcetypeassert // New makes nothing else
	defer buffers.Put(b)
	*b = (*b)[:0]
	if err := encoder.EncodeInto(b, v, encoder.NoEncoderNewline); err != nil {
		r.api.log.Error("encode reply", "id", r.id, "route", r.route.name(), "error", err)
		status, *b = 500, append((*b)[:0], `{"success":false,"error":"`+textInternal+`","code":"internal"}`...)
	}
	r.rc.SetStatusCode(status)
	r.rc.SetContentType(jsonType)
	r.rc.SetBody(*b)
	if cap(*b) > maxKept {
		*b = nil
	}
}

// maxKept is the largest buffer, in bytes, that goes back to the pool.
const maxKept = 64 << 10

var buffers = sync.Pool{New: func() any { return new([]byte) }} //nolint:gochecknoglobals // a pool
