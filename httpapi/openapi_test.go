package httpapi

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files") //nolint:gochecknoglobals // a flag

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	services := []Service{testService(), Unbuilt("media", Health{Name: "media"}, "/api/media")}
	got, err := json.MarshalIndent(OpenAPI("1.2.3", services), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/openapi.golden"
	if *update {
		if err := os.WriteFile(golden, append(got, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(append(got, '\n'), want) {
		t.Errorf("differs from %s (rewrite it with -update):\n%s", golden, got)
	}
}
