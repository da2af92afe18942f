package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// SMS sends text messages.
type SMS interface {
	// Send gives one text to the provider. ErrNumber says that the number cannot get one. No error
	// repeats the number or the text.
	Send(ctx context.Context, to, text string) error
}

// ErrNumber is a number that the provider cannot send to.
var ErrNumber = errors.New("sms: the number cannot receive messages")

// TwilioConfig is an account at Twilio.
type TwilioConfig struct {
	AccountSID string
	AuthToken  string // a secret
	From       string // the sending number, E.164
	BaseURL    string // the API's address
	Timeout    time.Duration
}

// DefaultTwilio lacks only the account.
func DefaultTwilio() TwilioConfig {
	return TwilioConfig{BaseURL: "https://api.twilio.com", Timeout: 10 * time.Second}
}

// Validate says what is missing.
func (c TwilioConfig) Validate() error {
	if c.AccountSID == "" || c.AuthToken == "" || c.From == "" {
		return errors.New("twilio: account SID, auth token and sending number are needed")
	}
	if u, err := url.Parse(c.BaseURL); err != nil || u.Host == "" {
		return errors.New("twilio: the base URL is not one")
	}
	if c.Timeout <= 0 {
		return errors.New("twilio: the time-out must be above 0")
	}
	return nil
}

// Twilio sends through Twilio's REST API (Messages resource, version 2010-04-01).
type Twilio struct {
	cfg    TwilioConfig
	client *http.Client
}

// NewTwilio makes a sender.
func NewTwilio(cfg TwilioConfig) (*Twilio, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // net/http says so
	transport.MaxConnsPerHost = 16
	return &Twilio{cfg: cfg, client: &http.Client{
		Timeout: cfg.Timeout, Transport: transport,
		// The form must not go anywhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close ends idle connections.
func (t *Twilio) Close() { t.client.CloseIdleConnections() }

// Send creates one message. It does not repeat a failed one: the person will ask again.
func (t *Twilio) Send(ctx context.Context, to, text string) error {
	form := url.Values{"To": {to}, "From": {t.cfg.From}, "Body": {text}}
	address := strings.TrimSuffix(t.cfg.BaseURL, "/") + "/2010-04-01/Accounts/" + url.PathEscape(t.cfg.AccountSID) + "/Messages.json"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return errors.New("twilio: the request cannot be made")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(t.cfg.AccountSID, t.cfg.AuthToken)
	res, err := t.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the address
		}
		return fmt.Errorf("twilio: %w", err)
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	return outcome(res)
}

// outcome reads Twilio's answer. Its message may hold the number, so only codes are repeated.
func outcome(res *http.Response) error {
	const most = 64 << 10
	body, err := io.ReadAll(io.LimitReader(res.Body, most))
	if res.StatusCode/100 == 2 {
		return nil
	}
	var said struct {
		Code int `json:"code"`
	}
	if err != nil || json.Unmarshal(body, &said) != nil {
		return fmt.Errorf("twilio: status %d", res.StatusCode)
	}
	switch said.Code {
	case 21211, 21214, 21217, 21407, 21610, 21612, 21614: // not a number, not a mobile one, or it opted out
		return fmt.Errorf("twilio: code %d: %w", said.Code, ErrNumber)
	}
	return fmt.Errorf("twilio: status %d, code %d", res.StatusCode, said.Code)
}
