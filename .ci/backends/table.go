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
	return []row{
		tests("memory", 111, "./store/memory", "-run=^TestContract|^TestBlobs$"),
		tests("pebble", 63, "./store/pebble", "-run=^TestContract$"),
		tests("cassandra", 63, "./store/cassandra", "-run=^TestContract$"),
		tests("redis", 33, "./store/redis", "-run=^TestContractStandalone$"),
		tests("redis sentinel", 33, "./store/redis", "-run=^TestContractSentinel$"),
		tests("redis cluster", 33, "./store/redis", "-run=^TestContractCluster$"),
		tests("disk", 15, "./store/blob", "-run=^TestDiskContract$"),
		tests("minio", 15, "./store/blob", "-run=^TestS3Contract$"),
		tests("files, beside it", 72, "./store/blob", "-skip=^Test(Disk|S3)Contract$"),
	}
}
