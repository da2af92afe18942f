package user

import (
	"bufio"
	"io"
	"log/slog"
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp/fasthttputil"

	"github.com/tolkflip/tolkflip/httpapi"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/token"
	"github.com/tolkflip/tolkflip/store/memory"
)

type anybody struct{ user id.User }

func (a anybody) Check([]byte) (token.Claims, error) { return token.Claims{User: a.user}, nil }

// BenchmarkProfile is one request after another on one connection, from bytes to bytes, for a profile
// that is in memory. The limit is counted as in production.
func BenchmarkProfile(b *testing.B) {
	f := start(b, nil)
	reg := prometheus.NewRegistry()
	limits, err := memory.NewLimits(memory.DefaultCache(), memory.NewMetrics(reg))
	if err != nil {
		b.Fatal(err)
	}
	cfg := httpapi.Default()
	cfg.UserLimit = 1 << 40
	api, err := httpapi.New(cfg, httpapi.Deps{Tokens: anybody{f.ann}, Limits: limits, Metrics: reg}, slog.New(slog.DiscardHandler), reg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(api.Close)
	server, err := api.Server(httpapi.Service{Name: "user", Routes: f.svc.routes()})
	if err != nil {
		b.Fatal(err)
	}
	ln := fasthttputil.NewInmemoryListener()
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	c, err := ln.Dial()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		c.Close()
		if err := server.Shutdown(b.Context()); err != nil && b.Context().Err() == nil {
			b.Error(err)
		}
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	request := "GET /profile/" + f.ann.String() + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n\r\n"
	r := bufio.NewReader(c)
	if _, err := io.WriteString(c, request); err != nil {
		b.Fatal(err)
	}
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != 200 {
		b.Fatal(res, err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 4096) // a reply is written at once
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.WriteString(c, request); err != nil {
			b.Fatal(err)
		}
		n, err := r.Read(buf)
		if err != nil || string(buf[:15]) != "HTTP/1.1 200 OK" {
			b.Fatalf("%q %v", buf[:n], err)
		}
	}
}
