package conn

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(childVariable); name != "" { //nolint:forbidigo // the test binary talks to itself
		os.Exit(runChild(name)) //nolint:forbidigo // as above
	}
	goleak.VerifyTestMain(m,
		// fasthttp's own clocks, which sleep on for a while after Shutdown.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}
