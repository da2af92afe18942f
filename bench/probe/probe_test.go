package probe

import (
	"os"
	"testing"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	line := "4242 (a) b (c) S 1 4242 4242 0 -1 4194560 900 0 0 0 123 45 0 0 20 0 9 0 100 1 1 18446744073709551615"
	if got, err := parseStat([]byte(line)); err != nil || got != 168 {
		t.Errorf("got %d %v, want 168", got, err)
	}
	for _, bad := range []string{"", "1 (x) S 1 2", "1 (x) S 1 2 3 4 5 6 7 8 9 10 x y 1"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestParseSmaps(t *testing.T) {
	t.Parallel()
	text := "55d0-7ffe ---p 00000000 00:00 0 [rollup]\nRss:      17708 kB\nPss:   16000 kB\nPss_Anon: 5 kB\nAnonymous:  12 kB\n"
	got, err := parseSmaps([]byte(text))
	if want := (Memory{RSS: 17708 << 10, PSS: 16000 << 10, Anonymous: 12 << 10}); err != nil || got != want {
		t.Errorf("got %+v %v, want %+v", got, err, want)
	}
	if _, err := parseSmaps([]byte("Rss: 5 kB\n")); err == nil {
		t.Error("a text without Pss was accepted")
	}
	if _, err := parseSmaps([]byte("Rss: five kB\n")); err == nil {
		t.Error("a text without a number was accepted")
	}
}

func TestMachine(t *testing.T) {
	t.Parallel()
	before := parseMachine([]byte("cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1\n"))
	after := parseMachine([]byte("cpu  150 0 150 850 50 0 0 0 0 0\n"))
	if got := after.IdleSince(before); got != 0.5 {
		t.Errorf("idle is %v, want 0.5", got)
	}
	if got := before.IdleSince(before); got != 0 {
		t.Errorf("idle over no time is %v", got)
	}
	if parseMachine([]byte("cpu 1 2")) != (Machine{}) {
		t.Error("a cut line was accepted")
	}
}

func TestOwnProcess(t *testing.T) {
	t.Parallel()
	if _, err := CPU(os.Getpid()); err != nil {
		t.Error(err)
	}
	if m, err := MemoryOf(os.Getpid()); err != nil || m.RSS < 1<<20 {
		t.Errorf("own memory is %+v %v", m, err)
	}
	if _, err := CPU(-1); err == nil {
		t.Error("a process that is not there has CPU time")
	}
}

func TestReading(t *testing.T) {
	t.Parallel()
	r := Reading{Seconds: 2, Generator: 0.5, Server: 1, Idle: 0.25}
	if got := r.ServerPer(1000); got != 2000 {
		t.Errorf("1 core for 2 s is %v us each of 1000, want 2000", got)
	}
	if got := r.ServerPer(0); got != 0 {
		t.Errorf("per nothing is %v", got)
	}
	if u := r.Usage(3); u.Loops != 3 || u.Idle != 0.25 || u.Cores < 1 {
		t.Errorf("usage is %+v", u)
	}
}
