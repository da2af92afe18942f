package auth

import "github.com/prometheus/client_golang/prometheus"

// codeEvent is what became of a verification code.
type codeEvent uint8

const (
	codeSent     codeEvent = iota // given to the SMS provider, or shown by --dev
	codeHeld                      // not sent: the one before is younger than the gap
	codeLimited                   // not sent: over a limit
	codeFailed                    // the provider did not take it
	codeRight                     // tried, right
	codeWrong                     // tried, wrong
	codeExpired                   // tried, and there was none
	codeTooOften                  // tried once too often; it is gone
	codeEvents
)

// String is the event as a label.
func (e codeEvent) String() string {
	return [...]string{"sent", "held", "limited", "failed", "right", "wrong", "expired", "too_often"}[e]
}

// sessionEvent is what became of a session.
type sessionEvent uint8

const (
	sessionOpened    sessionEvent = iota
	sessionCreated                // with a new account
	sessionRefreshed              // a new access token
	sessionRotated                // and a new refresh token
	sessionReused                 // ended: an old refresh token came again
	sessionEnded                  // logged out
	sessionBlocked                // refused: the user is blocked
	sessionEvents
)

// String is the event as a label.
func (e sessionEvent) String() string {
	return [...]string{"opened", "created", "refreshed", "rotated", "reused", "ended", "blocked"}[e]
}

type metrics struct {
	codes    [codeEvents]prometheus.Counter
	sessions [sessionEvents]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{}
	codes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tolkflip_auth_codes_total", Help: "Verification codes, by what became of them.",
	}, []string{"event"})
	sessions := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "tolkflip_auth_sessions_total", Help: "Sessions, by what became of them.",
	}, []string{"event"})
	for e := range codeEvents {
		m.codes[e] = codes.WithLabelValues(e.String())
	}
	for e := range sessionEvents {
		m.sessions[e] = sessions.WithLabelValues(e.String())
	}
	reg.MustRegister(codes, sessions)
	return m
}

func (m *metrics) code(e codeEvent)       { m.codes[e].Inc() }
func (m *metrics) session(e sessionEvent) { m.sessions[e].Inc() }
