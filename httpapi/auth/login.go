package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

type verifyIn struct {
	Phone    httpapi.Value `json:"phone_number"`
	Code     httpapi.Value `json:"code"`
	Name     httpapi.Value `json:"display_name"`
	Language httpapi.Value `json:"primary_language"`
	device
}

// verify is the apps' way in: a right code logs in, or creates the account.
func (s *service) verify(ctx context.Context, _ httpapi.Caller, in verifyIn) (sessionOut, error) {
	var none sessionOut
	var bad httpapi.FieldErrors
	phone, ok := s.phone(in.Phone)
	if !ok {
		bad.Add("phone_number", in.Phone, "")
	}
	code, ok := guess(in.Code)
	if !ok {
		bad.Add("code", in.Code, "")
	}
	u := store.User{Phone: phone, Language: httpapi.DefaultLanguage}
	if in.Name.Sent() {
		u.Name = optionalName(in.Name, &bad)
	}
	if in.Language.Sent() {
		u.Language = optionalLanguage(in.Language, &bad)
	}
	dev := in.name(&bad)
	if err := bad.Err(); err != nil {
		return none, err
	}
	if err := s.try(ctx, phone, code); err != nil {
		return none, err
	}
	u, created, err := s.findOrCreate(ctx, u)
	if err != nil {
		return none, err
	}
	return s.open(ctx, u, dev, created, s.cfg.SessionLife)
}

// optionalName reads a name; an empty one counts as none.
func optionalName(v httpapi.Value, bad *httpapi.FieldErrors) string {
	text, ok := v.Text()
	if !ok {
		bad.Add("display_name", v, "")
		return ""
	}
	if text == "" {
		return ""
	}
	name, err := httpapi.Name(text)
	if err != nil {
		bad.Add("display_name", v, "A name has 1 to 100 characters")
	}
	return name
}

// optionalLanguage reads a language code; an empty one counts as none.
func optionalLanguage(v httpapi.Value, bad *httpapi.FieldErrors) string {
	text, ok := v.Text()
	if ok && text == "" {
		return httpapi.DefaultLanguage
	}
	code, known := httpapi.LanguageCode(text)
	switch {
	case !ok:
		bad.Add("primary_language", v, "")
	case !known:
		bad.Add("primary_language", v, "Unsupported language")
	}
	return code
}

// findOrCreate gives the account of u's phone, or makes it of u.
func (s *service) findOrCreate(ctx context.Context, u store.User) (found store.User, created bool, err error) {
	found, err = s.deps.Users.ByPhone(ctx, u.Phone)
	if err == nil {
		return found, false, nil
	}
	if !errors.Is(err, store.ErrNotFound) {
		return found, false, fmt.Errorf("find a user: %w", err)
	}
	u, err = s.create(ctx, u)
	if errors.Is(err, store.ErrConflict) { // another request was first
		if found, err = s.deps.Users.ByPhone(ctx, u.Phone); err == nil {
			return found, false, nil
		}
	}
	return u, err == nil, err
}

func (s *service) create(ctx context.Context, u store.User) (store.User, error) {
	u.ID = id.NewUser()
	u.Created = s.deps.Now().UnixMilli()
	u.LastActive = u.Created
	if err := s.deps.Users.Create(ctx, u); err != nil {
		return u, fmt.Errorf("create a user: %w", err)
	}
	return u, nil
}

type verifyCodeIn struct {
	Phone httpapi.Value `json:"phone_number"`
	Code  httpapi.Value `json:"code"`
}

type doneOut struct {
	Success bool   `json:"success"`
	Message string `json:"message"`
}

// verifyCode is the web client's first step: a right code leaves a grant for phone and address.
func (s *service) verifyCode(ctx context.Context, c httpapi.Caller, in verifyCodeIn) (doneOut, error) {
	var none doneOut
	if !in.Phone.Sent() || !in.Code.Sent() {
		return none, proto.Fail(proto.Invalid, "Phone number and code are required")
	}
	phone, ok := s.phone(in.Phone)
	if !ok {
		return none, proto.BadField("phone_number", "Invalid phone number format")
	}
	code, ok := guess(in.Code)
	if !ok {
		return none, proto.BadField("code", "Invalid verification code")
	}
	if err := s.try(ctx, phone, code); err != nil {
		return none, err
	}
	if err := s.deps.Codes.Grant(ctx, phone, place(c), s.cfg.GrantLife); err != nil {
		return none, fmt.Errorf("keep a grant: %w", err)
	}
	return doneOut{true, "Code verified"}, nil
}

