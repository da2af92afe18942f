package cassandra

import (
	"math/rand/v2"
	"testing"

	"github.com/gocql/gocql"

	"github.com/tolkflip/tolkflip/store"
	"github.com/tolkflip/tolkflip/store/storetest"
)

func TestContract(t *testing.T) {
	s := share(t)
	storetest.All(t, func(tb testing.TB) storetest.Set { return storetest.Of(open(tb, s.config())) })
}

// TestContractUndecided has every other condition fail, half of these after it was applied: each call finds
// out in the end what came of it, and does it once.
func TestContractUndecided(t *testing.T) {
	s := share(t)
	open := func(tb testing.TB) storetest.Set {
		cfg := s.config()
		cfg.decided = func() (before, after error) {
			switch rand.IntN(4) {
			case 0:
				return gocql.ErrTimeoutNoResponse, nil
			case 1:
				return nil, gocql.ErrTimeoutNoResponse
			default:
				return nil, nil
			}
		}
		return storetest.Of(open(tb, cfg))
	}
	t.Run("Users", func(t *testing.T) { storetest.Users(t, func(tb testing.TB) store.Users { return open(tb).Users }) })
	t.Run("Sessions", func(t *testing.T) {
		storetest.Sessions(t, func(tb testing.TB) store.Sessions { return open(tb).Sessions })
	})
	t.Run("Devices", func(t *testing.T) {
		storetest.Devices(t, func(tb testing.TB) store.Devices { return open(tb).Devices })
	})
	t.Run("Groups", func(t *testing.T) { storetest.Groups(t, open) })
	t.Run("Members", func(t *testing.T) { storetest.Members(t, open) })
}
