package httpapi

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tolkflip/tolkflip/store"
)

func TestPhone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, region, want string }{
		// What the apps accept.
		{"+12025550123", "", "+12025550123"},
		{"12025550123", "", "+12025550123"},
		{"2025550123", "US", "+12025550123"},
		{"2025550123", "", "+2025550123"},
		{"15551234567", "", "+15551234567"},
		{"+1 202 555 0123", "", "+12025550123"},
		{"(202) 555-0123", "US", "+12025550123"},
		{"(202) 555-0123", "", "+2025550123"},
		{"+447911123456", "", "+447911123456"},
		{"+44 (0)20 7946 0958", "", "+442079460958"},
		{"020 7946 0958", "GB", "+442079460958"},
		{"+33612345678", "", "+33612345678"},
		{"+4915123456789", "", "+4915123456789"},
		{"+819012345678", "", "+819012345678"},
		{"+8613800138000", "", "+8613800138000"},
		{"+919876543210", "", "+919876543210"},
		{"+34612345678", "", "+34612345678"},
		{"+393123456789", "", "+393123456789"},
		{"+5511987654321", "", "+5511987654321"},
		{"+821012345678", "", "+821012345678"},
		{"1234567", "", "+1234567"},
		{"12345678", "", "+12345678"},
		{"1234567890", "", "+1234567890"},
		{"447911123456", "US", "+447911123456"},
		{"0012025550123", "", "+12025550123"},
		{" +12025550123 ", "", "+12025550123"},
		// What they refused for no reason.
		{"+1234567890", "", "+1234567890"},
		{"+15551234567", "", "+15551234567"},
		{"+15550100", "", "+15550100"},
		{"+10000000000", "", "+10000000000"},
		{"+999123456789", "", "+999123456789"},
		{"+5511387654321", "", "+5511387654321"},
		// What is no number.
		{"", "", ""},
		{"abc", "", ""},
		{"11", "DE", ""}, // possible there, but only within a town
		{"123", "", ""},
		{"+1", "", ""},
		{"+", "", ""},
		{"++12025550123", "", ""},
		{"+12025550123x", "", ""},
		{"1-800-FLOWERS", "US", ""},
		{"+1202555012345678", "", ""},
		{"+0123456789", "", ""},
		{strings.Repeat("1 ", 30), "", ""},
		{"+1202555٠123", "", ""},
		{"+1\x002025550123", "", ""},
	} {
		got, ok := Phone(c.in, c.region)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%q in %q: %q %v, want %q", c.in, c.region, got, ok, c.want)
		}
	}
}

func TestLanguages(t *testing.T) {
	t.Parallel()
	n, seen := 0, map[string]bool{}
	for _, g := range Languages() {
		for _, l := range g.Languages {
			n++
			if seen[l.Code] || l.Name == "" {
				t.Errorf("%+v", l)
			}
			seen[l.Code] = true
		}
	}
	if n != 49 {
		t.Errorf("%d languages, want 49", n)
	}
	for in, want := range map[string]string{
		"en": "en", "EN": "en", "zh-tw": "zh-TW", "zh_TW": "zh-TW", "zh-CN": "zh", "de-AT": "de", "xx": "", "": "", "e": "", "en\x00": "",
		"english": "", "aaaaaaaaaaaaaaaaaaaaaaa": "",
	} {
		if got, ok := LanguageCode(in); got != want || ok != (want != "") {
			t.Errorf("%q: %q %v, want %q", in, got, ok, want)
		}
	}
	for _, c := range []struct {
		list []string
		want string
		err  error
	}{
		{nil, "", nil},
		{[]string{"de", "DE"}, "de", nil},
		{[]string{"en", "fr"}, "fr", nil},
		{[]string{"de", "fr"}, "de fr", nil},
		{[]string{"de", "fr", "es"}, "", ErrLanguages},
		{[]string{"xx"}, "", ErrLanguage},
	} {
		got, err := MoreLanguages("en", c.list)
		if strings.Join(got, " ") != c.want || err != c.err || (err == nil && got == nil) { //nolint:errorlint // never wrapped
			t.Errorf("%v: %v %v", c.list, got, err)
		}
	}
}

func TestName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Ann": "Ann", "  Ann  ": "Ann", "Ünï 😀": "Ünï 😀", strings.Repeat("é", 100): strings.Repeat("é", 100),
		"": "", "   ": "", strings.Repeat("é", 101): "", "a\x00b": "", "a\nb": "", "a\u202eb": "", "a\u0085b": "",
	} {
		if got, err := Name(in); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q %v", in, got, err)
		}
	}
}

func TestFieldErrors(t *testing.T) {
	t.Parallel()
	var in struct {
		Phone, Code, Null, None Value
	}
	if err := wire.Unmarshal([]byte(`{"Phone":"+1","Code":5,"Null":null}`), &in); err != nil {
		t.Fatal(err)
	}
	var e FieldErrors
	if e.Err() != nil {
		t.Error("no rule was broken")
	}
	e.Add("phone_number", in.Phone, "Invalid phone number format")
	e.Add("code", in.Code, "")
	e.Add("null", in.Null, "")
	e.Add("none", in.None, "")
	status, body := e.Reply()
	got, err := wire.Marshal(body)
	want := `{"errors":[` +
		`{"type":"field","value":"+1","msg":"Invalid phone number format","path":"phone_number","location":"body"},` +
		`{"type":"field","value":5,"msg":"Invalid value","path":"code","location":"body"},` +
		`{"type":"field","value":null,"msg":"Invalid value","path":"null","location":"body"},` +
		`{"type":"field","msg":"Invalid value","path":"none","location":"body"}],` +
		`"success":false,"error":"Invalid phone number format","code":"invalid","field":"phone_number"}`
	if err != nil || status != 400 || string(got) != want {
		t.Errorf("%d %s %v\nwant %s", status, got, err, want)
	}
	if !json.Valid(got) {
		t.Error("not JSON")
	}
}

func TestValue(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`"a\u0041"`: "text aA", `""`: "text ", `123456`: "number 123456", `-1.5e3`: "number -1.5e3",
		`["a","b"]`: "list a b", `[]`: "list ", `["a",1]`: "", `null`: "", `true`: "", `{"a":1}`: "",
	} {
		var v struct{ V Value }
		if err := wire.Unmarshal([]byte(`{"V":`+in+`}`), &v); err != nil {
			t.Fatal(err)
		}
		got := ""
		if s, ok := v.V.Text(); ok {
			got = "text " + s
		}
		if s, ok := v.V.Number(); ok {
			got = "number " + s
		}
		if l, ok := v.V.Texts(); ok {
			got = "list " + strings.Join(l, " ")
		}
		if got != want || v.V.Sent() != (in != "null") {
			t.Errorf("%s: %q, sent %v", in, got, v.V.Sent())
		}
	}
	if (Value{}).Sent() {
		t.Error("the zero value was sent")
	}
}

func TestPersonOf(t *testing.T) {
	t.Parallel()
	u := store.User{Phone: "+15550100"}
	if p := PersonOf(u, true); p.DisplayName != u.Phone || p.PhoneNumber != u.Phone || p.Languages == nil {
		t.Errorf("%+v", p)
	}
	if p := PersonOf(u, false); p.DisplayName != "" || p.PhoneNumber != "" {
		t.Errorf("a stranger reads %+v", p)
	}
}
