package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// event is a line of go test -json, as go doc test2json has it.
type event struct {
	Action, Package, Test, Output string
	ImportPath                    string // of a build's output
}

// counts are the outcomes of the tests that have no subtests.
type counts struct {
	passed  int
	skipped []string
	failed  []string
}

// count reads what go test -json writes, and counts the tests that only matches (nil = all). What failed or
// was skipped is shown with its output.
func count(r io.Reader, only *regexp.Regexp, w io.Writer) (counts, error) {
	outcome := map[string]string{} // by package and test
	parents := map[string]bool{}
	output := map[string][]string{} // until the outcome is known
	broken := ""                    // a package that did not build, or ended badly
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return counts{}, fmt.Errorf("not a line of go test -json: %.200q", lines.Bytes())
		}
		at := e.Package + " " + e.Test
		switch e.Action {
		case "run":
			outcome[at] = "not ended"
			for i, c := range at {
				if c == '/' && i > len(e.Package) {
					parents[at[:i]] = true
				}
			}
		case "output", "build-output":
			output[at] = append(output[at], e.Output)
		case "pass", "skip", "fail", "build-fail":
			if e.Action == "fail" || e.Action == "build-fail" || e.Action == "skip" && counted(only, e.Test) {
				_, _ = io.WriteString(w, strings.Join(output[at], "")) // a closed report stops nothing
			}
			delete(output, at)
			if e.Test != "" {
				outcome[at] = e.Action
			} else if e.Action != "pass" {
				broken = e.Package + e.ImportPath
			}
		}
	}
	var c counts
	for at, o := range outcome {
		_, name, _ := strings.Cut(at, " ")
		switch {
		case o == "pass" && !parents[at] && counted(only, name):
			c.passed++
		case o == "skip" && counted(only, name):
			c.skipped = append(c.skipped, name)
		case o == "fail" || o == "not ended":
			c.failed = append(c.failed, name)
		}
	}
	if broken != "" && len(c.failed) == 0 && len(c.skipped) == 0 {
		c.failed = append(c.failed, broken)
	}
	slices.Sort(c.skipped)
	slices.Sort(c.failed)
	return c, lines.Err()
}

func counted(only *regexp.Regexp, test string) bool { return only == nil || only.MatchString(test) }
