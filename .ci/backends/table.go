package main

import "regexp"

// row is a backend: which tests are its own, and how many of them there are.
type row struct {
	name string
	args []string       // of go test
	only *regexp.Regexp // of what these run, the tests that are the backend's; nil = all
	env  []string       // beside the stack's
	want int            // subtests; exactly as many must run
}

// table names the backends. Its numbers are what makes a failure of a test that is gone, or is not run any
// more. The contracts are those of store/storetest; "beside it" is what a backend promises on its own.
func table() []row {
	tests := func(name string, want int, where string, args ...string) row {
		return row{name: name, args: append(args, where), want: want}
	}
	real := regexp.MustCompile(`^Test\w+/real(/|$)`)
	return []row{
		tests("memory", 0, "./store/memory", "-run=^TestContract|^TestBlobs$"),
		tests("pebble", 0, "./store/pebble", "-run=^TestContract$"),
		tests("cassandra", 0, "./store/cassandra", "-run=^TestContract$"),
		tests("cassandra, beside it", 0, "./store/cassandra", "-skip=^TestContract$"),
		tests("redis", 0, "./store/redis", "-run=^TestContractStandalone$"),
		tests("redis sentinel", 0, "./store/redis", "-run=^TestContractSentinel$"),
		tests("redis cluster", 0, "./store/redis", "-run=^TestContractCluster$"),
		tests("redis, beside it", 0, "./store/redis", "-skip=^TestContract"),
		tests("disk", 0, "./store/blob", "-run=^TestDiskContract$"),
		tests("minio", 0, "./store/blob", "-run=^TestS3Contract$"),
		tests("files, beside it", 0, "./store/blob", "-skip=^Test(Disk|S3)Contract$"),
		{name: "server on real stores", args: []string{"-run=/^real$", "-skip=^TestBrowser$", "./cmd/tolkflip"}, only: real, want: 0},
		{name: "browser on real stores", args: []string{"-run=^TestBrowser$/^real$", "./cmd/tolkflip"}, want: 0},
		{
			name: "faults under load", args: []string{"-run=^(TestFaults|TestTakeOver)$", "./cmd/tolkflip"},
			env: []string{"TOLKFLIP_TEST_FAULTS=6s"}, want: 0,
		},
	}
}
