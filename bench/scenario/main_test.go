package scenario_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/tolkflip/tolkflip/bench/floor"
	"github.com/tolkflip/tolkflip/bench/scenario"
	"go.uber.org/goleak"
)

// TestMain is also the program that starts itself again as a baseline and as a holder of connections.
func TestMain(m *testing.M) {
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == floor.ChildCommand:
		err = floor.RunChild(context.Background(), os.Stdin, os.Stdout)
	case len(os.Args) == 2 && os.Args[1] == scenario.HolderCommand:
		err = scenario.RunHolder(context.Background(), os.Stdin, os.Stdout)
	default:
		goleak.VerifyTestMain(m,
			goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
			goleak.IgnoreTopFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"))
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
	}
}
