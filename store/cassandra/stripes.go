package cassandra

import (
	"context"
	"hash/maphash"
)

// stripes let callers of this process that would meet in a condition wait here, which costs less than
// losing on the servers. They are no part of what keeps the data right.
type stripes struct {
	seed  maphash.Seed
	locks [256]chan struct{}
}

func newStripes() *stripes {
	s := &stripes{seed: maphash.MakeSeed()}
	for i := range s.locks {
		s.locks[i] = make(chan struct{}, 1)
	}
	return s
}

// lock waits for a key's stripe as long as ctx lets it.
func (s *stripes) lock(ctx context.Context, key []byte) (unlock func(), err error) {
	l := s.locks[maphash.Bytes(s.seed, key)%uint64(len(s.locks))]
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	default:
	}
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
