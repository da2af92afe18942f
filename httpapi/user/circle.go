package user

import (
	"context"
	"errors"
	"fmt"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// maxGroups is how many of a person's groups are looked through for another.
const maxGroups = 100

// Threads is the part of store.Threads that SharedThreads needs.
type Threads interface {
	Get(ctx context.Context, t id.Thread) (store.Thread, error)
}

// Members is the part of store.Members that SharedThreads needs.
type Members interface {
	Get(ctx context.Context, g id.Thread, u id.User) (store.Member, error)
	GroupsOf(ctx context.Context, u id.User, after id.Thread, limit int) ([]id.Thread, error)
}

// SharedThreads is the Circle that asks the stores: one read for those who write to each other, and for
// others one for each of the first 100 groups of the asker.
type SharedThreads struct {
	Threads Threads
	Members Members
}

// Share reports whether a direct thread of the two exists, or one of a's groups has b in it.
func (c SharedThreads) Share(ctx context.Context, a, b id.User) (bool, error) {
	_, err := c.Threads.Get(ctx, id.Direct(a, b))
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, store.ErrNotFound) {
		return false, fmt.Errorf("find a thread: %w", err)
	}
	groups, err := c.Members.GroupsOf(ctx, a, id.Thread{}, maxGroups)
	if err != nil {
		return false, fmt.Errorf("list groups: %w", err)
	}
	for _, g := range groups {
		_, err := c.Members.Get(ctx, g, b)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return false, fmt.Errorf("find a member: %w", err)
		}
	}
	return false, nil
}
