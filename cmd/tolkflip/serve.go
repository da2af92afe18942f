package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// serveCommand runs the server until it is told to stop.
type serveCommand struct {
	Config `embed:""`
}

// Run is the command: settings, then the server, then its stop.
func (c *serveCommand) Run(p *program, s *settings, parsed *kong.Context) error {
	cfg := c.Config
	if cfg.CompatEnv {
		cfg.useNode(s, s.others)
	}
	if err := cfg.complete(); err != nil {
		return err
	}
	if err := cfg.checkSecrets(s); err != nil {
		return err
	}
	if cfg.PrintConfig {
		if _, err := jwtSigner(cfg.JWTSecretFile, s.secrets["jwt-secret"], s.from("jwt-secret"), cfg.Data, false); err != nil && s.secrets["jwt-secret"] != "" {
			return err
		}
		return printConfig(p.stdout, &cfg, s, parsed)
	}
	began := time.Now()
	srv, err := newServer(p.ctx, cfg, s, logger(cfg, p.stderr))
	if err != nil {
		return err
	}
	return srv.run(p.ctx, func() { srv.announce(p.stdout, s, time.Since(began)) })
}

// printConfig prints a line for each setting: name, value, where it came from.
func printConfig(w io.Writer, cfg *Config, s *settings, parsed *kong.Context) error {
	effective := map[string]string{"store": cfg.Store, "blob": cfg.Blob, "allowed-origins": cfg.AllowedOrigins, "twilio-account-sid": cfg.TwilioAccountSID, "twilio-from": cfg.TwilioFrom}
	for _, f := range parsed.Flags() {
		if f.Name == "help" || f.Name == "print-config" {
			continue
		}
		value, ok := effective[f.Name]
		if !ok {
			value = fmt.Sprint(f.Target.Interface())
		}
		if _, err := fmt.Fprintf(w, "%s = %s (%s)\n", f.Name, value, s.from(f.Name)); err != nil {
			return err
		}
	}
	for _, name := range secretNames() {
		state := "(not set)"
		if s.secrets[name] != "" {
			state = "(set)"
		}
		if _, err := fmt.Fprintf(w, "%s = %s (%s)\n", name, state, s.from(name)); err != nil {
			return err
		}
	}
	return nil
}

// announce prints what an operator wants to see first, and the line that tools wait for.
func (s *server) announce(w io.Writer, from *settings, took time.Duration) {
	var b strings.Builder
	for _, line := range []struct{ name, value string }{{"store", s.cfg.Store}, {"cache", s.cfg.Cache}, {"blob", s.cfg.Blob}} {
		fmt.Fprintf(&b, "%s %s (%s)\n", line.name, line.value, from.from(line.name))
	}
	fmt.Fprintf(&b, "%s %s\n", "token-secret", s.signer.from)
	for _, svc := range serviceNames() {
		if u, ok := s.urls[svc]; ok {
			fmt.Fprintf(&b, "%s %s/\n", svc, u)
		}
	}
	first := s.urls["gateway"]
	if first == "" {
		for _, svc := range serviceNames() {
			if first = s.urls[svc]; first != "" {
				break
			}
		}
	}
	fmt.Fprintf(&b, "tolkflip ready in %d ms: %s/\n", took.Milliseconds(), first)
	_, _ = io.WriteString(w, b.String()) // a closed stdout must not stop the server
}

func logger(cfg Config, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.LogLevel)) // kong has checked it
	opts := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
