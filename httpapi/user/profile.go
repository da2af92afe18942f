package user

import (
	"context"
	"net/netip"
	"net/url"
	"strings"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

type profileIn struct {
	User id.User `path:"id" missing:"User not found" json:"-"`
}

type profileOut struct {
	Success bool        `json:"success"`
	User    datedPerson `json:"user"`
}

type datedPerson struct {
	httpapi.Person
	Created    string `json:"createdAt"`
	LastActive string `json:"lastActive"`
}

// profile is a person as the apps read one.
func (s *service) profile(ctx context.Context, c httpapi.Caller, in profileIn) (profileOut, error) {
	u, phone, err := s.see(ctx, c, in.User)
	if err != nil {
		return profileOut{}, err
	}
	return profileOut{true, datedPerson{httpapi.PersonOf(u, phone), httpapi.ISO(u.Created), httpapi.ISO(u.LastActive)}}, nil
}

// see gives a person, and whether the caller may read the phone number.
func (s *service) see(ctx context.Context, c httpapi.Caller, owner id.User) (u store.User, phone bool, err error) {
	if u, err = s.get(ctx, owner); err != nil {
		return u, false, err
	}
	phone, err = s.seesPhone(ctx, c.User, owner)
	return u, phone, err
}

type updateIn struct {
	Name      httpapi.Value `json:"display_name"`
	Avatar    httpapi.Value `json:"avatar_url"`
	Language  httpapi.Value `json:"primary_language"`
	Languages httpapi.Value `json:"additional_languages"`
}

type updateOut struct {
	Success bool           `json:"success"`
	User    httpapi.Person `json:"user"`
}

// update changes the caller's own profile: what the body names, save empty strings.
func (s *service) update(ctx context.Context, c httpapi.Caller, in updateIn) (updateOut, error) {
	var none updateOut
	p, more, err := in.patch()
	if err != nil {
		return none, err
	}
	if more != nil {
		if len(more) > httpapi.MaxLanguages {
			return none, proto.BadField("additional_languages", httpapi.ErrLanguages.Error())
		}
		primary, err := s.primary(ctx, c.User, p)
		if err != nil {
			return none, err
		}
		list, err := httpapi.MoreLanguages(primary, more)
		if err != nil {
			var bad httpapi.FieldErrors
			bad.Add("additional_languages", in.Languages, err.Error())
			return none, bad.Err()
		}
		p.Languages = &list
	}
	if p == (store.UserPatch{}) {
		return none, proto.Fail(proto.Invalid, "No fields to update")
	}
	u, err := s.change(ctx, c.User, p)
	if err != nil {
		return none, err
	}
	return updateOut{true, httpapi.PersonOf(u, true)}, nil
}

// primary is the primary language that a patch leaves.
func (s *service) primary(ctx context.Context, u id.User, p store.UserPatch) (string, error) {
	if p.Language != nil {
		return *p.Language, nil
	}
	v, err := s.get(ctx, u)
	return v.Language, err
}

// patch judges each field by itself. More is nil when no list was sent.
func (in updateIn) patch() (p store.UserPatch, more []string, err error) {
	var bad httpapi.FieldErrors
	if in.Name.Sent() {
		switch text, ok := in.Name.Text(); {
		case !ok:
			bad.Add("display_name", in.Name, "")
		case text == "":
		default:
			if text, err = httpapi.Name(text); err != nil {
				bad.Add("display_name", in.Name, "A name has 1 to 100 characters")
			}
			p.Name = &text
		}
	}
	if in.Avatar.Sent() {
		text, ok := in.Avatar.Text()
		if !ok || !isURL(text) {
			bad.Add("avatar_url", in.Avatar, "")
		}
		p.Avatar = &text
	}
	if in.Language.Sent() {
		switch text, ok := in.Language.Text(); {
		case !ok:
			bad.Add("primary_language", in.Language, "")
		case text == "":
		default:
			code, known := httpapi.LanguageCode(text)
			if !known {
				bad.Add("primary_language", in.Language, httpapi.ErrLanguage.Error())
			}
			p.Language = &code
		}
	}
	if in.Languages.Sent() {
		list, ok := in.Languages.Texts()
		if !ok {
			bad.Add("additional_languages", in.Languages, "")
		}
		more = append([]string{}, list...)
	}
	return p, more, bad.Err()
}

// maxURL is the longest avatar URL, in bytes.
const maxURL = 2048

// isURL is what the clients may send as an avatar: http or https, or no scheme, with a host that is an IP
// address or a name with a top-level domain.
func isURL(text string) bool {
	if text == "" || len(text) > maxURL || !httpapi.Printable(text) || strings.ContainsAny(text, " <>\"\\") {
		return false
	}
	if !strings.Contains(text, "://") {
		if strings.HasPrefix(text, "/") {
			return false
		}
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || u.Opaque != "" {
		return false
	}
	host := u.Hostname()
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	dot := strings.LastIndexByte(host, '.')
	return dot > 0 && len(host)-dot > 2 && isHostname(host) && !isDigits(host[dot+1:])
}

func isHostname(host string) bool {
	for _, label := range strings.Split(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range label {
			if c < 0x80 && c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return false
			}
		}
	}
	return true
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }
