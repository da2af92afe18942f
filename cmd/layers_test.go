package cmd_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/tolkflip/tolkflip"

// mayImport says which top-level packages of ours each top-level package may depend on. cmd is not
// listed: it may use everything, and nothing may use it.
func mayImport() map[string][]string {
	return map[string][]string{
		"proto":   {"proto"},
		"store":   {"store", "proto"},
		"router":  {"router", "store", "proto"},
		"conn":    {"conn", "router", "store", "proto"},
		"httpapi": {"httpapi", "router", "store", "proto"},
		"bench":   {"bench", "proto"},
		"tuning":  {"tuning"},
	}
}

// siblings are folders whose sub-packages must not import each other: what one needs of another it
// declares as a small interface, and cmd passes the value.
func siblings() map[string][]string {
	return map[string][]string{
		"router":  {"chat", "presence", "call"},
		"httpapi": {"gateway", "auth", "user", "chat", "translation", "transcription", "media", "presence", "messagestore", "notification", "webrtc", "group", "web"},
	}
}

type goPackage struct {
	ImportPath string
	Deps       []string
	Imports    []string
}

func TestLayers(t *testing.T) {
	t.Parallel()
	packages, err := list("../...")
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 5 {
		t.Fatalf("only %d packages were listed", len(packages))
	}
	for _, v := range violations(packages) {
		t.Error(v)
	}
}

// TestLayersCheckCanFail feeds the check with arrows that are forbidden.
func TestLayersCheckCanFail(t *testing.T) {
	t.Parallel()
	for _, bad := range []goPackage{
		{ImportPath: module + "/proto/ws", Deps: []string{module + "/store"}},
		{ImportPath: module + "/conn", Deps: []string{module + "/httpapi"}},
		{ImportPath: module + "/httpapi/auth", Deps: []string{module + "/conn"}},
		{ImportPath: module + "/httpapi/auth", Imports: []string{module + "/httpapi/user"}},
		{ImportPath: module + "/router/chat", Imports: []string{module + "/router/presence"}},
		{ImportPath: module + "/bench/client", Deps: []string{module + "/router"}},
		{ImportPath: module + "/store/pebble", Imports: []string{"example.com/x"}, Deps: []string{module + "/cmd/tolkflip"}},
		{ImportPath: module + "/helpers"},
	} {
		if len(violations([]goPackage{bad})) == 0 {
			t.Errorf("%s importing %v %v was let through", bad.ImportPath, bad.Deps, bad.Imports)
		}
	}
}

func violations(packages []goPackage) []string {
	var found []string
	for _, p := range packages {
		top, sub := split(p.ImportPath)
		if top == "cmd" {
			continue
		}
		allowed, known := mayImport()[top]
		if !known {
			found = append(found, p.ImportPath+": not one of the top-level folders")
			continue
		}
		for _, dep := range p.Deps {
			if to, _ := split(dep); strings.HasPrefix(dep, module+"/") && !slices.Contains(allowed, to) {
				found = append(found, fmt.Sprintf("%s depends on %s; %s may only depend on %v", p.ImportPath, dep, top, allowed))
			}
		}
		for _, dep := range p.Imports {
			to, toSub := split(dep)
			if to == top && toSub != sub && slices.Contains(siblings()[top], sub) && slices.Contains(siblings()[top], toSub) {
				found = append(found, fmt.Sprintf("%s imports its sibling %s", p.ImportPath, dep))
			}
		}
	}
	return found
}

// split gives the top-level folder of an import path and the folder below it.
func split(path string) (top, sub string) {
	rest, ours := strings.CutPrefix(path, module+"/")
	if !ours {
		return "", ""
	}
	top, rest, _ = strings.Cut(rest, "/")
	sub, _, _ = strings.Cut(rest, "/")
	return top, sub
}

func list(pattern string) ([]goPackage, error) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Deps,Imports", pattern).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return nil, fmt.Errorf("go list: %w: %s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("go list: %w", err)
	}
	var all []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("read go list: %w", err)
		}
		all = append(all, p)
	}
}
