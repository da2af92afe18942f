package main

import (
	"net/url"
	"strings"
	"testing"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	u := must[*url.URL](t, "parse")(url.Parse(s.URL))
	for _, args := range [][]string{{}, {"--ready"}, {"--host", "0.0.0.0"}} {
		args = append([]string{"health", "--port-base", u.Port()}, args...)
		if code, out, errs := runProgram(t, args); code != exitOK || !strings.HasPrefix(out, "{") {
			t.Errorf("%v: exit %d %q %q", args, code, out, errs)
		}
	}
	s.draining.Store(true)
	if code, _, errs := runProgram(t, []string{"health", "--ready", "--port-base", u.Port()}); code != exitFailed || !strings.Contains(errs, "503") {
		t.Errorf("a draining server: exit %d %q", code, errs)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := runProgram(t, []string{"health", "--port-base", u.Port()}); code != exitFailed || !strings.Contains(errs, "no server answers") {
		t.Errorf("a stopped server: exit %d %q", code, errs)
	}
	if code, _, _ := runProgram(t, []string{"health", "--port-base", "0"}); code != exitUsage {
		t.Errorf("a port that nobody can know: exit %d", code)
	}
}
