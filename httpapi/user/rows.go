package user

import (
	"context"
	"unicode/utf8"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// row is a person as the web client reads one.
type row struct {
	UserID      string   `json:"user_id"`
	PhoneNumber string   `json:"phone_number"`
	DisplayName string   `json:"display_name"`
	AvatarURL   string   `json:"avatar_url"`
	Picture     string   `json:"profile_picture"`
	Bio         string   `json:"bio"`
	Language    string   `json:"primary_language"`
	Languages   []string `json:"additional_languages"`
	Created     string   `json:"created_at"`
	LastActive  string   `json:"last_active"`
}

type rowOut struct {
	Success bool `json:"success"`
	User    row  `json:"user"`
}

func (s *service) row(ctx context.Context, c httpapi.Caller, in profileIn) (rowOut, error) {
	u, phone, err := s.see(ctx, c, in.User)
	if err != nil {
		return rowOut{}, err
	}
	p := httpapi.PersonOf(u, phone)
	return rowOut{true, row{
		UserID: p.UserID, PhoneNumber: p.PhoneNumber, DisplayName: p.DisplayName,
		AvatarURL: p.AvatarURL, Picture: p.AvatarURL, Bio: u.Bio,
		Language: p.Language, Languages: p.Languages,
		Created: httpapi.ISO(u.Created), LastActive: httpapi.ISO(u.LastActive),
	}}, nil
}

type successOut struct {
	Success bool `json:"success"`
}

// own is nil when the path names the caller.
func own(c httpapi.Caller, u id.User) error {
	if c.User != u {
		return proto.Fail(proto.Forbidden, "Unauthorized")
	}
	return nil
}

type updateRowIn struct {
	User    id.User `path:"id" missing:"User not found" json:"-"`
	Name    *string `json:"display_name"`
	Picture *string `json:"profile_picture"`
	Bio     *string `json:"bio"`
}

// maxBio is the longest text about oneself, in characters.
const maxBio = 500

// Validate judges each field; an empty picture or bio clears it.
func (in *updateRowIn) Validate() error {
	if in.Name != nil && *in.Name == "" {
		in.Name = nil
	}
	if in.Name != nil {
		name, err := httpapi.Name(*in.Name)
		if err != nil {
			return proto.BadField("display_name", "A name has 1 to 100 characters")
		}
		in.Name = &name
	}
	if in.Picture != nil && *in.Picture != "" && !isURL(*in.Picture) {
		return proto.BadField("profile_picture", "profile_picture must be a URL")
	}
	if in.Bio != nil && (utf8.RuneCountInString(*in.Bio) > maxBio || !printableText(*in.Bio)) {
		return proto.BadField("bio", "bio has up to 500 characters")
	}
	if in.Name == nil && in.Picture == nil && in.Bio == nil {
		return proto.Fail(proto.Invalid, "No fields to update")
	}
	return nil
}

// printableText is Printable, with line breaks.
func printableText(text string) bool {
	line := make([]rune, 0, len(text))
	for _, c := range text {
		if c != '\n' && c != '\r' && c != '\t' {
			line = append(line, c)
		}
	}
	return httpapi.Printable(string(line))
}

func (s *service) updateRow(ctx context.Context, c httpapi.Caller, in updateRowIn) (successOut, error) {
	if err := own(c, in.User); err != nil {
		return successOut{}, err
	}
	_, err := s.change(ctx, c.User, store.UserPatch{Name: in.Name, Avatar: in.Picture, Bio: in.Bio})
	return successOut{err == nil}, err
}

type languagesIn struct {
	User     id.User   `path:"id" missing:"User not found" json:"-"`
	Native   *string   `json:"native_language"`
	Learning *[]string `json:"learning_languages"`
}

func (s *service) setLanguages(ctx context.Context, c httpapi.Caller, in languagesIn) (successOut, error) {
	if err := own(c, in.User); err != nil {
		return successOut{}, err
	}
	var p store.UserPatch
	if in.Native != nil && *in.Native != "" {
		code, ok := httpapi.LanguageCode(*in.Native)
		if !ok {
			return successOut{}, proto.BadField("native_language", httpapi.ErrLanguage.Error())
		}
		p.Language = &code
	}
	if in.Learning != nil {
		primary, err := s.primary(ctx, c.User, p)
		if err != nil {
			return successOut{}, err
		}
		list, err := httpapi.MoreLanguages(primary, *in.Learning)
		if err != nil {
			return successOut{}, proto.BadField("learning_languages", err.Error())
		}
		p.Languages = &list
	}
	if p == (store.UserPatch{}) {
		return successOut{}, proto.Fail(proto.Invalid, "No fields to update")
	}
	_, err := s.change(ctx, c.User, p)
	return successOut{err == nil}, err
}
