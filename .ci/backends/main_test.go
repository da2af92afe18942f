package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// a module whose tests do what a backend's may do.
const module = `package m
import ("os"; "testing")
func TestGood(t *testing.T) { t.Run("a", func(t *testing.T) {}); t.Run("b", func(t *testing.T) { t.Run("c", func(*testing.T) {}) }) }
func TestSkips(t *testing.T) { t.Run("a", func(t *testing.T) {}); t.Run("b", func(t *testing.T) { t.Skip("no server") }) }
func TestFails(t *testing.T) { t.Run("a", func(t *testing.T) {}); t.Run("b", func(t *testing.T) { t.Error("lost") }) }
func TestPanics(t *testing.T) { t.Run("a", func(t *testing.T) { panic("x") }) }
func TestEnds(t *testing.T) { t.Run("a", func(t *testing.T) { os.Exit(0) }) }
func TestVariable(t *testing.T) { t.Run("a", func(t *testing.T) { if os.Getenv("WHERE") != "here" { t.Error() } }) }
`

func TestRun(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module m\n\ngo 1.26\n", "m_test.go": module, "broken/b_test.go": "package b\nfunc {"} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	of := func(test string, want int) row {
		return row{name: "x", args: []string{"-run", "^" + test + "$", "."}, env: []string{"WHERE=here"}, want: want}
	}
	for name, c := range map[string]struct {
		row  row
		says string // "" = passes
	}{
		"all ran":              {of("TestGood", 2), ""},
		"a variable":           {of("TestVariable", 1), ""},
		"one is missing":       {of("TestGood", 3), "2 of    3 subtests"},
		"one more":             {of("TestGood", 1), "2 ran"},
		"one skipped":          {of("TestSkips", 1), "skipped TestSkips/b"},
		"one skipped, counted": {of("TestSkips", 2), "no server"},
		"one failed":           {of("TestFails", 1), "failed TestFails, TestFails/b"},
		"a panic":              {of("TestPanics", 1), "FAILED: failed TestPanics, TestPanics/a"},
		"an early end":         {of("TestEnds", 1), "FAILED: failed TestEnds, TestEnds/a"},
		"nothing by that name": {of("TestNothing", 1), "0 ran"},
		"does not build":       {rowOf("./broken"), "FAILED: failed m/broken"},
		"others skip":          {part(of("TestSkips", 1), "^TestSkips/a"), ""},
		"others fail":          {part(of("TestFails", 1), "^TestFails/a"), "failed TestFails, TestFails/b"},
		"no such package":      {rowOf("./nowhere"), "FAILED"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			rows := tableOf(c.row)
			err := run(t.Context(), rows, nil, &out)
			if (err != nil) != (c.says != "") || !strings.Contains(out.String(), c.says) {
				t.Errorf("%v\n%s", err, out.String())
			}
		})
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range table() {
		if r.name == "" || seen[r.name] || r.want < 1 {
			t.Errorf("row %+v", r)
		}
		seen[r.name] = true
	}
	if err := run(context.Background(), table(), []string{"nobody"}, io.Discard); err == nil {
		t.Error("an unknown backend was run")
	}
}

func tableOf(r row) []row { return []row{r} }

func part(r row, only string) row {
	r.only = regexp.MustCompile(only)
	return r
}

func rowOf(where string) row { return row{name: "x", args: []string{where}, want: 1} }
