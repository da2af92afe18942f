package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSettingsOrder gives the same setting in several places: a flag beats a variable beats the file.
func TestSettingsOrder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("port-base: 4000\ndrain: 3s\nallowed-origins: [https://a.example, https://b.example]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		args, env []string
		want      []string
	}{
		{"default", nil, nil, []string{"port-base = 3000 (default)", "drain = 10s (default)"}},
		{"file", []string{"--config", file}, nil, []string{"port-base = 4000 (" + file + ")", "allowed-origins = https://a.example,https://b.example (" + file + ")"}},
		{"file by variable", nil, []string{"TOLKFLIP_CONFIG=" + file}, []string{"port-base = 4000 (" + file + ")"}},
		{"variable beats file", []string{"--config=" + file}, []string{"TOLKFLIP_PORT_BASE=5000"}, []string{"port-base = 5000 (TOLKFLIP_PORT_BASE)", "drain = 3s (" + file + ")"}},
		{"flag beats both", []string{"--config", file, "--port-base", "6000"}, []string{"TOLKFLIP_PORT_BASE=5000"}, []string{"port-base = 6000 (--port-base)"}},
		{"a switch by variable", nil, []string{"TOLKFLIP_DEV=true"}, []string{"dev = true (TOLKFLIP_DEV)"}},
		{"kubernetes and tests", nil, []string{"TOLKFLIP_SERVICE_HOST=10.0.0.1", "TOLKFLIP_PORT=tcp://10.0.0.1:80", "TOLKFLIP_PORT_80_TCP_ADDR=10.0.0.1", "TOLKFLIP_TEST_SHOTS=/x"}, []string{"port-base = 3000 (default)"}},
		{"secret masked", nil, []string{"TOLKFLIP_JWT_SECRET=0123456789abcdef0123456789abcdef"}, []string{"jwt-secret = (set) (TOLKFLIP_JWT_SECRET)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			code, out, errs := runProgram(t, append([]string{"serve", "--print-config"}, c.args...), c.env...)
			if code != exitOK {
				t.Fatalf("exit %d: %s", code, errs)
			}
			for _, w := range c.want {
				if !strings.Contains(out, w+"\n") {
					t.Errorf("no line %q in\n%s", w, out)
				}
			}
			if strings.Contains(out, "0123456789abcdef") {
				t.Error("the secret was printed")
			}
		})
	}
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(file, []byte("port-bse: 4000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		args, env []string
		want      string
	}{
		{"unknown flag", []string{"serve", "--prot-base", "1"}, nil, "--prot-base"},
		{"unknown variable", []string{"serve"}, []string{"TOLKFLIP_PORTBASE=1"}, "unknown variable TOLKFLIP_PORTBASE (did you mean TOLKFLIP_PORT_BASE?)"},
		{"unknown key", []string{"serve", "--config", file}, nil, "unknown key port-bse (did you mean port-base?)"},
		{"no such file", []string{"serve", "--config", file + "x"}, nil, "there is no such file"},
		{"not a number", []string{"serve", "--port-base", "many"}, nil, "port-base"},
		{"out of range", []string{"serve", "--port-base", "65530"}, nil, "--port-base: 65530 is not between 0 and 65523"},
		{"no such service", []string{"serve", "--services", "auth,chta"}, nil, `--services: "chta" is not a service; they are gateway, auth`},
		{"no such store", []string{"serve", "--store", "mysql://x"}, nil, "--store: "},
		{"not a host", []string{"serve", "--host", "here"}, nil, "--host: "},
		{"half of twilio", []string{"serve", "--twilio-from", "+1"}, nil, "--twilio-from: goes with --twilio-account-sid"},
		{"secret too short", []string{"serve", "--print-config"}, []string{"TOLKFLIP_JWT_SECRET=short"}, "TOLKFLIP_JWT_SECRET"},
		{"published secret", []string{"serve", "--print-config"}, []string{"TOLKFLIP_JWT_SECRET=your-jwt-secret-change-in-production"}, "TOLKFLIP_JWT_SECRET"},
		{"nothing to do", nil, nil, "expected one of"},
		{"no user", []string{"token"}, nil, "--user"},
		{"user is no id", []string{"token", "--user", "me"}, nil, "--user"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			args := c.args
			if len(args) > 0 && args[0] == "serve" {
				args = append(args, "--data", filepath.Join(t.TempDir(), "data"))
			}
			code, _, errs := runProgram(t, args, c.env...)
			if code != exitUsage || !strings.Contains(errs, c.want) {
				t.Errorf("exit %d, %q; want 2 and %q", code, errs, c.want)
			}
		})
	}
}

func runProgram(t *testing.T, args []string, env ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, env, &out, &errs)
	return code, out.String(), errs.String()
}
