package main

import (
	"errors"
	"strings"
	"testing"
)

// TestBlockedUserHasNoToken: what is minted for a blocked user, by whatever way, opens no door until the
// block is lifted, and neither does it after a restart.
func TestBlockedUserHasNoToken(t *testing.T) {
	t.Parallel()
	s := start(t, onDisk)
	var numbers phones
	p := must[person](t, "register")(register(t.Context(), s.URL, numbers.number(), "p"))
	run := func(want int, args ...string) string {
		t.Helper()
		code, out, errs := runProgram(t, append(args, "--data", s.Data))
		if code != want {
			t.Fatalf("%v: exit %d, want %d: %s", args, code, want, errs)
		}
		return strings.TrimSpace(out + errs)
	}
	opens := func(token string) bool {
		t.Helper()
		status, out, err := call(t.Context(), "GET", s.URL+"/api/chat/threads", token, nil)
		if err != nil || status != 200 && status != 401 {
			t.Fatalf("%d %v %v", status, out, err)
		}
		sock := must[*socket](t, "dial")(dial(t.Context(), s.URL))
		defer sock.close()
		if err := sock.send(map[string]any{"action": "authenticate", "token": token}); err != nil {
			t.Fatal(err)
		}
		f, err := sock.receive()
		if err != nil || (f.Type == "authenticated") != (status == 200) {
			t.Fatalf("REST answers %d, the socket %+v %v", status, f, err)
		}
		var c closed
		if f.Type != "authenticated" {
			if _, err := sock.receive(); f.Error != "invalid_token" || !errors.As(err, &c) || c.code != 4401 {
				t.Fatalf("refused with %+v, then %v", f, err)
			}
		}
		return status == 200
	}
	before := run(exitOK, "token", "--user", p.ID)
	if !opens(before) {
		t.Fatal("a minted token is refused")
	}
	run(exitOK, "user", "block", p.ID)
	if said := run(exitFailed, "token", "--user", p.ID); !strings.Contains(said, "blocked") || strings.Contains(said, "eyJ") {
		t.Errorf("token for a blocked user says %q", said)
	}
	minted := signFor(t, s.signer.Signer, p, nil) // as one can who has the secret
	for range 2 {
		if opens(before) || opens(minted) || opens(signFor(t, s.signer.Signer, p, nil)) {
			t.Error("a token of a blocked user is taken")
		}
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
		data := s.Data
		s = start(t, func(c *Config) { c.Store, c.Data = "", data })
	}
	run(exitOK, "user", "unblock", p.ID)
	if again := run(exitOK, "token", "--user", p.ID); !opens(again) || opens(p.Token) {
		t.Error("after the block the new token is refused, or the old one taken")
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	run(exitOK, "token", "--user", p.ID) // without a server
}
