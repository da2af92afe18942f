package chat

import (
	"context"
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

// Validate refuses a language that translation does not know. An empty one takes the wish back.
func (in *setSettingsIn) Validate() error {
	l := in.PreferredLanguage
	if l == nil || *l == "" {
		return nil
	}
	code, ok := httpapi.LanguageCode(*l)
	if !ok {
		return proto.BadField("preferredLanguage", httpapi.ErrLanguage.Error())
	}
	in.PreferredLanguage = &code
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
