package presence

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
)

// maxBatch is how many people one request may ask for.
const maxBatch = 1000

type (
	ofIn struct {
		User id.User `path:"userId" missing:"User not found" json:"-"`
	}
	ofOut struct {
		Success  bool    `json:"success"`
		UserID   id.User `json:"userId"`
		Status   string  `json:"status"`
		LastSeen *int64  `json:"lastSeen"` // Unix milliseconds; null = not known, or not to be known
	}
)

func (s *Service) of(ctx context.Context, c httpapi.Caller, in ofIn) (ofOut, error) {
	got, err := s.rules.Of(ctx, c.User, []id.User{in.User})
	if err != nil {
		return ofOut{}, err
	}
	out := ofOut{Success: true, UserID: in.User, Status: proto.Offline.String()}
	for i := range got {
		if got[i].User == in.User {
			out.Status, out.LastSeen = got[i].Status.String(), seen(&got[i])
		}
	}
	return out, nil
}

func seen(p *proto.PresenceOf) *int64 {
	if p.LastSeen == 0 {
		return nil
	}
	at := p.LastSeen
	return &at
}

type (
	batchIn struct {
		UserIDs json.RawMessage `json:"userIds"`
	}
	batchOut struct {
		Success   bool             `json:"success"`
		Presences map[string]state `json:"presences"` // by the id as it was sent
	}
	state struct {
		Status   string `json:"status"`
		LastSeen *int64 `json:"lastSeen"`
	}
)

// batch asks for many at once. Every id that was sent has an answer.
func (s *Service) batch(ctx context.Context, c httpapi.Caller, in batchIn) (batchOut, error) {
	var texts []json.RawMessage
	if len(in.UserIDs) == 0 || json.Unmarshal(in.UserIDs, &texts) != nil || texts == nil {
		return batchOut{}, proto.BadField("userIds", "userIds must be an array")
	}
	if len(texts) > maxBatch {
		return batchOut{}, proto.BadField("userIds", fmt.Sprintf("userIds must hold at most %d ids", maxBatch))
	}
	ids := make([]id.User, len(texts)) // of each text
	names := make([]string, len(texts))
	states := make(map[id.User]state, len(texts))
	for i, raw := range texts {
		var v id.ID
		err := json.Unmarshal(raw, &names[i])
		if err == nil {
			v, err = id.Parse(names[i])
		}
		if err != nil {
			return batchOut{}, proto.BadField(fmt.Sprintf("userIds[%d]", i), "userIds must be user ids")
		}
		ids[i] = id.User{ID: v}
		states[ids[i]] = state{Status: proto.Offline.String()}
	}
	if len(ids) > 0 {
		got, err := s.rules.Of(ctx, c.User, slices.Collect(maps.Keys(states)))
		if err != nil {
			return batchOut{}, err
		}
		for i := range got {
			states[got[i].User] = state{Status: got[i].Status.String(), LastSeen: seen(&got[i])}
		}
	}
	out := batchOut{Success: true, Presences: make(map[string]state, len(texts))}
	for i, u := range ids {
		out.Presences[names[i]] = states[u]
	}
	return out, nil
}

type (
	everybodyIn  struct{}
	everybodyOut struct {
		Success bool      `json:"success"`
		Count   int       `json:"count"`
		Users   []id.User `json:"users"`
	}
)

// everybody is refused to every ordinary token, and there are no others.
func (s *Service) everybody(context.Context, httpapi.Caller, everybodyIn) (everybodyOut, error) {
	return everybodyOut{}, proto.Fail(proto.Forbidden, "Forbidden")
}
