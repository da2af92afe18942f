package group

import (
	"context"
	"fmt"
	"strconv"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/store"
)

// The settings that hold. router/chat reads the first.
const (
	onlyAdminsSend = "only_admins_can_send"
	onlyAdminsEdit = "only_admins_can_edit_info"
	onlyAdminsAdd  = "only_admins_can_add_members"
)

const (
	maxSettingKey   = 64  // bytes
	maxSettingValue = 256 // bytes
)

// defaults are the settings of a group in which none was set. All of these keys are booleans; others are
// texts of the clients' own, which nothing here acts on.
func defaults() map[string]bool {
	return map[string]bool{
		onlyAdminsSend: false, onlyAdminsEdit: true, onlyAdminsAdd: false,
		"send_messages": true, "edit_group_info": false, "add_members": false,
	}
}

// holds reports whether a boolean setting of g is on.
func holds(g *store.Group, key string) bool {
	if v, ok := g.Settings[key]; ok {
		return v == "true"
	}
	return defaults()[key]
}

// view gives the settings as clients read them: what was set over the defaults, booleans as booleans.
func view(stored map[string]string) map[string]any {
	out := make(map[string]any, len(stored)+6)
	for k, v := range defaults() {
		out[k] = v
	}
	for k, v := range stored {
		switch v {
		case "true":
			out[k] = true
		case "false":
			out[k] = false
		default:
			out[k] = v
		}
	}
	return out
}

type (
	settingsIn struct {
		Group    id.Thread      `path:"groupId" missing:"Group not found" json:"-"`
		UserID   id.User        `json:"userId"`
		Settings map[string]any `json:"settings"`
	}
	settingsOut struct {
		Success  bool           `json:"success"`
		Message  string         `json:"message"`
		Settings map[string]any `json:"settings"`
	}
)

// set merges settings into those of a group, key by key.
func (s *Service) set(ctx context.Context, c httpapi.Caller, in settingsIn) (settingsOut, error) {
	if in.Settings == nil {
		return settingsOut{}, proto.BadField("settings", "User ID and settings are required")
	}
	if err := sameActor(in.UserID, c.User, "userId"); err != nil {
		return settingsOut{}, err
	}
	patch, err := s.parseSettings(in.Settings)
	if err != nil {
		return settingsOut{}, err
	}
	g, err := s.admin(ctx, in.Group, c.User, "Only admins can update group settings")
	if err != nil {
		return settingsOut{}, err
	}
	keys := len(g.Settings)
	for k := range patch {
		if _, old := g.Settings[k]; !old {
			keys++
		}
	}
	if keys > s.cfg.MaxSettings {
		return settingsOut{}, proto.BadField("settings", fmt.Sprintf("a group has at most %d settings", s.cfg.MaxSettings))
	}
	if len(patch) > 0 {
		if g, err = s.groups.Update(ctx, in.Group, store.GroupPatch{Settings: patch}); err != nil {
			return settingsOut{}, notFound(err, "", "Group not found")
		}
		s.rooms.GroupChanged(in.Group)
	}
	return settingsOut{Success: true, Message: "Group settings updated successfully", Settings: view(g.Settings)}, nil
}

// parseSettings turns the JSON values of a request into the strings that are kept.
func (s *Service) parseSettings(in map[string]any) (map[string]string, error) {
	if len(in) > s.cfg.MaxSettings {
		return nil, proto.BadField("settings", fmt.Sprintf("a group has at most %d settings", s.cfg.MaxSettings))
	}
	known, out := defaults(), make(map[string]string, len(in))
	for k, v := range in {
		if k == "" || len(k) > maxSettingKey {
			return nil, proto.BadField("settings", fmt.Sprintf("a setting's name has 1 to %d bytes", maxSettingKey))
		}
		var text string
		switch v := v.(type) {
		case bool:
			text = strconv.FormatBool(v)
		case string:
			text = v
		case float64:
			text = strconv.FormatFloat(v, 'f', -1, 64)
		default:
			return nil, proto.BadField("settings."+k, "a setting is a boolean, a text or a number")
		}
		if _, boolean := known[k]; boolean && text != "true" && text != "false" {
			return nil, proto.BadField("settings."+k, "this setting is true or false")
		}
		if len(text) > maxSettingValue {
			return nil, proto.BadField("settings."+k, fmt.Sprintf("a setting has at most %d bytes", maxSettingValue))
		}
		out[k] = text
	}
	return out, nil
}
