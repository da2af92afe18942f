package chat

import (
	"context"
	"math"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
)

type (
	readIn struct {
		Thread    id.Thread  `path:"threadId" missing:"Thread not found" json:"-"`
		UserID    id.User    `json:"userId"`
		Seq       *uint64    `json:"seq"` // this and messageId absent = all there is
		MessageID id.Message `json:"messageId"`
	}
	readOut struct {
		Success bool `json:"success"`
	}
)

// read moves the caller's cursor, to the head where nothing is named.
func (s *Service) read(ctx context.Context, c httpapi.Caller, in readIn) (readOut, error) {
	if !in.UserID.IsZero() && in.UserID != c.User {
		return readOut{}, &proto.Error{Code: proto.Forbidden, Field: "userId", Message: "Unauthorized"}
	}
	to := uint64(math.MaxUint64)
	if in.Seq != nil {
		to = *in.Seq
	}
	return readOut{Success: true}, s.rules.MarkRead(ctx, c.User, in.Thread, to, in.MessageID)
}
