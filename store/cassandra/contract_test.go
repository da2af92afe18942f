package cassandra

import (
	"testing"

	"github.com/tolkflip/tolkflip/store/storetest"
)

func TestContract(t *testing.T) {
	s := share(t)
	storetest.All(t, func(tb testing.TB) storetest.Set { return storetest.Of(open(tb, s.config())) })
}
