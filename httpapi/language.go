package httpapi

import (
	"errors"
	"slices"
	"strings"

	"github.com/tolkflip/tolkflip/proto"
)

// Language is one that people may choose.
type Language struct {
	Code, Name string
}

// LanguageGroup is how the clients list languages.
type LanguageGroup struct {
	Name      string
	Languages []Language
}

// DefaultLanguage is that of a person who chose none; MaxLanguages is how many one may add to it.
const (
	DefaultLanguage = proto.DefaultLanguage
	MaxLanguages    = 2
)

// Languages gives all groups, in the order of the clients' lists. The result is the caller's.
func Languages() []LanguageGroup {
	return []LanguageGroup{
		{"european", pairs("en English,de German,fr French,es Spanish,it Italian,pt Portuguese,nl Dutch,pl Polish,cs Czech," +
			"sk Slovak,ro Romanian,hu Hungarian,sv Swedish,da Danish,fi Finnish,no Norwegian,el Greek,bg Bulgarian,hr Croatian," +
			"sr Serbian,sl Slovenian,et Estonian,lv Latvian,lt Lithuanian")},
		{"asian", pairs("zh Chinese (Simplified),zh-TW Chinese (Traditional),ja Japanese,ko Korean,hi Hindi,bn Bengali,ta Tamil," +
			"te Telugu,mr Marathi,gu Gujarati,kn Kannada,ml Malayalam,pa Punjabi,ur Urdu,vi Vietnamese,th Thai,id Indonesian,ms Malay")},
		{"middle_east", pairs("ar Arabic,he Hebrew,fa Persian,tr Turkish")},
		{"slavic", pairs("ru Russian,uk Ukrainian,be Belarusian")},
	}
}

func pairs(list string) []Language {
	var out []Language
	for _, p := range strings.Split(list, ",") {
		code, name, _ := strings.Cut(p, " ")
		out = append(out, Language{code, name})
	}
	return out
}

// languageCodes finds a code by its lower-case spelling.
var languageCodes = func() map[string]string { //nolint:gochecknoglobals // a table
	codes := map[string]string{}
	for _, g := range Languages() {
		for _, l := range g.Languages {
			codes[strings.ToLower(l.Code)] = l.Code
		}
	}
	return codes
}()

// LanguageCode gives the listed spelling of a code. A region that is not listed is dropped: de-AT is de.
func LanguageCode(text string) (code string, ok bool) {
	if len(text) > 16 {
		return "", false
	}
	text = strings.ToLower(strings.ReplaceAll(text, "_", "-"))
	if code, ok = languageCodes[text]; ok {
		return code, true
	}
	base, _, _ := strings.Cut(text, "-")
	code, ok = languageCodes[base]
	return code, ok
}

// What MoreLanguages reports; the texts are the clients'.
var (
	ErrLanguage  = errors.New("Unsupported language")                   //nolint:staticcheck // a client reads it
	ErrLanguages = errors.New("Maximum 2 additional languages allowed") //nolint:staticcheck // a client reads it
)

// MoreLanguages judges the languages that a person adds to a primary one: known codes, each once, without
// the primary one, at most MaxLanguages sent.
func MoreLanguages(primary string, list []string) ([]string, error) {
	if len(list) > MaxLanguages {
		return nil, ErrLanguages
	}
	out := make([]string, 0, len(list))
	for _, text := range list {
		code, ok := LanguageCode(text)
		if !ok {
			return nil, ErrLanguage
		}
		if code != primary && !slices.Contains(out, code) {
			out = append(out, code)
		}
	}
	return out, nil
}
