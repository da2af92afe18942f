package web_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// TestClient runs the JavaScript client's own tests. They need node 20 or later and nothing else.
func TestClient(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("skipped: node is not installed, so the tests of tolkflip.js (js_test/) do not run")
	}
	files, err := filepath.Glob("js_test/*.test.mjs")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests of the client were found: %v", err)
	}
	out, err := exec.CommandContext(t.Context(), node, append([]string{"--test", "--test-reporter=tap"}, files...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("node --test: %v\n%s", err, out)
	}
	passed := regexp.MustCompile(`(?m)^# pass (\d+)$`).FindSubmatch(out)
	if passed == nil || string(passed[1]) == "0" {
		t.Fatalf("node --test ran nothing:\n%s", out)
	}
	t.Logf("%s tests of the client passed", passed[1])
}
