package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"gopkg.in/yaml.v3"
)

const envPrefix = "TOLKFLIP_"

// secretNames are the settings that never come as a flag, since flags show in the process list: only as
// a variable or in the file.
func secretNames() []string {
	return []string{
		"jwt-secret", "twilio-auth-token", "store-password", "cache-password", "cache-sentinel-password",
		"blob-key", "blob-secret",
	}
}

// settings answers kong for what the command line left open: a variable first, then the file. (kong's
// own order lets a file beat a variable.) It remembers where each value came from.
type settings struct {
	env     map[string]string // by flag name
	file    map[string]string // by flag name
	path    string            // of the file, "" without one
	secrets map[string]string // by name
	others  map[string]string // variables without our prefix, for --compat-env
	source  map[string]string // by flag name: where the value came from
}

// readSettings takes the TOLKFLIP_ variables of environ, and the file that --config or TOLKFLIP_CONFIG names.
func readSettings(args, environ []string) (*settings, error) {
	s := &settings{env: map[string]string{}, file: map[string]string{}, secrets: map[string]string{}, others: map[string]string{}, source: map[string]string{}}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		rest, ours := strings.CutPrefix(name, envPrefix)
		if !ours {
			s.others[name] = value
		}
		if !ours || strings.HasPrefix(rest, "TEST_") || fromKubernetes(rest, value) {
			continue
		}
		s.env[strings.ReplaceAll(strings.ToLower(rest), "_", "-")] = value
	}
	s.path = s.env["config"]
	for i, a := range args {
		if v, ok := strings.CutPrefix(a, "--config="); ok {
			s.path = v
		} else if a == "--config" && i+1 < len(args) {
			s.path = args[i+1]
		}
	}
	if s.path != "" {
		if err := s.readFile(); err != nil {
			return nil, err
		}
	}
	for _, name := range secretNames() {
		if v, ok := s.env[name]; ok {
			s.secrets[name], s.source[name] = v, envName(name)
		} else if v, ok := s.file[name]; ok {
			s.secrets[name], s.source[name] = v, s.path
		}
		delete(s.env, name)
		delete(s.file, name)
	}
	return s, nil
}

// fromKubernetes reports whether a variable (without its prefix) is one that Kubernetes injects for a
// Service that is called tolkflip.
func fromKubernetes(rest, value string) bool {
	return rest == "SERVICE_HOST" || rest == "SERVICE_PORT" || strings.HasPrefix(rest, "SERVICE_PORT_") ||
		rest == "PORT" && strings.Contains(value, "://") || len(rest) > 5 && strings.HasPrefix(rest, "PORT_") && rest[5] >= '0' && rest[5] <= '9'
}

func (s *settings) readFile() error {
	b, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("config file %s: there is no such file", s.path)
	} else if err != nil {
		return fmt.Errorf("config file: %w", err)
	}
	var raw map[string]any
	if err := yaml.Unmarshal(b, &raw); err != nil {
		return fmt.Errorf("config file %s: %w", s.path, err)
	}
	for key, value := range raw {
		switch v := value.(type) {
		case []any:
			parts := make([]string, len(v))
			for i, p := range v {
				parts[i] = fmt.Sprint(p)
			}
			s.file[key] = strings.Join(parts, ",")
		case map[string]any:
			return fmt.Errorf("config file %s: %s: a plain value is wanted, not a group of keys", s.path, key)
		case nil:
			return fmt.Errorf("config file %s: %s has no value", s.path, key)
		default:
			s.file[key] = fmt.Sprint(v)
		}
	}
	return nil
}

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// check refuses keys and variables that no flag has.
func (s *settings) check(app *kong.Application) error {
	var known []string
	var walk func(n *kong.Node)
	walk = func(n *kong.Node) {
		for _, f := range n.Flags {
			known = append(known, f.Name)
		}
		for _, c := range n.Children {
			walk(c)
		}
	}
	walk(app.Node)
	for name := range s.env {
		if !slices.Contains(known, name) {
			return fmt.Errorf("unknown variable %s%s", envName(name), nearest(name, known, envName))
		}
	}
	for name := range s.file {
		if !slices.Contains(known, name) || name == "config" {
			return fmt.Errorf("config file %s: unknown key %s%s", s.path, name, nearest(name, known, func(n string) string { return n }))
		}
	}
	return nil
}

// nearest suggests the name that shares most with a mistyped one.
func nearest(name string, known []string, spell func(string) string) string {
	best, most := "", len(name)/2
	for _, k := range known {
		n := 0
		for n < len(k) && n < len(name) && k[n] == name[n] {
			n++
		}
		for i, j := len(k)-1, len(name)-1; i >= n && j >= n && k[i] == name[j]; i, j = i-1, j-1 {
			n++
		}
		if n > most {
			best, most = k, n
		}
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + spell(best) + "?)"
}

// Validate is part of kong.Resolver; check has done it with better words.
func (s *settings) Validate(*kong.Application) error { return nil }

// Resolve is part of kong.Resolver.
func (s *settings) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if v, ok := s.env[flag.Name]; ok {
		s.source[flag.Name] = envName(flag.Name)
		return v, nil
	}
	if v, ok := s.file[flag.Name]; ok {
		s.source[flag.Name] = s.path
		return v, nil
	}
	return nil, nil
}

// note records what the command line itself said.
func (s *settings) note(parsed *kong.Context) {
	for _, p := range parsed.Path {
		if p.Flag != nil && !p.Resolved {
			s.source[p.Flag.Name] = "--" + p.Flag.Name
		}
	}
}

// from says where a setting's value came from.
func (s *settings) from(flag string) string {
	if v, ok := s.source[flag]; ok {
		return v
	}
	return "default"
}
