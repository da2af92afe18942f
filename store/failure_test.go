package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/store"
)

func TestFailure(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want proto.Code
	}{
		{store.ErrBusy, proto.Busy},
		{fmt.Errorf("read a user: %w: no answer", store.ErrBusy), proto.Busy},
		{store.ErrClosed, proto.Busy},
		{store.ErrDeposed, proto.Busy},
		{fmt.Errorf("read: %w", context.DeadlineExceeded), proto.Busy},
		{context.Canceled, proto.Busy},
		{store.ErrNotFound, proto.Internal},
		{errors.New("corrupt"), proto.Internal},
	} {
		if got := store.Failure(c.err); got.Code != c.want || !errors.Is(got, c.err) {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}
