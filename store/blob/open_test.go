package blob

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/tolkflip/tolkflip/store"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		endpoint, bucket, region, ca string
		secure                       bool
	}{
		"s3://localhost:9000/files":                   {"localhost:9000", "files", "", "", false},
		"s3://localhost:9000/files/":                  {"localhost:9000", "files", "", "", false},
		"s3://[::1]:9000/files?tls=false":             {"[::1]:9000", "files", "", "", false},
		"s3://h:9000/files?tls=true&region=eu-west-1": {"h:9000", "files", "eu-west-1", "", true},
		"s3://h:9000/files?tls=%2Fetc%2Fca.pem":       {"h:9000", "files", "", "/etc/ca.pem", true},
		"s3://h:9000/files?tls=ca.pem&region=":        {"h:9000", "files", "", "ca.pem", true},
		"s3://s3.eu-west-1.amazonaws.com/files":       {"s3.eu-west-1.amazonaws.com", "files", "", "", true},
		"s3://h:443/files":                            {"h:443", "files", "", "", true},
		"s3://h/files?tls=false":                      {"h", "files", "", "", false},
	} {
		c, err := ParseURL(in)
		if err != nil || c.Endpoint != want.endpoint || c.Bucket != want.bucket || c.Region != want.region || c.CAFile != want.ca || c.Secure != want.secure {
			t.Errorf("%s: %+v, %v", in, c, err)
		}
		c.Key, c.Secret = "k", "s"
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", in, err)
		}
	}
	for _, in := range []string{
		"", "s3", "s3://", "s3:///files", "s3://h", "s3://h/", "s3://h/a/b", "http://h/files", "s3://h/files#x", "s3://h/fi", "s3://h/Files",
		"s3://h/files?tls=", "s3://h/files?tls=true&tls=false", "s3://h/files?bucket=x", "s3://h/files?%zz", "s3://h:x/files",
		"s3://hidden:hidden@h/files", "s3://hidden@h/files",
	} {
		if _, err := ParseURL(in); err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestConfigs(t *testing.T) {
	t.Parallel()
	if err := DefaultDisk("d").Validate(); err != nil {
		t.Error(err)
	}
	for _, c := range []DiskConfig{DefaultDisk(""), {Dir: "d", MinFreePercent: 100}} {
		if _, err := OpenDisk(c, silent(), nil); err == nil {
			t.Errorf("opened %+v", c)
		}
	}
	good := DefaultS3()
	good.Endpoint, good.Bucket, good.Key, good.Secret = "h", "files", "k", "hidden"
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, edit := range map[string]func(*S3Config){
		"no host":            func(c *S3Config) { c.Endpoint = "" },
		"no bucket":          func(c *S3Config) { c.Bucket = "" },
		"a bucket in a path": func(c *S3Config) { c.Bucket = "../x" },
		"no key":             func(c *S3Config) { c.Key = "" },
		"no secret":          func(c *S3Config) { c.Secret = "" },
		"small parts":        func(c *S3Config) { c.PartBytes = 1 << 20 },
		"odd parts":          func(c *S3Config) { c.PartBytes++ },
		"a small buffer":     func(c *S3Config) { c.BufferBytes = c.PartBytes - 1 },
		"no time":            func(c *S3Config) { c.IdleTimeout = 0 },
		"trust without TLS":  func(c *S3Config) { c.CAFile = "ca.pem" },
		"a public path":      func(c *S3Config) { c.PublicURL = "/files" },
		"a public query":     func(c *S3Config) { c.PublicURL = "https://h/?a=b" },
		"a public user":      func(c *S3Config) { c.PublicURL = "https://hidden@h/" },
	} {
		c := good
		edit(&c)
		_, err := OpenS3(t.Context(), c, silent(), nil)
		if err == nil || errors.Is(err, store.ErrBusy) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// closedPort gives an address at which nobody listens.
func closedPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // that is the point
	return l.Addr().String()
}

// TestOpenSaysWhy opens what cannot be opened: the error names the server, the reason, and what to check.
func TestOpenSaysWhy(t *testing.T) {
	t.Parallel()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = nil
	secure.StartTLS()
	t.Cleanup(secure.Close)
	refusing := func(status int, code string) func(*fake, *S3Config) {
		return func(f *fake, _ *S3Config) {
			f.around = func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) { refuse(w, status, code) }
		}
	}
	for name, c := range map[string]struct {
		edit func(*fake, *S3Config)
		want []string
	}{
		"nobody listens":   {func(_ *fake, c *S3Config) { c.Endpoint = closedPort(t) }, []string{"refused", "that the server runs"}},
		"no such host":     {func(_ *fake, c *S3Config) { c.Endpoint = "no-such-host.invalid:9000" }, []string{"no-such-host.invalid"}},
		"it speaks TLS":    {func(_ *fake, c *S3Config) { c.Endpoint = secure.Listener.Addr().String() }, []string{"tls="}},
		"it speaks no TLS": {func(_ *fake, c *S3Config) { c.Secure = true }, []string{"tls=", "does not speak TLS"}},
		"an unknown CA":    {func(_ *fake, c *S3Config) { c.Endpoint, c.Secure = secure.Listener.Addr().String(), true }, []string{"authority", "tls="}},
		"no bucket":        {func(_ *fake, c *S3Config) { c.MakeBucket = false }, []string{"no such bucket", "files", "its name"}},
		"a wrong key":      {refusing(http.StatusForbidden, "InvalidAccessKeyId"), []string{"access key"}},
		"a wrong secret":   {refusing(http.StatusForbidden, "SignatureDoesNotMatch"), []string{"the secret"}},
		"no rights":        {refusing(http.StatusForbidden, "AccessDenied"), []string{"policy"}},
		"clocks":           {refusing(http.StatusForbidden, "RequestTimeTooSkewed"), []string{"clocks"}},
		"another region":   {refusing(http.StatusBadRequest, "AuthorizationHeaderMalformed"), []string{"region="}},
		"a read-only key": {func(f *fake, _ *S3Config) {
			f.bucket = true
			f.around = func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
				if r.Method == http.MethodPut {
					refuse(w, http.StatusForbidden, "AccessDenied")
					return
				}
				serve(w, r)
			}
		}, []string{"AccessDenied", "policy"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			cfg := f.config()
			cfg.Secret = "hidden-secret"
			c.edit(f, &cfg)
			s, err := OpenS3(t.Context(), cfg, silent(), nil)
			if err == nil {
				_ = s.Close() // it should not be there
				t.Fatal("opened")
			}
			for _, want := range append(c.want, cfg.Endpoint) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), cfg.Secret) {
				t.Errorf("%q has the secret", err)
			}
			var driver minio.ErrorResponse
			if errors.As(err, &driver) {
				t.Error("a type of the driver leaves")
			}
		})
	}
}

