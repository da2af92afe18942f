package cassandra

import "testing"

// TestStore runs in one keyspace what storetest does not say of every backend.
func TestStore(t *testing.T) {
	s := share(t)
	for _, c := range []struct {
		name string
		run  func(*testing.T, *shared)
	}{
		{"open refuses", openRefuses},
		{"a second node", inUse},
		{"a living owner is deposed", takeOver},
		{"a thread over buckets", buckets},
		{"statements of a message", statementsOfMessage},
		{"statements of a list", statementsOfList},
		{"a list with a cache that forgets and fails", listCache},
		{"answers lost: the log", logMute},
		{"unhealthy, and healthy again", outage},
		{"two nodes move a cursor", cursorsOfTwo},
		{"cursors wait for the store", cursorsWait},
		{"listing revocations", revocationsListed},
		{"closed", closedStore},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, s)
		})
	}
}
