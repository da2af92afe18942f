package scenario

import (
	"context"
	"time"

	"github.com/tolkflip/tolkflip/bench/dialect"
)

const (
	connectInFlight = 256             // connects at once where they are not what is measured
	drainQuiet      = 5 * time.Second // nothing came for so long: what is missing is lost
	minContent      = dialect.StampSize
)

// waitUntil waits for a time on the clock that began at zero.
func waitUntil(ctx context.Context, zero time.Time, at int64) error {
	return wait(ctx, time.Duration(at)-time.Since(zero))
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
