package httpapi

import (
	"net/netip"

	"github.com/tolkflip/tolkflip/proto/id"
)

// Auth says who may call a route.
type Auth uint8

const (
	// Public routes take anybody. Caller has only an address.
	Public Auth = iota
	// Optional routes take anybody, and know the caller when a good token came.
	Optional
	// Bearer routes need an access token: 401 without.
	Bearer
	// Internal routes need Config.InternalKey in X-Internal-Key: 401 without. Where no key is configured
	// nobody may call them.
	Internal
)

// String is the word for a in listings.
func (a Auth) String() string {
	switch a {
	case Optional:
		return "optional"
	case Bearer:
		return "bearer"
	case Internal:
		return "internal"
	default:
		return "public"
	}
}

// Caller is who asks. User, Session and Phone come from the token alone, and are absent where none was
// needed. Phone may be empty: old tokens do not carry it.
type Caller struct {
	User    id.User
	Session id.Session
	Phone   string
	Address netip.Addr // of the client, behind trusted proxies too
}

// Route is one line of a service's table.
type Route struct {
	Method string // "*" takes every method
	Path   string // on the service's own port: /threads/{id}; a last segment /{rest:*} takes all below
	// Gateway are the paths of the same route on the gateway's port. Their parameters have Path's names.
	Gateway []string
	Auth    Auth
	Handle  Handler
	// Failed is the error text of a 500, where the clients know one. It says nothing of the cause.
	Failed string
	// Unlimited routes count against no limit: health checks and the like.
	Unlimited bool
	// Stream, where above 0, is for a Raw handler that reads the body itself, by Request.Stream: at most so
	// many bytes. When the handler is called the caller is known and no more than the body's first byte was
	// read. Elsewhere Config.MaxBody holds, and the body is in memory.
	Stream int64
	// TooLarge is the error text of a 413, where the clients know one.
	TooLarge string
}

// Service is what one port serves.
type Service struct {
	Name   string // the folder's name: what --services and metrics call it
	Health Health
	Routes []Route
	// Sockets are paths whose `Connection: Upgrade` requests, when they come on a kept-alive connection,
	// are handed to Deps.Upgrade.
	Sockets []string
	// Absent is set by Unbuilt.
	Absent bool
}

// Health is what GET /health says of a service: {"status":Status,"service":Name} and what More adds.
type Health struct {
	Name   string
	Status string // "healthy" or "ok"
	More   func() map[string]any
}

// Unbuilt is a service that answers its health and 501 to everything else, on its own port and below
// the given prefixes (such as /api/translate) of the gateway.
func Unbuilt(name string, h Health, prefixes ...string) Service {
	refuse := Raw(func(*Request) error { return unbuilt(h.Name) })
	var all []string
	for _, p := range prefixes {
		all = append(all, p, p+"/{rest:*}")
	}
	return Service{
		Name:   name,
		Health: h,
		Absent: true,
		Routes: []Route{{Method: "*", Path: "/{rest:*}", Gateway: all, Handle: refuse}},
	}
}
