package presence

import (
	"context"
	"encoding/json"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
)

type (
	onlineIn struct {
		Device   string                     `json:"device_id"`
		Metadata map[string]json.RawMessage `json:"metadata"`
	}
	offlineIn struct{}
	statusIn  struct {
		User   id.User `path:"userId" missing:"User not found" json:"-"`
		Status string  `json:"status"`
	}
	updateIn struct {
		UserID id.User `json:"userId"`
		Status string  `json:"status"`
	}
	statusOut struct {
		Success bool   `json:"success"`
		Status  string `json:"status"`
	}
)

func (s *Service) online(ctx context.Context, c httpapi.Caller, _ onlineIn) (statusOut, error) {
	return s.set(ctx, c.User, proto.Online)
}

func (s *Service) offline(ctx context.Context, c httpapi.Caller, _ offlineIn) (statusOut, error) {
	return s.set(ctx, c.User, proto.Offline)
}

func (s *Service) status(ctx context.Context, c httpapi.Caller, in statusIn) (statusOut, error) {
	if in.User != c.User {
		return statusOut{}, proto.Fail(proto.Forbidden, "Unauthorized")
	}
	return s.named(ctx, c.User, in.Status)
}

func (s *Service) update(ctx context.Context, c httpapi.Caller, in updateIn) (statusOut, error) {
	if !in.UserID.IsZero() && in.UserID != c.User {
		return statusOut{}, &proto.Error{Code: proto.Forbidden, Field: "userId", Message: "Unauthorized"}
	}
	return s.named(ctx, c.User, in.Status)
}

// named is set for a state that a client spells.
func (s *Service) named(ctx context.Context, u id.User, name string) (statusOut, error) {
	for _, st := range []proto.Status{proto.Online, proto.Away, proto.Offline} {
		if name == st.String() {
			return s.set(ctx, u, st)
		}
	}
	return statusOut{}, proto.BadField("status", "status must be online, away or offline")
}

func (s *Service) set(ctx context.Context, u id.User, st proto.Status) (statusOut, error) {
	if err := s.rules.Set(ctx, u, st); err != nil {
		return statusOut{}, err
	}
	return statusOut{Success: true, Status: st.String()}, nil
}

type (
	typingIn struct {
		Thread   id.Thread `json:"threadId"`
		Receiver id.User   `json:"receiverId"`
		IsTyping truth     `json:"isTyping"`
	}
	typingOut struct {
		Success bool `json:"success"`
	}
	// truth is any JSON value taken as JavaScript would: false, null, 0, "" and absence mean no.
	truth bool
)

// UnmarshalJSON reads any value.
func (t *truth) UnmarshalJSON(b []byte) error {
	switch s := string(b); s {
	case "false", "null", `""`:
		*t = false
	default:
		var n float64
		*t = truth(json.Unmarshal(b, &n) != nil || n != 0)
	}
	return nil
}

// Validate asks for a thread, or for the person on its other side.
func (in *typingIn) Validate() error {
	if in.Thread.IsZero() && in.Receiver.IsZero() {
		return proto.BadField("threadId", "userId and threadId required")
	}
	return nil
}

func (s *Service) writes(ctx context.Context, c httpapi.Caller, in typingIn) (typingOut, error) {
	return typingOut{Success: true}, s.typing.SetTyping(ctx, c.User, in.Thread, in.Receiver, bool(in.IsTyping))
}
