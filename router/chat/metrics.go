package chat

import "github.com/prometheus/client_golang/prometheus"

// sendResult says what became of a message.
type sendResult uint8

const (
	sendNew       sendResult = iota // written and delivered
	sendDuplicate                   // acked again
	sendFailed                      // the log refused it
	sendRefused                     // it broke a rule
	sendResults
)

func (r sendResult) String() string {
	switch r {
	case sendNew:
		return "new"
	case sendDuplicate:
		return "duplicate"
	case sendFailed:
		return "failed"
	default:
		return "refused"
	}
}

// resumeResult says how a resume, or one thread of it, ended.
type resumeResult uint8

const (
	resumeComplete resumeResult = iota // all threads, or this one, to the head
	resumeCut                          // over a limit: complete is false
	resumeGone                         // the connection was closed meanwhile
	resumeRefused                      // another was under way, or too many
	resumeResults
)

func (r resumeResult) String() string {
	switch r {
	case resumeComplete:
		return "complete"
	case resumeCut:
		return "cut"
	case resumeGone:
		return "gone"
	default:
		return "refused"
	}
}

type metrics struct {
	sends      [sendResults]prometheus.Counter
	resumes    [resumeResults]prometheus.Counter
	backfilled prometheus.Counter
	overflows  prometheus.Counter
	refused    prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	vec := func(name, help string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{"result"})
		reg.MustRegister(c)
		return c
	}
	m := &metrics{
		backfilled: counter("tolkflip_chat_backfilled_total", "Messages sent in answer to a resume."),
		overflows:  counter("tolkflip_chat_resume_overflows_total", "Holds that overflowed during a resume."),
		refused:    counter("tolkflip_chat_refused_total", "Requests of sockets, other than messages, that were refused."),
	}
	sends := vec("tolkflip_chat_messages_total", "Messages by what became of them.")
	for r := range sendResults {
		m.sends[r] = sends.WithLabelValues(r.String())
	}
	resumes := vec("tolkflip_chat_resumes_total", "Resumes by how they ended.")
	for r := range resumeResults {
		m.resumes[r] = resumes.WithLabelValues(r.String())
	}
	return m
}
