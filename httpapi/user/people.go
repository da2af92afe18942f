package user

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

type searchIn struct {
	Phone string `query:"phone" json:"-"`
}

// search finds who has a phone number. Who asks knows the number, so it is in the answer.
func (s *service) search(ctx context.Context, c httpapi.Caller, in searchIn) (updateOut, error) {
	var none updateOut
	if strings.TrimSpace(in.Phone) == "" {
		return none, proto.BadField("phone", "Phone number required")
	}
	got, err := s.deps.Limits.Take(ctx, "search:"+c.User.String(), s.cfg.SearchesPerDay, 24*time.Hour)
	if err != nil {
		return none, fmt.Errorf("count searches: %w", err)
	}
	if !got.OK {
		return none, httpapi.RefuseFor("Too many searches, please try again later", got.Reset)
	}
	for _, phone := range s.readings(in.Phone) {
		u, err := s.deps.Users.ByPhone(ctx, phone)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return none, fmt.Errorf("find a phone: %w", err)
		}
		return updateOut{true, httpapi.PersonOf(u, true)}, nil
	}
	return none, noUser()
}

// readings are the numbers that a query may mean: a raw + in it arrived as a space.
func (s *service) readings(text string) []string {
	var list []string
	if strings.HasPrefix(text, " ") {
		if phone, ok := httpapi.Phone("+"+strings.TrimSpace(text), s.cfg.Region); ok {
			list = append(list, phone)
		}
	}
	if phone, ok := httpapi.Phone(text, s.cfg.Region); ok && (len(list) == 0 || list[0] != phone) {
		list = append(list, phone)
	}
	return list
}

type contactsOut struct {
	Success  bool             `json:"success"`
	Contacts []httpapi.Person `json:"contacts"`
}

// contacts are the people whom the caller writes with, the most recent first. Those without an account
// any more are left out.
func (s *service) contacts(ctx context.Context, c httpapi.Caller, _ struct{}) (contactsOut, error) {
	peers, err := s.deps.Peers.Peers(ctx, c.User, s.cfg.Contacts)
	if err != nil {
		return contactsOut{}, fmt.Errorf("list peers: %w", err)
	}
	out := contactsOut{Success: true, Contacts: make([]httpapi.Person, 0, len(peers))}
	seen := make(map[id.User]bool, len(peers))
	for _, peer := range peers {
		if seen[peer] || peer == c.User {
			continue
		}
		seen[peer] = true
		u, err := s.get(ctx, peer)
		var gone *proto.Error
		if errors.As(err, &gone) && gone.Code == proto.NotFound {
			continue
		}
		if err != nil {
			return contactsOut{}, err
		}
		out.Contacts = append(out.Contacts, httpapi.PersonOf(u, true))
	}
	return out, nil
}

type deviceIn struct {
	Token    string `json:"token"`
	Platform string `json:"platform"`
}

// maxToken is the longest push token, in bytes.
const maxToken = 4096

// apns marks the tokens of Apple's service, however they were sent.
const apns = "apns:"

// Validate reads the platform: ios by name or by its mark, else android.
func (in *deviceIn) Validate() error {
	if in.Token == "" || in.Token == apns {
		return proto.BadField("token", "User ID and token required")
	}
	if len(in.Token) > maxToken || !httpapi.Printable(in.Token) {
		return proto.BadField("token", "token is invalid")
	}
	marked := strings.HasPrefix(in.Token, apns)
	if strings.EqualFold(in.Platform, "ios") || marked {
		in.Platform = "ios"
		if !marked {
			in.Token = apns + in.Token
		}
		return nil
	}
	in.Platform = "android"
	return nil
}

// addDevice notes where to push to. The token leaves whoever had it before; over the limit the user's
// oldest goes.
func (s *service) addDevice(ctx context.Context, c httpapi.Caller, in deviceIn) (successOut, error) {
	var none successOut
	if _, err := s.get(ctx, c.User); err != nil {
		return none, err
	}
	d := store.Device{User: c.User, Token: in.Token, Platform: in.Platform, Added: s.deps.Now().UnixMilli()}
	if err := s.deps.Devices.Put(ctx, d); err != nil {
		return none, fmt.Errorf("keep a device: %w", err)
	}
	list, err := s.deps.Devices.List(ctx, c.User)
	if err != nil {
		return none, fmt.Errorf("list devices: %w", err)
	}
	for ; len(list) > s.cfg.Devices; list = list[1:] {
		if err := s.deps.Devices.Remove(ctx, c.User, list[0].Token); err != nil {
			return none, fmt.Errorf("remove a device: %w", err)
		}
	}
	return successOut{true}, nil
}