// place is the client's address as a grant keeps it.
func place(c httpapi.Caller) string { return "address " + httpapi.AddressKey(c.Address) }

// granted is nil when the phone was verified from the caller's address. Take uses the grant up.
func (s *service) granted(ctx context.Context, c httpapi.Caller, phone string, take bool) error {
	ok, err := s.deps.Codes.Granted(ctx, phone, place(c), take)
	if err != nil {
		return fmt.Errorf("look for a grant: %w", err)
	}
	if !ok {
		return proto.Fail(proto.Forbidden, "Phone number not verified")
	}
	return nil
}

type loginIn struct {
	Phone httpapi.Value `json:"phone_number"`
	device
}

// login opens a session for an account whose phone was verified.
func (s *service) login(ctx context.Context, c httpapi.Caller, in loginIn) (sessionOut, error) {
	var none sessionOut
	if !in.Phone.Sent() {
		return none, proto.BadField("phone_number", "Phone number is required")
	}
	phone, ok := s.phone(in.Phone)
	if !ok {
		return none, proto.BadField("phone_number", "Invalid phone number format")
	}
	var bad httpapi.FieldErrors
	dev := in.name(&bad)
	if err := bad.Err(); err != nil {
		return none, err
	}
	if err := s.granted(ctx, c, phone, false); err != nil {
		return none, err
	}
	u, err := s.deps.Users.ByPhone(ctx, phone)
	if errors.Is(err, store.ErrNotFound) {
		return none, proto.Fail(proto.NotFound, "User not found") // the grant stays, for /register
	}
	if err != nil {
		return none, fmt.Errorf("find a user: %w", err)
	}
	if err := s.granted(ctx, c, phone, true); err != nil {
		return none, err
	}
	return s.open(ctx, u, dev, false, s.cfg.AccessLife)
}

type registerIn struct {
	Phone     httpapi.Value `json:"phone_number"`
	Name      httpapi.Value `json:"display_name"`
	Language  httpapi.Value `json:"primary_language"`
	Languages httpapi.Value `json:"additional_languages"`
	device
}

// register makes an account for a phone that was verified, and opens its first session.
func (s *service) register(ctx context.Context, c httpapi.Caller, in registerIn) (sessionOut, error) {
	var none sessionOut
	u, dev, err := s.newAccount(in)
	if err != nil {
		return none, err
	}
	if err := s.granted(ctx, c, u.Phone, false); err != nil {
		return none, err
	}
	exists := proto.Fail(proto.Conflict, "User already exists")
	switch _, err := s.deps.Users.ByPhone(ctx, u.Phone); {
	case err == nil:
		return none, exists // the grant stays, for /login
	case !errors.Is(err, store.ErrNotFound):
		return none, fmt.Errorf("find a user: %w", err)
	}
	if err := s.granted(ctx, c, u.Phone, true); err != nil {
		return none, err
	}
	u, err = s.create(ctx, u)
	if errors.Is(err, store.ErrConflict) {
		return none, exists
	}
	if err != nil {
		return none, err
	}
	return s.open(ctx, u, dev, true, s.cfg.AccessLife)
}

// newAccount reads the body of /register.
func (s *service) newAccount(in registerIn) (u store.User, dev string, err error) {
	name, _ := in.Name.Text()
	if !in.Phone.Sent() || !in.Name.Sent() || name == "" {
		return u, "", proto.Fail(proto.Invalid, "Phone number and display name are required")
	}
	var bad httpapi.FieldErrors
	var ok bool
	if u.Phone, ok = s.phone(in.Phone); !ok {
		bad.Add("phone_number", in.Phone, "Invalid phone number format")
	}
	u.Name = optionalName(in.Name, &bad)
	u.Language = httpapi.DefaultLanguage
	if in.Language.Sent() {
		u.Language = optionalLanguage(in.Language, &bad)
	}
	if in.Languages.Sent() {
		list, ok := in.Languages.Texts()
		if !ok {
			bad.Add("additional_languages", in.Languages, "")
		}
		if u.Languages, err = httpapi.MoreLanguages(u.Language, list); err != nil {
			bad.Add("additional_languages", in.Languages, err.Error())
		}
	}
	dev = in.name(&bad)
	return u, dev, bad.Err()
}
