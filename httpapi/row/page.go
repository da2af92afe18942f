package row

import "github.com/tolkflip/tolkflip/proto/id"

type (
	// MessagePage is a page of a thread, newest first unless it was asked for otherwise. PageState asks
	// for the messages before it; null where nothing is older.
	MessagePage struct {
		Success   bool      `json:"success"`
		Messages  []Message `json:"messages"`
		PageState *string   `json:"pageState"`
	}
	// ThreadPage is a page of a user's threads, most recent first. PageState asks for the next one.
	ThreadPage struct {
		Success   bool     `json:"success"`
		Threads   []Thread `json:"threads"`
		PageState *string  `json:"pageState"`
	}
	// MessageQuery says which messages of a thread are asked for.
	MessageQuery struct {
		Thread    id.Thread
		Limit     int    // 0 = 50; more than 200 counts as 200
		PageState string // empty = from the newest
		Since     int64  // Unix milliseconds: none that were sent before; 0 = all
	}
)
