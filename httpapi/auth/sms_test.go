package auth

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func twilio(t *testing.T, h http.HandlerFunc) *Twilio {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	cfg := DefaultTwilio()
	cfg.AccountSID, cfg.AuthToken, cfg.From, cfg.BaseURL = "AC1", "s3cret", "+15550000", server.URL+"/"
	tw, err := NewTwilio(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tw.Close)
	return tw
}

func TestTwilioSends(t *testing.T) {
	t.Parallel()
	tw := twilio(t, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if err := r.ParseForm(); err != nil || r.Method != "POST" || r.URL.Path != "/2010-04-01/Accounts/AC1/Messages.json" ||
			user != "AC1" || password != "s3cret" || r.PostForm.Get("To") != "+12025550123" || r.PostForm.Get("From") != "+15550000" ||
			r.PostForm.Get("Body") != "hello & goodbye" || len(r.PostForm) != 3 {
			t.Errorf("%s %s %v %v", r.Method, r.URL, r.PostForm, err)
		}
		w.WriteHeader(201)
		_, _ = io.WriteString(w, `{"sid":"SM1","status":"queued"}`)
	})
	if err := tw.Send(context.Background(), "+12025550123", "hello & goodbye"); err != nil {
		t.Error(err)
	}
}

func TestTwilioErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		status int
		body   string
		number bool
		want   string
	}{
		{"not a number", 400, `{"code":21211,"message":"The 'To' number +12025550123 is not valid."}`, true, "21211"},
		{"landline", 400, `{"code":21614,"message":"+12025550123"}`, true, "21614"},
		{"bad account", 401, `{"code":20003,"message":"Authenticate"}`, false, "status 401, code 20003"},
		{"too fast", 429, `{"code":20429}`, false, "status 429"},
		{"not JSON", 502, `<html>+12025550123</html>`, false, "status 502"},
		{"elsewhere", 307, ``, false, "status 307"},
	} {
		tw := twilio(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://192.0.2.1/")
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
		})
		err := tw.Send(context.Background(), "+12025550123", "code 123456")
		if err == nil || errors.Is(err, ErrNumber) != c.number || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, secret := range []string{"2025550123", "123456", "s3cret", "AC1"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %q tells %s", c.name, err, secret)
			}
		}
	}
}

func TestTwilioWaitsNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	tw := twilio(t, func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-release
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tw.Send(ctx, "+12025550123", "x") }()
	<-arrived
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "AC1") {
		t.Errorf("%v", err)
	}
	close(release)
}

func TestTwilioConfig(t *testing.T) {
	t.Parallel()
	good := TwilioConfig{AccountSID: "AC1", AuthToken: "t", From: "+1", BaseURL: "https://x", Timeout: time.Second}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, edit := range map[string]func(*TwilioConfig){
		"account": func(c *TwilioConfig) { c.AccountSID = "" }, "token": func(c *TwilioConfig) { c.AuthToken = "" },
		"from": func(c *TwilioConfig) { c.From = "" }, "url": func(c *TwilioConfig) { c.BaseURL = "x" }, "timeout": func(c *TwilioConfig) { c.Timeout = 0 },
	} {
		c := good
		edit(&c)
		if _, err := NewTwilio(c); err == nil {
			t.Errorf("without %s it was made", name)
		}
	}
}
