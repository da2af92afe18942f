package chat

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/router"
	"github.com/tolkflip/tolkflip/store"
)

// Config bounds what the rules keep and send.
type Config struct {
	SmallGroup     int           // members up to which a group has typing and receipts
	KnownUsers     int           // users whose existence and language are remembered, about 80 bytes each
	KnownThreads   int           // threads whose participants are remembered, about 90 bytes each
	UserFor        time.Duration // how long what is known of a user is believed; a block elsewhere takes that long at most
	SettingsFor    time.Duration // how long a group's settings are believed
	ResumeThreads  int           // threads of all resumes under way together, about 100 bytes each
	ResumePage     int           // messages read at once
	ResumeMessages int           // of one thread, then complete is false
	ResumeBytes    int           // of one thread, then complete is false
	ResumeRounds   int           // holds that may overflow, then complete is false
	Rooms          router.RoomsConfig
}

// Default is a Config for most servers.
func Default() Config {
	return Config{
		SmallGroup:     500,
		KnownUsers:     256 << 10,
		KnownThreads:   256 << 10,
		UserFor:        30 * time.Second,
		SettingsFor:    5 * time.Second,
		ResumeThreads:  1 << 20,
		ResumePage:     200,
		ResumeMessages: 1000,
		ResumeBytes:    1 << 20,
		ResumeRounds:   3,
		Rooms:          router.DefaultRooms(),
	}
}

// Validate reports what is wrong with c.
func (c Config) Validate() error {
	for _, f := range []struct {
		name  string
		value int
	}{
		{"SmallGroup", c.SmallGroup},
		{"KnownUsers", c.KnownUsers},
		{"KnownThreads", c.KnownThreads},
		{"UserFor", int(c.UserFor)},
		{"SettingsFor", int(c.SettingsFor)},
		{"ResumeThreads", c.ResumeThreads},
		{"ResumePage", c.ResumePage},
		{"ResumeMessages", c.ResumeMessages},
		{"ResumeBytes", c.ResumeBytes},
		{"ResumeRounds", c.ResumeRounds},
	} {
		if f.value < 1 {
			return fmt.Errorf("chat: %s is %d, want at least 1", f.name, f.value)
		}
	}
	return c.Rooms.Validate()
}

// Stores are what the rules keep things in.
type Stores struct {
	Log     store.Log
	Threads store.Threads
	Users   store.Users
	Groups  store.Groups
	Members store.Members
	Cursors store.Cursors
}

// Service is the rules. Its methods may be called from many goroutines at once. Those that take a
// router.Caller answer over the Sink and are what a socket calls, on a worker, one at a time for a
// connection; the others are what REST calls, and their errors are *proto.Error. It has no goroutine of
// its own and needs no end.
type Service struct {
	// Fixed after construction.
	cfg     Config
	router  *router.Router
	sink    router.Sink
	replay  router.Replayer
	rooms   *router.Rooms
	store   Stores
	log     *slog.Logger
	metrics *metrics
	now     func() time.Time
	base    context.Context //nolint:containedctx // sockets have none: stores bound their own waiting

	sendings sync.Pool // *sending
	tellings sync.Pool // *telling

	people   *cache[id.User, person]
	places   *cache[id.Thread, place]
	settings *cache[id.Thread, setting]
	resumes  resumes
}

// New makes the rules over r, whose Sink and replay are the same loops. It must be called before r's
// first Attach.
func New(cfg Config, r *router.Router, replay router.Replayer, st Stores, log *slog.Logger, reg prometheus.Registerer) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Service{
		cfg:      cfg,
		router:   r,
		sink:     r.Sink(),
		replay:   replay,
		rooms:    router.NewRooms(cfg.Rooms, r, st.Members),
		store:    st,
		log:      log,
		metrics:  newMetrics(reg),
		now:      time.Now,
		base:     context.Background(),
		people:   newCache[id.User, person](cfg.KnownUsers),
		places:   newCache[id.Thread, place](cfg.KnownThreads),
		settings: newCache[id.Thread, setting](4096),
	}
	s.sendings.New = func() any { return newSending(s) }
	s.tellings.New = func() any { return new(telling) }
	s.resumes.mu.active = make(map[router.Conn]struct{})
	return s, nil
}
