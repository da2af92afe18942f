package httpapi

import (
	"time"

	"github.com/tolkflip/tolkflip/store"
)

// Person is a user as the mobile apps read one. The keys are never null: the iOS model cannot take it.
type Person struct {
	UserID      string   `json:"userId"`
	PhoneNumber string   `json:"phoneNumber"` // empty for those who may not see it
	DisplayName string   `json:"displayName"`
	AvatarURL   string   `json:"avatarUrl"`
	Language    string   `json:"primaryLanguage"`
	Languages   []string `json:"additionalLanguages"`
}

// PersonOf is u as somebody who may see the phone number, or may not, reads it.
func PersonOf(u store.User, phone bool) Person {
	p := Person{
		UserID: u.ID.String(), DisplayName: DisplayName(u, phone), AvatarURL: u.Avatar,
		Language: u.Language, Languages: u.Languages,
	}
	if phone {
		p.PhoneNumber = u.Phone
	}
	if p.Languages == nil {
		p.Languages = []string{}
	}
	return p
}

// DisplayName is how a person is called. One who chose no name is called by the phone number, as the apps
// expect, where that may be seen; it is not stored as the name, which strangers see too.
func DisplayName(u store.User, phone bool) string {
	if u.Name == "" && phone {
		return u.Phone
	}
	return u.Name
}

// ISO writes Unix milliseconds as REST replies do: 2006-01-02T15:04:05.000Z.
func ISO(millis int64) string {
	return time.UnixMilli(millis).UTC().Format("2006-01-02T15:04:05.000Z")
}
