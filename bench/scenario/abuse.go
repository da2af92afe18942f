package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/tolkflip/tolkflip/bench/floor"
	"github.com/tolkflip/tolkflip/bench/report"
	"github.com/tolkflip/tolkflip/bench/users"
)

// AbuseConfig is clients that behave badly, one kind after the other, while pairs write to each other. A quiet level comes before
// each kind, so that a ratio compares neighbours in time.
type AbuseConfig struct {
	Options  `json:"-"`
	Kinds    []string      `json:"kinds"`
	Pairs    int           `json:"pairs"`
	Rate     float64       `json:"rate"`
	Content  int           `json:"content_bytes"`
	WarmUp   time.Duration `json:"warm_up"` // after the abuse began
	Duration time.Duration `json:"duration"`
}

// DefaultAbuse is every kind, beside 50 pairs.
func DefaultAbuse() AbuseConfig {
	return AbuseConfig{Kinds: AbuseKinds(), Pairs: 50, Rate: 500, Content: 200, WarmUp: time.Second, Duration: 5 * time.Second}
}

// AbuseKinds names every kind, with what it does beside it in [mischiefs].
func AbuseKinds() []string {
	var names []string
	for _, m := range mischiefs() {
		names = append(names, m.name)
	}
	return names
}

// Validate checks it.
func (c AbuseConfig) Validate() error {
	for _, k := range c.Kinds {
		if !slices.Contains(AbuseKinds(), k) {
			return fmt.Errorf("--kind %s is none of %s", k, strings.Join(AbuseKinds(), ", "))
		}
	}
	if c.Pairs < 1 || c.Rate <= 0 || c.Duration <= 0 || c.WarmUp < 0 || c.Content < minContent {
		return errors.New("--pairs, --rate and --duration must be positive, --content holds a stamp")
	}
	return c.Options.Validate(true)
}

// AbuseRow is one kind.
type AbuseRow struct {
	Kind        string         `json:"kind"`
	Connections int            `json:"connections"`
	Quiet       Level          `json:"quiet"`
	Meanwhile   Level          `json:"meanwhile"`
	Ratio       float64        `json:"p99_ratio"`
	Ends        map[string]int `json:"ends"` // how the abusers' connections ended, and how many live
	Dialed      int            `json:"dialed"`
	MB          float64        `json:"sent_mb"`
}

// AbuseResult is all kinds.
type AbuseResult struct {
	Rows []AbuseRow `json:"rows"`
}

// RunAbuse tries one kind after the other.
func RunAbuse(ctx context.Context, c AbuseConfig) (*AbuseResult, error) {
	s, err := c.Open(ctx, Ours, floor.Config{})
	if err != nil {
		return nil, err
	}
	r := &AbuseResult{}
	err = c.on(ctx, s, r)
	return r, errors.Join(err, s.Close())
}

func (c AbuseConfig) on(ctx context.Context, s *Subject, r *AbuseResult) error {
	abusers := 0
	for _, m := range mischiefs() {
		if m.authenticated {
			abusers = max(abusers, m.count)
		}
	}
	people, err := s.People(ctx, 2*c.Pairs+abusers)
	if err != nil {
		return err
	}
	config := DefaultChat()
	config.Options, config.Pairs, config.Content = c.Options, c.Pairs, c.Content
	config.Loops, config.Progress = 1, nil
	config.WarmUp, config.Duration = c.WarmUp, c.Duration
	chat := &chatRun{config: config, subject: s, zero: time.Now()}
	if err := chat.connect(ctx, people[:2*c.Pairs]); err != nil {
		return err
	}
	defer chat.crowd.close()
	for _, m := range mischiefs() {
		if !slices.Contains(c.Kinds, m.name) {
			continue
		}
		c.say("abuse: %s", m.name)
		row, e := c.row(ctx, s, chat, m, people[2*c.Pairs:])
		r.Rows = append(r.Rows, row)
		if err = errors.Join(err, e); ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (c AbuseConfig) row(ctx context.Context, s *Subject, chat *chatRun, m mischief, people []users.User) (row AbuseRow, err error) {
	row = AbuseRow{Kind: m.name, Connections: m.count}
	if row.Quiet, err = chat.level(ctx, c.Rate); err != nil {
		return row, err
	}
	a, err := startAbuse(s, m, people)
	if err != nil {
		return row, err
	}
	row.Meanwhile, err = chat.level(ctx, c.Rate)
	row.Ends, row.Dialed, row.MB = a.end(ctx)
	if row.Quiet.Receive.P99 > 0 {
		row.Ratio = row.Meanwhile.Receive.P99 / row.Quiet.Receive.P99
	}
	for _, l := range []*Level{&row.Quiet, &row.Meanwhile} {
		if e := l.verdict(); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", m.name, e))
		}
		if l.Gone > 0 {
			err = errors.Join(err, &report.BrokenError{Reason: fmt.Sprintf("%s: %d bystanders lost their connection: %s", m.name, l.Gone, l.Why)})
		}
	}
	return row, err
}

// Tables shows the kinds.
func (r *AbuseResult) Tables() []report.Table {
	t := report.Table{
		Title: "pairs beside abusers, send to receive, ms",
		Head:  []string{"kind", "connections", "quiet p50", "p99", "meanwhile p50", "p99", "p99 ratio", "lost", "refused", "RSS MB", "sent MB", "abusers ended"},
	}
	for i := range r.Rows {
		row := &r.Rows[i]
		var ends []string
		for how, n := range row.Ends {
			ends = append(ends, fmt.Sprintf("%s: %d", how, n))
		}
		sort.Strings(ends)
		t.Rows = append(t.Rows, []string{
			row.Kind, report.Count(int64(row.Connections)), report.Number(row.Quiet.Receive.P50), report.Number(row.Quiet.Receive.P99),
			report.Number(row.Meanwhile.Receive.P50), report.Number(row.Meanwhile.Receive.P99), report.Number(row.Ratio),
			report.Count(row.Meanwhile.Lost), report.Count(row.Meanwhile.Refused), report.Number(float64(row.Meanwhile.RSS) / (1 << 20)),
			report.Number(row.MB), strings.Join(ends, ", "),
		})
	}
	return []report.Table{t}
}
