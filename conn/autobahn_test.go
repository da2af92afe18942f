package conn

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/ws"
)

// repeat is a dialect in which everything is refused with its own bytes: an echo, without authenticating.
type repeat struct{}

func (repeat) decode(b []byte, r *proto.Request) error {
	r.Reset()
	r.Ref = b
	return proto.Fail(proto.Invalid, "")
}

func (repeat) append(dst []byte, ev proto.Event) []byte {
	if e, ok := ev.(*proto.Failure); ok {
		return append(dst, e.Ref...)
	}
	return dst
}

func (repeat) op() ws.Op { return ws.Text }

// TestAutobahn has Autobahn's fuzzing client (autobahntestsuite 0.8.2, for Python 2.7) try the engine with all
// of its cases, save those of binary messages and compression, which the engine does not speak, and of
// messages above 1 MiB. NON-STRICT, some ten of 248 cases, is for what RFC 6455 leaves open: the answer to a
// message is not waited for when the next frame is broken, and UTF-8 is judged by the frame, not by the
// byte. TOLKFLIP_TEST_AUTOBAHN names the program, wstest.
func TestAutobahn(t *testing.T) {
	t.Parallel()
	program := os.Getenv("TOLKFLIP_TEST_AUTOBAHN") //nolint:forbidigo // a setting of the test, not of the product
	if program == "" {
		t.Skip("TOLKFLIP_TEST_AUTOBAHN does not name Autobahn's wstest")
	}
	r := start(t, func(c *Config) { c.MessageBytes, c.MailboxBytes = 1<<20, 4<<20 }, func(f *fakeRules) { f.sink.dialects = []dialect{repeat{}} })
	dir := t.TempDir()
	spec, err := json.Marshal(map[string]any{
		"outdir": dir, "cases": []string{"*"}, "exclude-agent-cases": map[string]any{},
		"exclude-cases": []string{
			"1.2.*", "9.2.*", "9.4.*", "9.6.*", "9.8.*", "12.*", "13.*", // binary, compression
			"9.1.4", "9.1.5", "9.1.6", "9.3.*", "9.5.*", // above 1 MiB
		},
		"servers": []any{map[string]any{"agent": "tolkflip", "url": "ws://" + r.addr + "/ws"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "spec.json")
	if err := os.WriteFile(file, spec, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program, "-m", "fuzzingclient", "-s", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var index map[string]map[string]struct {
		Behavior      string `json:"behavior"`
		BehaviorClose string `json:"behaviorClose"`
		Reportfile    string `json:"reportfile"`
	}
	if err := json.Unmarshal(b, &index); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	good := []string{"OK", "INFORMATIONAL", "NON-STRICT"}
	for name, c := range index["tolkflip"] {
		counts[c.Behavior]++
		if !slices.Contains(good, c.Behavior) || !slices.Contains(good, c.BehaviorClose) {
			report, _ := os.ReadFile(filepath.Join(dir, c.Reportfile))
			t.Errorf("case %s: %s, close %s\n%.1500s", name, c.Behavior, c.BehaviorClose, report)
		}
	}
	t.Logf("%v", counts)
	if len(index["tolkflip"]) < 200 {
		t.Errorf("only %d cases", len(index["tolkflip"]))
	}
}
