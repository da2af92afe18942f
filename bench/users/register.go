package users

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/tolkflip/tolkflip/proto/id"
)

const (
	atOnce       = 32
	replyMost    = 1 << 20
	replyTimeout = 30 * time.Second
)

// phone is the number of load's user i: fictional, E.164.
func phone(i int) string { return fmt.Sprintf("+1555%07d", i%10_000_000) }

// REST speaks JSON to a server's gateway.
type REST struct {
	base string
	http *http.Client
}

// NewREST speaks to the gateway at base, such as http://127.0.0.1:3000.
func NewREST(base string) *REST {
	t := &http.Transport{MaxIdleConnsPerHost: atOnce, MaxConnsPerHost: atOnce}
	return &REST{base: base, http: &http.Client{Transport: t, Timeout: replyTimeout}}
}

// Close drops the idle connections.
func (r *REST) Close() { r.http.CloseIdleConnections() }

// StatusError is an answer that is not a success. It holds nothing of the request.
type StatusError struct {
	Path   string
	Status int
	Answer string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answered %d: %.200s", e.Path, e.Status, e.Answer)
}

// Post sends in as JSON and reads the answer into out. token may be empty.
func (r *REST) Post(ctx context.Context, path, token string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode for %s: %w", path, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask %s: %w", path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", path, err)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, replyMost))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("read the answer of %s: %w", path, err)
	}
	if resp.StatusCode/100 != 2 {
		return &StatusError{Path: path, Status: resp.StatusCode, Answer: string(answer)}
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read the answer of %s: not the JSON that was expected", path)
	}
	return nil
}

// Register makes the user with number i, or logs in as it when it exists.
func (r *REST) Register(ctx context.Context, i int) (User, error) {
	number := phone(i)
	var sent struct {
		Code string `json:"code"`
	}
	if err := r.Post(ctx, "/api/auth/request-code", "", map[string]string{"phone_number": number}, &sent); err != nil {
		return User{}, err
	}
	if sent.Code == "" {
		return User{}, errors.New("the server tells no verification code: it must run with --dev")
	}
	var got struct {
		Token        string `json:"token"`
		RefreshToken string `json:"refreshToken"`
		User         struct {
			UserID id.User `json:"userId"`
		} `json:"user"`
	}
	in := map[string]string{"phone_number": number, "code": sent.Code, "display_name": fmt.Sprintf("Load %d", i)}
	if err := r.Post(ctx, "/api/auth/verify", "", in, &got); err != nil {
		return User{}, err
	}
	if got.Token == "" || got.User.UserID.IsZero() {
		return User{}, errors.New("the server's answer to verify has no token or no user")
	}
	return User{ID: got.User.UserID, Phone: number, Token: got.Token, Refresh: got.RefreshToken}, nil
}

// Extend registers users, many at once, until all has n. first is the number of all[0].
func (r *REST) Extend(ctx context.Context, all []User, n int) ([]User, error) {
	if len(all) >= n {
		return all, nil
	}
	have := len(all)
	all = append(all, make([]User, n-have)...)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var wait sync.WaitGroup
	for range atOnce {
		wait.Go(func() {
			for i := range next {
				u, err := r.Register(ctx, i)
				if err != nil {
					cancel(err)
				}
				all[i] = u
			}
		})
	}
	for i := have; i < n && ctx.Err() == nil; i++ {
		next <- i
	}
	close(next)
	wait.Wait()
	if err := context.Cause(ctx); err != nil {
		return all[:have], fmt.Errorf("register users: %w", err)
	}
	return all, nil
}

// Group makes a group of the members, who must exist, and gives its thread.
func (r *REST) Group(ctx context.Context, owner User, members []User) (id.Thread, error) {
	ids := make([]id.User, len(members))
	for i, m := range members {
		ids[i] = m.ID
	}
	in := struct {
		Name      string    `json:"name"`
		CreatorID id.User   `json:"creatorId"`
		MemberIDs []id.User `json:"memberIds"`
	}{"load", owner.ID, ids}
	var out struct {
		GroupID id.Thread `json:"groupId"`
	}
	if err := r.Post(ctx, "/api/groups", owner.Token, in, &out); err != nil {
		return id.Thread{}, fmt.Errorf("make a group: %w", err)
	}
	if out.GroupID.IsZero() {
		return id.Thread{}, errors.New("make a group: the answer has no groupId")
	}
	return out.GroupID, nil
}
