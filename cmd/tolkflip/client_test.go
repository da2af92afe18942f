package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// person is a registered user of a server under test.
type person struct {
	ID, Phone, Token string
}

// phones gives every person of all tests a number of its own: tests on real stores share a keyspace.
type phones struct{}

var lastPhone atomic.Int64 //nolint:gochecknoglobals // see phones

func (phones) number() string { return fmt.Sprintf("+1555%07d", lastPhone.Add(1)) }

// call makes one JSON request and returns status and body.
func call(ctx context.Context, method, url, token string, in any) (int, map[string]any, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return 0, nil, err
		}
		body = bytes.NewReader(b)
	}
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return 0, nil, err
	}
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer reply.Body.Close()
	b, err := io.ReadAll(reply.Body)
	if err != nil {
		return 0, nil, err
	}
	out := map[string]any{}
	if len(b) > 0 {
		if err := json.Unmarshal(b, &out); err != nil {
			return reply.StatusCode, nil, fmt.Errorf("%s %s answered %d with no JSON: %.200q", method, url, reply.StatusCode, b)
		}
	}
	return reply.StatusCode, out, nil
}

// register makes a person by the way that phones take: code, then verify.
func register(ctx context.Context, base, phone, name string) (person, error) {
	status, out, err := call(ctx, "POST", base+"/api/auth/request-code", "", map[string]any{"phone_number": phone})
	if err != nil || status != 200 {
		return person{}, fmt.Errorf("request-code: %d %v %w", status, out, err)
	}
	status, out, err = call(ctx, "POST", base+"/api/auth/verify", "", map[string]any{"phone_number": phone, "code": out["code"], "display_name": name})
	if err != nil || status != 200 {
		return person{}, fmt.Errorf("verify: %d %v %w", status, out, err)
	}
	user, _ := out["user"].(map[string]any)
	p := person{Phone: phone}
	p.Token, _ = out["token"].(string)
	p.ID, _ = user["userId"].(string)
	if p.Token == "" || p.ID == "" {
		return person{}, errors.New("verify: no token or user in the reply")
	}
	return p, nil
}

// frame is any server frame of the action protocol.
type frame struct {
	Type            string                 `json:"type"`
	Ref             json.RawMessage        `json:"ref"`
	Error           string                 `json:"error"`
	Code            string                 `json:"code"`
	Message         string                 `json:"message"`
	Retryable       bool                   `json:"retryable"`
	UserID          string                 `json:"userId"`
	MessageID       string                 `json:"messageId"`
	ThreadID        string                 `json:"threadId"`
	Seq             uint64                 `json:"seq"`
	SenderID        string                 `json:"senderId"`
	ReceiverID      string                 `json:"receiverId"`
	Timestamp       int64                  `json:"timestamp"`
	ReadBy          string                 `json:"readBy"`
	Content         string                 `json:"content"`
	ClientMessageID string                 `json:"clientMessageId"`
	Status          string                 `json:"status"`
	IsTyping        bool                   `json:"isTyping"`
	Duplicate       bool                   `json:"duplicate"`
	Complete        bool                   `json:"complete"`
	Messages        []frame                `json:"messages"`
	Threads         map[string]threadState `json:"threads"`
}

type threadState struct {
	Head     uint64 `json:"head"`
	Seq      uint64 `json:"seq"`
	Complete bool   `json:"complete"`
}

// socket is one WebSocket of the action protocol.
type socket struct {
	conn net.Conn
	buf  io.Reader
	mu   sync.Mutex // one frame is written at a time
}

// dial opens a socket at a server's base URL, without authenticating.
func dial(ctx context.Context, base string) (*socket, error) {
	conn, br, _, err := ws.Dial(ctx, "ws"+strings.TrimPrefix(base, "http")+"/ws")
	if err != nil {
		return nil, err
	}
	s := &socket{conn: conn, buf: conn}
	if br != nil {
		s.buf = br
	}
	return s, nil
}

// connect is dial and authenticate, with extra keys in the authenticate action.
func connect(ctx context.Context, base, token string, extra map[string]any) (*socket, error) {
	s, err := dial(ctx, base)
	if err != nil {
		return nil, err
	}
	hello := map[string]any{"action": "authenticate", "token": token}
	for k, v := range extra {
		hello[k] = v
	}
	if err := s.send(hello); err != nil {
		s.close()
		return nil, err
	}
	f, err := s.receive()
	if err != nil || f.Type != "authenticated" {
		s.close()
		return nil, fmt.Errorf("authenticate: %+v %w", f, err)
	}
	return s, nil
}

func (s *socket) send(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.write(ws.OpText, b)
}

func (s *socket) write(op ws.OpCode, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return wsutil.WriteClientMessage(s.conn, op, b)
}

// closed is what receive reports when the server ended the socket with a close frame.
type closed struct{ code ws.StatusCode }

func (c closed) Error() string { return fmt.Sprintf("closed with %d", c.code) }

// receive gives the next text frame; pings are answered on the way.
func (s *socket) receive() (frame, error) {
	for {
		header, err := ws.ReadHeader(s.buf)
		if err != nil {
			return frame{}, err
		}
		payload := make([]byte, header.Length)
		if _, err := io.ReadFull(s.buf, payload); err != nil {
			return frame{}, err
		}
		switch header.OpCode {
		case ws.OpPing:
			if err := s.write(ws.OpPong, payload); err != nil {
				return frame{}, err
			}
		case ws.OpClose:
			code, _ := ws.ParseCloseFrameData(payload)
			return frame{}, closed{code}
		case ws.OpText:
			var f frame
			if err := json.Unmarshal(payload, &f); err != nil {
				return frame{}, fmt.Errorf("frame %.200q: %w", payload, err)
			}
			return f, nil
		default:
		}
	}
}

// until receives up to the first frame of a type and returns it with those before it.
func (s *socket) until(kind string) (frame, []frame, error) {
	var before []frame
	for {
		f, err := s.receive()
		if err != nil || f.Type == kind {
			return f, before, err
		}
		before = append(before, f)
	}
}

// deliver sends a message until it is acked: a server that is busy, as its stores may be, is asked again
// with the same id.
func (s *socket) deliver(action map[string]any) (frame, error) {
	for {
		if err := s.send(action); err != nil {
			return frame{}, err
		}
		f, err := s.answered()
		if err != nil || f.Type == "message_sent" {
			return f, err
		}
		if !f.Retryable {
			return f, fmt.Errorf("refused: %s %s", f.Code, f.Message)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// answered receives up to the answer to a send.
func (s *socket) answered() (frame, error) {
	for {
		if f, err := s.receive(); err != nil || f.Type == "message_sent" || f.Type == "message_error" {
			return f, err
		}
	}
}

func (s *socket) close() { s.conn.Close() }

// must stops a test at an error.
func must[T any](t *testing.T, what string) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return v
	}
}
