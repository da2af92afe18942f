package users_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tolkflip/tolkflip/bench/users"
	"github.com/tolkflip/tolkflip/proto/id"
	"github.com/tolkflip/tolkflip/proto/token"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "users")
	if all, err := users.Load(path); err != nil || all != nil {
		t.Fatalf("no file is read as %v %v", all, err)
	}
	want := []users.User{{ID: id.NewUser(), Phone: "+15550000001", Token: "t", Refresh: "r"}, {ID: id.NewUser(), Token: "u"}}
	if err := users.Save(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := users.Load(path)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read back as %+v %v", got, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v %v, want 0600", info.Mode(), err)
	}
	if b, _ := os.ReadFile(path); strings.Count(string(b), "\n") != 2 {
		t.Errorf("not one user a line: %s", b)
	}
}

func TestBadFileIsNotQuoted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte("{\"token\":\"a\"}\n{\"token\": secret-token}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := users.Load(path)
	if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("the error is %v", err)
	}
}

// TestMintIsAccepted holds the tokens that are signed here against the server's own check.
func TestMintIsAccepted(t *testing.T) {
	t.Parallel()
	secret := []byte("0123456789abcdef0123456789abcdef")
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, append(secret, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := users.ReadMint(path)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := token.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	all, err := m.Nobody(2)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Renew(all[:1]); err != nil {
		t.Fatal(err)
	}
	for _, u := range all {
		c, err := signer.Verify([]byte(u.Token), "access", time.Now())
		if err != nil || c.User != u.ID || c.Session.IsZero() {
			t.Errorf("a token is read as %+v %v", c, err)
		}
	}
	if _, err := signer.Verify(m.Stranger(), "access", time.Now()); err != nil {
		t.Error(err)
	}
}

// fake is a server that knows codes, and fails where the test says.
func fake(t *testing.T, fail string) (url string, phones *sync.Map) {
	t.Helper()
	phones = &sync.Map{}
	mux := http.NewServeMux()
	in := func(r *http.Request) (m map[string]any) {
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		return m
	}
	mux.HandleFunc("POST /api/auth/request-code", func(w http.ResponseWriter, r *http.Request) {
		phone := in(r)["phone_number"].(string)
		if phone == fail {
			http.Error(w, `{"error":"no"}`, http.StatusTooManyRequests)
			return
		}
		fmt.Fprintf(w, `{"success":true,"code":"%s"}`, phone[len(phone)-6:])
	})
	mux.HandleFunc("POST /api/auth/verify", func(w http.ResponseWriter, r *http.Request) {
		m := in(r)
		phone := m["phone_number"].(string)
		if m["code"] != phone[len(phone)-6:] {
			http.Error(w, `{"error":"wrong code"}`, http.StatusBadRequest)
			return
		}
		u := id.NewUser()
		phones.Store(phone, u)
		fmt.Fprintf(w, `{"success":true,"token":"t-%s","refreshToken":"r","user":{"userId":"%s"}}`, u, u)
	})
	mux.HandleFunc("POST /api/groups", func(w http.ResponseWriter, r *http.Request) {
		m := in(r)
		if r.Header.Get("Authorization") != "Bearer owner" || len(m["memberIds"].([]any)) != 2 {
			http.Error(w, `{"error":"no"}`, http.StatusForbidden)
			return
		}
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"success":true,"groupId":"%s"}`, id.NewGroup())
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL, phones
}

func TestExtendRegistersWhoIsMissing(t *testing.T) {
	t.Parallel()
	url, phones := fake(t, "")
	rest := users.NewREST(url)
	defer rest.Close()
	first := users.User{ID: id.NewUser(), Token: "kept"}
	all, err := rest.Extend(t.Context(), []users.User{first}, 100)
	if err != nil || len(all) != 100 || all[0] != first {
		t.Fatalf("%d users, the first %+v, %v", len(all), all[0], err)
	}
	for _, u := range all[1:] {
		if got, ok := phones.Load(u.Phone); !ok || got != u.ID || u.Token != "t-"+u.ID.String() {
			t.Fatalf("%+v is not who the server made", u)
		}
	}
	if again, err := rest.Extend(t.Context(), all, 50); err != nil || len(again) != 100 {
		t.Errorf("enough users became %d, %v", len(again), err)
	}
}

func TestExtendStopsAtTheFirstError(t *testing.T) {
	t.Parallel()
	url, _ := fake(t, "+15550000070")
	rest := users.NewREST(url)
	defer rest.Close()
	all, err := rest.Extend(t.Context(), nil, 10_000)
	if err == nil || !strings.Contains(err.Error(), "429") || len(all) != 0 {
		t.Errorf("%d users and %v", len(all), err)
	}
	if strings.Contains(err.Error(), "+1555") {
		t.Errorf("a phone number is in the error: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := rest.Extend(ctx, nil, 5); err == nil {
		t.Error("a cancelled context registers")
	}
}

func TestGroup(t *testing.T) {
	t.Parallel()
	url, _ := fake(t, "")
	rest := users.NewREST(url)
	defer rest.Close()
	members := []users.User{{ID: id.NewUser()}, {ID: id.NewUser()}}
	if g, err := rest.Group(t.Context(), users.User{ID: id.NewUser(), Token: "owner"}, members); err != nil || g.IsZero() {
		t.Errorf("the group is %v, %v", g, err)
	}
	if _, err := rest.Group(t.Context(), users.User{Token: "stranger"}, members); err == nil {
		t.Error("a refusal makes a group")
	}
}
