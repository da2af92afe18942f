package store

import (
	"context"
	"slices"

	"github.com/tolkflip/tolkflip/proto/id"
)

// User is a registered person.
type User struct {
	ID         id.User
	Phone      string // E.164
	Name       string
	Avatar     string // URL, may be empty
	Bio        string
	Language   string   // primary language code
	Languages  []string // at most two more
	Created    int64
	LastActive int64 // coalesced: may lag by a minute
	Blocked    bool  // refused at every door
}

// UserPatch names the fields to change; nil leaves one as it is.
type UserPatch struct {
	Name, Avatar, Bio, Language *string
	Languages                   *[]string
	Blocked                     *bool
}

// Apply makes p's changes to u. Languages is copied.
func (p UserPatch) Apply(u *User) {
	set(&u.Name, p.Name)
	set(&u.Avatar, p.Avatar)
	set(&u.Bio, p.Bio)
	set(&u.Language, p.Language)
	set(&u.Blocked, p.Blocked)
	if p.Languages != nil {
		u.Languages = slices.Clone(*p.Languages)
	}
}

// set puts *from into to, where there is one.
func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// Users keeps people. A phone belongs to one of them at most.
type Users interface {
	// Create stores a new user. ErrConflict when the phone (also when two register at once)
	// or the id is taken.
	Create(ctx context.Context, u User) error
	// Get is ErrNotFound for an unknown id.
	Get(ctx context.Context, u id.User) (User, error)
	// ByPhone is ErrNotFound for an unknown phone.
	ByPhone(ctx context.Context, phone string) (User, error)
	// Update changes the named fields of a user and returns the result. ErrNotFound, never a new row.
	Update(ctx context.Context, u id.User, p UserPatch) (User, error)
	// Seen moves LastActive forward, never back. Unknown users are passed over. It need not be durable
	// when it returns.
	Seen(ctx context.Context, at map[id.User]int64) error
}
