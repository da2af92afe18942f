package store

import (
	"context"

	"github.com/tolkflip/tolkflip/proto/id"
)

// Device is where push notifications for a user go. Token is a secret.
type Device struct {
	User     id.User
	Token    string
	Platform string // android or ios
	Added    int64
}

// Devices keeps push tokens. A token belongs to one user: the last who registered it.
type Devices interface {
	// Put stores d and takes its token from any other user.
	Put(ctx context.Context, d Device) error
	// Remove is nil also where nothing was.
	Remove(ctx context.Context, u id.User, token string) error
	// List gives a user's devices, oldest first.
	List(ctx context.Context, u id.User) ([]Device, error)
}
