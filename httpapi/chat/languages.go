package chat

import "slices"

// spoken reports whether a code is one of the languages that translation knows, as clients list them.
func spoken(code string) bool { return slices.Contains(languages[:], code) }

var languages = [...]string{ //nolint:gochecknoglobals // a table
	"en", "de", "fr", "es", "it", "pt", "nl", "pl", "cs", "sk", "ro", "hu", "sv", "da", "fi", "no", "el", "bg", "hr", "sr", "sl", "et", "lv", "lt",
	"zh", "zh-TW", "ja", "ko", "hi", "bn", "ta", "te", "mr", "gu", "kn", "ml", "pa", "ur", "vi", "th", "id", "ms",
	"ar", "he", "fa", "tr",
	"ru", "uk", "be",
}
