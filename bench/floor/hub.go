package floor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/bytedance/sonic"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/gorilla/websocket"
)

const (
	hubQueue   = 1024 // frames that wait for a connection's writer; a slower one is closed
	hubTimeout = 10 * time.Second
)

// hub is a chat server as gorilla's documentation builds one: a goroutine that reads and one that writes a
// connection, a buffered channel between, users in a map. Who connects at /ws is in
// the one group, whose id is any.
type hub struct {
	secret   []byte
	upgrader websocket.Upgrader
	handlers sync.WaitGroup

	mu    sync.RWMutex
	users map[string]*hubConn // by user id; guarded by mu
	all   map[*hubConn]struct{}
}

type hubConn struct {
	ws   *websocket.Conn
	out  chan outgoing
	user string
	solo bool // not in the group
}

// outgoing is a frame's payload for one connection, or a frame that is prepared once for all.
type outgoing struct {
	payload  []byte
	prepared *websocket.PreparedMessage
}

// hubAction is what a client sends.
type hubAction struct {
	Action          string `json:"action"`
	Token           string `json:"token"`
	Ref             string `json:"ref"`
	ReceiverID      string `json:"receiverId"`
	ThreadID        string `json:"threadId"`
	ClientMessageID string `json:"clientMessageId"`
	Content         string `json:"content"`
}

// hubEvent is what a client is sent.
type hubEvent struct {
	Type             string `json:"type"`
	Success          bool   `json:"success,omitempty"`
	Error            string `json:"error,omitempty"`
	UserID           string `json:"userId,omitempty"`
	SessionID        string `json:"sessionId,omitempty"`
	MessageID        string `json:"messageId,omitempty"`
	ThreadID         string `json:"threadId,omitempty"`
	SenderID         string `json:"senderId,omitempty"`
	ReceiverID       string `json:"receiverId,omitempty"`
	ClientMessageID  string `json:"clientMessageId,omitempty"`
	Content          string `json:"content,omitempty"`
	MessageType      string `json:"messageType,omitempty"`
	OriginalLanguage string `json:"originalLanguage,omitempty"`
	Status           string `json:"status,omitempty"`
	Timestamp        int64  `json:"timestamp,omitempty"`
	Ref              string `json:"ref,omitempty"`
}

func serveHub(ctx context.Context, c Config, ready func(netip.AddrPort)) error {
	h := &hub{secret: c.Secret, users: map[string]*hubConn{}, all: map[*hubConn]struct{}{}}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: hubTimeout}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	addr, err := netip.ParseAddrPort(l.Addr().String())
	if err == nil {
		ready(addr)
		<-ctx.Done()
	}
	err = errors.Join(err, server.Close())
	h.closeAll()
	h.handlers.Wait()
	if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

func (h *hub) closeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.all {
		_ = c.ws.Close()
	}
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.handlers.Add(1)
	defer h.handlers.Done()
	conn, err := h.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the upgrader has answered
	}
	c := &hubConn{ws: conn, out: make(chan outgoing, hubQueue), solo: r.URL.Path != "/ws"}
	h.mu.Lock()
	h.all[c] = struct{}{}
	h.mu.Unlock()
	h.handlers.Go(c.write)
	h.read(c)
	h.mu.Lock()
	delete(h.all, c)
	if h.users[c.user] == c {
		delete(h.users, c.user)
	}
	close(c.out) // under the lock: nobody who holds it sends any more
	h.mu.Unlock()
	_ = conn.NetConn().SetWriteDeadline(time.Now().Add(hubTimeout)) // for what is queued still
}

// write sends what is queued, one frame a write, and closes the connection at the end.
func (c *hubConn) write() {
	defer c.ws.Close() //nolint:errcheck // it is over either way
	for m := range c.out {
		var err error
		if m.prepared != nil {
			err = c.ws.WritePreparedMessage(m.prepared)
		} else {
			err = c.ws.WriteMessage(websocket.TextMessage, m.payload)
		}
		if err != nil {
			_ = c.ws.Close() // the reader sees it and ends
		}
	}
}

func (h *hub) read(c *hubConn) {
	for {
		_, b, err := c.ws.ReadMessage()
		if err != nil {
			return
		}
		var a hubAction
		if sonic.ConfigDefault.Unmarshal(b, &a) != nil {
			return
		}
		switch {
		case a.Action == "authenticate":
			if !h.authenticate(c, &a) {
				return
			}
		case a.Action == "ping":
			c.answer(&hubEvent{Type: "pong", Ref: a.Ref})
		case a.Action == "send_message" && c.user != "":
			h.message(c, &a)
		}
	}
}

func (h *hub) authenticate(c *hubConn, a *hubAction) bool {
	var claims jwt.MapClaims
	_, err := jwt.ParseWithClaims(a.Token, &claims, func(*jwt.Token) (any, error) { return h.secret, nil }, jwt.WithValidMethods([]string{"HS256"}))
	user, _ := claims["userId"].(string)
	if err != nil || user == "" {
		c.answer(&hubEvent{Type: "auth_error", Error: "invalid_token"})
		return false
	}
	session, _ := claims["sid"].(string)
	h.mu.Lock()
	c.user = user
	h.users[user] = c
	h.mu.Unlock()
	c.answer(&hubEvent{Type: "authenticated", Success: true, UserID: user, SessionID: session})
	return true
}

// message acknowledges and passes on: to the receiver, or to everybody else when a thread is named.
func (h *hub) message(c *hubConn, a *hubAction) {
	now := time.Now().UnixMilli()
	message := uuid.NewString()
	c.answer(&hubEvent{
		Type: "message_sent", MessageID: message, ThreadID: a.ThreadID, ClientMessageID: a.ClientMessageID,
		Status: "sent", Timestamp: now,
	})
	m, err := sonic.ConfigDefault.Marshal(&hubEvent{
		Type: "new_message", MessageID: message, ThreadID: a.ThreadID, SenderID: c.user, ReceiverID: a.ReceiverID, Content: a.Content,
		MessageType: "text", OriginalLanguage: "en", Timestamp: now, ClientMessageID: a.ClientMessageID,
	})
	if err != nil {
		return
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	if a.ThreadID == "" {
		if to := h.users[a.ReceiverID]; to != nil {
			to.offer(outgoing{payload: m})
		}
		return
	}
	prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, m)
	if err != nil {
		return
	}
	for _, to := range h.users {
		if to != c && !to.solo {
			to.offer(outgoing{prepared: prepared})
		}
	}
}

// answer queues for the connection whose reader calls it; only that reader closes the channel.
func (c *hubConn) answer(e *hubEvent) {
	if b, err := sonic.ConfigDefault.Marshal(e); err == nil {
		c.offer(outgoing{payload: b})
	}
}

// offer queues a frame, and closes a connection that takes none.
func (c *hubConn) offer(m outgoing) {
	select {
	case c.out <- m:
	default:
		_ = c.ws.Close()
	}
}
