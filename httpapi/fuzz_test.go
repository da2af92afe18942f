package httpapi

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/tolkflip/tolkflip/proto"
)

type fuzzIn struct {
	Name  string   `json:"name"`
	Count int64    `json:"count"`
	On    *bool    `json:"on"`
	Tags  []string `json:"tags"`
	Any   Value    `json:"any"`
	Inner struct {
		Deep [][]string `json:"deep"`
	} `json:"inner"`
}

// FuzzDecodeBody holds the decoder against encoding/json: what one takes the other takes, with the same
// result, and every refusal is the client's fault.
func FuzzDecodeBody(f *testing.F) {
	for _, seed := range []string{
		`{}`, ``, `null`, `[]`, `{"name":"a","count":1,"on":true,"tags":["x"],"any":{"a":[1]},"inner":{"deep":[["y"]]}}`,
		`{"name":1}`, `{"count":1.5}`, `{"count":1e3}`, `{"count":-0}`, `{"any":null}`, `{"name":"\u0000\ud800"}`,
		"{\"name\":\"\x00\"}", "{\"name\":\"\xff\"}", `{"name":"a"`, `{"NAME":"a"}`, `{"name":"a","name":"b"}`,
		`{"any":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`, strings.Repeat(`{"inner":`, 10_000),
		`{"tags":[null]}`, `{"count":9223372036854775808}`, `{"a":01}`, `{"a":.5}`, `{"a":"\x"}`, `{"a":1}x`, `{"inner":[]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var in, want fuzzIn
		err := decodeBody(body, &in)
		if err != nil {
			var p *proto.Error
			if !errors.As(err, &p) || p.Code != proto.Invalid {
				t.Fatalf("%q: %v is not the client's fault", body, err)
			}
		}
		std := json.Unmarshal(body, &want)
		if err == nil && std != nil {
			t.Fatalf("%q was taken; encoding/json: %v", body, std)
		}
		if err == nil && !reflect.DeepEqual(in, want) {
			t.Fatalf("%q: %+v, encoding/json %+v", body, in, want)
		}
	})
}

// FuzzPhone: what is normalised is E.164, and normalising it again changes nothing.
func FuzzPhone(f *testing.F) {
	for _, s := range []string{"+12025550123", "0044 20 7946 0958", "(202) 555-0123", "1234567", "+", "", "+00000000", "٣٤٥٦٧٨٩"} {
		f.Add(s, "US")
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, text, region string) {
		e, ok := Phone(text, region)
		if !ok {
			return
		}
		if len(e) < 8 || len(e) > 16 || e[0] != '+' || e[1] == '0' || strings.Trim(e[1:], "0123456789") != "" {
			t.Fatalf("%q in %q: %q", text, region, e)
		}
		if again, ok := Phone(e, region); !ok || again != e {
			t.Fatalf("%q in %q: %q, then %q", text, region, e, again)
		}
	})
}