// TestServerSaysWhy gives a real server wrong credentials and buckets.
func TestServerSaysWhy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		edit func(*S3Config)
		want string
	}{
		"a wrong secret":   {func(c *S3Config) { c.Secret += "x" }, "the secret of the access key"},
		"a wrong key":      {func(c *S3Config) { c.Key += "x" }, "the access key"},
		"no bucket":        {func(c *S3Config) { c.MakeBucket = false }, "no such bucket"},
		"it speaks no TLS": {func(c *S3Config) { c.Secure = !c.Secure }, "tls="},
	} {
		cfg := server(t)
		c.edit(&cfg)
		s, err := OpenS3(t.Context(), cfg, silent(), nil)
		if err == nil {
			_ = s.Close() // it should not be there
			t.Errorf("%s: opened", name)
		} else if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), cfg.Endpoint) || strings.Contains(err.Error(), cfg.Secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOpenTwice opens one bucket from several nodes at once: one makes it, all have it.
func TestOpenTwice(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	errs := make(chan error)
	for range 4 {
		go func() {
			s, err := OpenS3(context.Background(), f.config(), silent(), nil)
			if err == nil {
				err = s.Close()
			}
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// TestTLS speaks TLS to a server whose authority is given in a file.
func TestTLS(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	secure := httptest.NewTLSServer(f.Config.Handler)
	t.Cleanup(secure.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := f.config()
	cfg.Endpoint, cfg.Secure, cfg.CAFile = secure.Listener.Addr().String(), true, ca
	s, err := OpenS3(t.Context(), cfg, silent(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }() // nothing is asked of it any more
	if s.transport.TLSClientConfig.MinVersion < tls.VersionTLS12 {
		t.Error("old versions of TLS are spoken")
	}
	if _, err := s.Put(t.Context(), "k", "a/b", zeros(6<<20), -1); err != nil {
		t.Error(err)
	}
	for _, wrong := range []string{filepath.Join(t.TempDir(), "none.pem"), os.Args[0]} {
		cfg.CAFile = wrong
		if _, err := OpenS3(t.Context(), cfg, silent(), nil); err == nil || !strings.Contains(err.Error(), cfg.Endpoint) {
			t.Errorf("authorities from %s: %v", wrong, err)
		}
	}
}

// fetch gets a URL with no credentials of ours.
func fetch(t testing.TB, at string, header ...string) (status int, h http.Header, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

// TestSigned fetches signed URLs through a proxy at a public address, as clients do.
func TestSigned(t *testing.T) {
	t.Parallel()
	cfg := server(t)
	inner := &url.URL{Scheme: "http", Host: cfg.Endpoint}
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Path = strings.TrimPrefix(r.In.URL.Path, "/media")
		r.SetURL(inner)
		r.Out.Host = r.In.Host
	}})
	t.Cleanup(proxy.Close)
	for _, public := range []string{"http://" + cfg.Endpoint, proxy.URL + "/media/"} {
		s := openS3(t, func(c *S3Config) { c.PublicURL = public }, nil)
		if _, err := s.Put(t.Context(), "a/b", "image/png", strings.NewReader("0123456789"), -1); err != nil {
			t.Fatal(err)
		}
		signed := func(key, name string, ttl time.Duration) string {
			t.Helper()
			u, err := s.Signed(t.Context(), key, name, ttl)
			if err != nil || !strings.HasPrefix(u, strings.TrimSuffix(public, "/")+"/") || strings.Contains(u, s.cfg.Secret) {
				t.Fatalf("%q, %v", u, err)
			}
			return u
		}
		plain := signed("a/b", "", time.Minute)
		status, h, body := fetch(t, plain)
		if status != http.StatusOK || body != "0123456789" || h.Get("Content-Type") != "image/png" || h.Get("Content-Disposition") != "" {
			t.Errorf("plain: %d %q %v", status, body, h)
		}
		if status, _, body := fetch(t, plain, "Range", "bytes=3-5"); status != http.StatusPartialContent || body != "345" {
			t.Errorf("a range: %d %q", status, body)
		}
		status, h, _ = fetch(t, signed("a/b", `ä "x".png`, time.Minute))
		if d := h.Get("Content-Disposition"); status != http.StatusOK || !strings.HasPrefix(d, "attachment; filename*=utf-8''") {
			t.Errorf("an attachment: %d %q", status, d)
		}
		if status, _, _ := fetch(t, signed("none", "", time.Minute)); status != http.StatusNotFound {
			t.Errorf("no file: %d", status)
		}
		for name, u := range map[string]string{
			"another key":       strings.Replace(plain, "/a/b", "/a/c", 1),
			"a longer life":     strings.Replace(plain, "X-Amz-Expires=60", "X-Amz-Expires=61", 1),
			"another name":      plain + "&response-content-disposition=inline",
			"another signature": plain[:len(plain)-1] + map[bool]string{true: "1", false: "0"}[plain[len(plain)-1] == '0'],
			"no signature":      plain[:strings.Index(plain, "?")],
		} {
			if status, _, body := fetch(t, u); u == plain || status != http.StatusForbidden || strings.Contains(body, "0123456789") {
				t.Errorf("%s: %d", name, status)
			}
		}
		short := signed("a/b", "", 0) // a second is the least
		for status := 0; status != http.StatusForbidden; {
			if status, _, body = fetch(t, short); status != http.StatusOK && status != http.StatusForbidden {
				t.Fatalf("at its end: %d %s", status, body)
			}
		}
	}
}

// TestSignedAsksNobody signs while the server is away, for a public address that nobody answers.
func TestSignedAsksNobody(t *testing.T) {
	t.Parallel()
	s, f := openFake(t, func(f *fake, cfg *S3Config) {
		f.bucket, f.region, cfg.PublicURL = true, "eu-west-1", "https://files.example.org"
	})
	f.Close()
	u, err := s.Signed(t.Context(), "a/b", "x.png", time.Hour)
	if err != nil || !strings.HasPrefix(u, "https://files.example.org/files/a/b?") || !strings.Contains(u, "eu-west-1") || !strings.Contains(u, "X-Amz-Expires=3600") {
		t.Fatalf("%s, %v", u, err)
	}
	if u, err = s.Signed(t.Context(), "a/b", "", 1000*time.Hour); err != nil || !strings.Contains(u, "X-Amz-Expires=604800") {
		t.Fatalf("%s, %v", u, err)
	}
}

// TestHealthyIsCheap asks often: the server is asked once in a while.
func TestHealthyIsCheap(t *testing.T) {
	t.Parallel()
	heads := make(chan struct{}, 1000)
	s, _ := openFake(t, func(f *fake, cfg *S3Config) {
		cfg.HealthEvery = time.Hour
		f.around = func(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
			if r.Method == http.MethodHead {
				heads <- struct{}{}
			}
			serve(w, r)
		}
	})
	before := len(heads)
	for range 100 {
		if err := s.Healthy(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(heads) - before; n != 1 {
		t.Errorf("the server was asked %d times", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.checking <- struct{}{} // another one asks
	if err := s.Healthy(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Healthy: %v", err)
	}
	<-s.checking
}

// TestDetachedBody reads on from the body of a request that has ended.
func TestDetachedBody(t *testing.T) {
	t.Parallel()
	var kept io.Reader
	rt := detaching{transportFunc(func(r *http.Request) (*http.Response, error) {
		kept = r.Body
		if n, err := r.Body.Read(make([]byte, 3)); n != 3 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		return nil, errors.New("cut")
	})}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://h/", strings.NewReader("123456"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(r)
	if err == nil {
		_ = resp.Body.Close() // it should not be there
		t.Fatal("no error")
	}
	if n, err := kept.Read(make([]byte, 3)); n != 0 || !errors.Is(err, errDetached) {
		t.Errorf("%d bytes after the end, %v", n, err)
	}
	if err := kept.(io.Closer).Close(); err != nil {
		t.Error(err)
	}
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
