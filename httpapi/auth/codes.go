package auth

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto"
	"github.com/tolkflip/tolkflip/store"
)

type requestIn struct {
	Phone httpapi.Value `json:"phone_number"`
}

type requestOut struct {
	Success   bool   `json:"success"`
	Message   string `json:"message"`
	ExpiresIn int    `json:"expiresIn"` // seconds
	Code      string `json:"code,omitempty"`
}

// noProvider is what one reads who waits for an SMS that nobody can send.
const noProvider = "Verification codes cannot be sent: no SMS provider is configured (for development, start with --dev)"

// requestCode makes a code and sends it. What it answers does not depend on whether the phone has an account.
func (s *service) requestCode(ctx context.Context, c httpapi.Caller, in requestIn) (requestOut, error) {
	var none requestOut
	phone, ok := s.phone(in.Phone)
	if !ok {
		return none, badPhone(in.Phone)
	}
	if s.deps.SMS == nil && !s.cfg.Dev {
		return none, httpapi.Refuse(503, proto.Busy, noProvider)
	}
	out := requestOut{Success: true, Message: "Verification code sent", ExpiresIn: int(s.cfg.CodeLife / time.Second)}
	held, err := s.held(ctx, phone)
	if err != nil {
		return none, err
	}
	if held {
		s.metrics.code(codeHeld)
		return out, nil
	}
	if err := s.mayAsk(ctx, c, phone); err != nil {
		return none, err
	}
	code, err := newCode()
	if err != nil {
		return none, err
	}
	if err := s.deps.Codes.Put(ctx, phone, code, s.cfg.CodeLife, s.cfg.CodeTries); err != nil {
		return none, fmt.Errorf("keep a code: %w", err)
	}
	if err := s.send(ctx, phone, code); errors.Is(err, ErrNumber) {
		return none, badPhone(in.Phone)
	} else if err != nil {
		return none, err
	}
	s.metrics.code(codeSent)
	if s.cfg.Dev {
		s.log.Info("verification code", slog.String("code", code))
		out.Code = code
	}
	return out, nil
}

func badPhone(v httpapi.Value) error {
	var bad httpapi.FieldErrors
	bad.Add("phone_number", v, "Invalid phone number format")
	return bad.Err()
}

// failedSend is the place of a grant that lets the next request past the gap: the last one sent nothing.
const failedSend = "failed send"

// held reports whether a code was sent to the phone within the gap.
func (s *service) held(ctx context.Context, phone string) (bool, error) {
	if s.cfg.Dev {
		return false, nil
	}
	got, err := s.deps.Limits.Take(ctx, "code gap:"+phone, 1, s.cfg.ResendGap)
	if err != nil {
		return false, fmt.Errorf("count codes: %w", err)
	}
	if got.OK {
		return false, nil
	}
	failed, err := s.deps.Codes.Granted(ctx, phone, failedSend, true)
	if err != nil {
		return false, fmt.Errorf("look for a failed send: %w", err)
	}
	return !failed, nil
}

// mayAsk counts a code against the phone's and the address's limits.
func (s *service) mayAsk(ctx context.Context, c httpapi.Caller, phone string) error {
	type limit struct {
		key    string
		most   int
		window time.Duration
	}
	limits := []limit{
		{"code hour:" + phone, s.cfg.CodesPerHour, time.Hour},
		{"code day:" + phone, s.cfg.CodesPerDay, 24 * time.Hour},
	}
	if !s.cfg.Dev || !c.Address.IsLoopback() {
		limits = append(limits, limit{"code address:" + httpapi.AddressKey(c.Address), s.cfg.CodesPerAddress, time.Hour})
	}
	for _, l := range limits {
		got, err := s.deps.Limits.Take(ctx, l.key, l.most, l.window)
		if err != nil {
			return fmt.Errorf("count codes: %w", err)
		}
		if !got.OK {
			s.metrics.code(codeLimited)
			return httpapi.RefuseFor("Too many verification codes requested, please try again later", got.Reset)
		}
	}
	return nil
}

// send gives the code to the provider. After a failure the next request may send at once.
func (s *service) send(ctx context.Context, phone, code string) error {
	if s.deps.SMS == nil {
		return nil
	}
	err := s.deps.SMS.Send(ctx, phone, "Your Tolkflip verification code is: "+code)
	if err == nil {
		return nil
	}
	s.metrics.code(codeFailed)
	if g := s.deps.Codes.Grant(ctx, phone, failedSend, s.cfg.ResendGap); g != nil {
		err = errors.Join(err, g)
	}
	return fmt.Errorf("send a code: %w", err)
}

// newCode draws one of the million codes, each as likely as any other.
func newCode() (string, error) {
	const codes = 1_000_000
	const fair = (1<<32 - 1) / codes * codes // above it the low codes would come more often
	for {
		var b [4]byte
		if _, err := rand.Read(b[:]); err != nil {
			return "", fmt.Errorf("draw a code: %w", err)
		}
		if n := binary.LittleEndian.Uint32(b[:]); n < fair {
			return fmt.Sprintf("%06d", n%codes), nil
		}
	}
}

// guess is the text that is tried as a code. A JSON number counts as a try and is never right, since the
// text that was sent may begin with a zero.
func guess(v httpapi.Value) (text string, ok bool) {
	if text, ok = v.Text(); ok {
		return text, len([]rune(text)) == 6
	}
	if text, ok = v.Number(); ok {
		return "number " + text, len(text) == 6
	}
	return "", false
}

// wrongCode tells how many tries remain.
type wrongCode struct{ left int }

func (e wrongCode) Error() string { return "Invalid verification code" }

// Reply gives 400.
func (e wrongCode) Reply() (int, any) {
	return 400, struct {
		httpapi.Problem
		Left int `json:"attemptsRemaining"`
	}{httpapi.Problem{Error: e.Error(), Code: proto.Invalid.String(), Field: "code"}, e.left}
}

// try judges a code: nil, or the rung of the ladder 400 (2 left), 400 (1), 400 (0), 429, 400 expired.
func (s *service) try(ctx context.Context, phone, code string) error {
	v, err := s.deps.Codes.Try(ctx, phone, code)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && v.Expired:
		s.metrics.code(codeExpired)
		return httpapi.Refuse(400, proto.Invalid, "Verification code expired")
	case err != nil:
		return fmt.Errorf("try a code: %w", err)
	case v.OK:
		s.metrics.code(codeRight)
		return nil
	case v.TooMany:
		s.metrics.code(codeTooOften)
		return httpapi.Refuse(429, proto.TooMany, "Too many failed attempts")
	default:
		s.metrics.code(codeWrong)
		return wrongCode{v.Left}
	}
}

// phone reads a number or a string, as the apps send either.
func (s *service) phone(v httpapi.Value) (string, bool) {
	text, ok := v.Text()
	if !ok {
		if text, ok = v.Number(); !ok {
			return "", false
		}
	}
	return httpapi.Phone(text, s.cfg.Region)
}
