package chat

import (
	"context"
	"errors"
	"fmt"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

type (
	settingsIn struct {
		Thread id.Thread `path:"threadId" missing:"Thread not found" json:"-"`
	}
	setSettingsIn struct {
		Thread                 id.Thread `path:"threadId" missing:"Thread not found" json:"-"`
		PreferredLanguage      *string   `json:"preferredLanguage"`
		ShowOriginal           *bool     `json:"showOriginal"`
		EnableEmotionDetection *bool     `json:"enableEmotionDetection"`
	}
	settingsOut struct {
		Success  bool     `json:"success"`
		Settings settings `json:"settings"`
	}
	settings struct {
		PreferredLanguage      string `json:"preferredLanguage"` // empty = the reader's own
		ShowOriginal           bool   `json:"showOriginal"`
		EnableEmotionDetection bool   `json:"enableEmotionDetection"`
	}
)

// Validate refuses a language that is not spoken here. An empty one takes the wish back.
func (in *setSettingsIn) Validate() error {
	if l := in.PreferredLanguage; l != nil && *l != "" && !spoken(*l) {
		return proto.BadField("preferredLanguage", "preferredLanguage is not a supported language code")
	}
	return nil
}

func (s *Service) settings(ctx context.Context, c httpapi.Caller, in settingsIn) (settingsOut, error) {
	if err := s.rules.Member(ctx, in.Thread, c.User); err != nil {
		return settingsOut{}, err
	}
	got, err := s.threads.Settings(ctx, in.Thread, c.User)
	if err != nil {
		return settingsOut{}, fmt.Errorf("read thread settings: %w", err)
	}
	return settingsOf(got), nil
}

// setSettings changes the settings that were sent and leaves the others as they are.
func (s *Service) setSettings(ctx context.Context, c httpapi.Caller, in setSettingsIn) (settingsOut, error) {
	if err := s.rules.Member(ctx, in.Thread, c.User); err != nil {
		return settingsOut{}, err
	}
	got, err := s.threads.SetSettings(ctx, in.Thread, c.User, store.ThreadSettingsPatch{
		PreferredLanguage: in.PreferredLanguage, ShowOriginal: in.ShowOriginal, DetectEmotion: in.EnableEmotionDetection,
	})
	if err != nil {
		return settingsOut{}, fmt.Errorf("write thread settings: %w", err)
	}
	return settingsOf(got), nil
}

func settingsOf(t store.ThreadSettings) settingsOut {
	return settingsOut{Success: true, Settings: settings{
		PreferredLanguage: t.PreferredLanguage, ShowOriginal: t.ShowOriginal, EnableEmotionDetection: t.DetectEmotion,
	}}
}

type (
	readIn struct {
		Thread id.Thread `path:"threadId" missing:"Thread not found" json:"-"`
		UserID id.User   `json:"userId"`
		Seq    *uint64   `json:"seq"` // absent = all there is
	}
	readOut struct {
		Success bool `json:"success"`
	}
)

// read moves the caller's cursor, to the head where no position is named.
func (s *Service) read(ctx context.Context, c httpapi.Caller, in readIn) (readOut, error) {
	if !in.UserID.IsZero() && in.UserID != c.User {
		return readOut{}, &proto.Error{Code: proto.Forbidden, Field: "userId", Message: "Unauthorized"}
	}
	if err := s.rules.Member(ctx, in.Thread, c.User); err != nil {
		return readOut{}, err
	}
	var to uint64
	if in.Seq != nil {
		to = *in.Seq
	} else {
		t, err := s.threads.Get(ctx, in.Thread)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return readOut{}, fmt.Errorf("read thread: %w", err)
		}
		to = t.Head
	}
	if to == 0 {
		return readOut{Success: true}, nil
	}
	return readOut{Success: true}, s.rules.MarkRead(ctx, c.User, in.Thread, to)
}
