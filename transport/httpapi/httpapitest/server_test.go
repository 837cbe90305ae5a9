package httpapitest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
	"github.com/mainstay-go/mainstay/transport/httpapi/httpapitest"
	"github.com/mainstay-go/mainstay/transport/httpclient"
)

type (
	getUser struct {
		ID string `path:"id" minLength:"2"`
	}
	user struct {
		ID      string `json:"id" api:"required"`
		Status  string `json:"status" enum:"active,blocked"`
		Version string `header:"X-Version" maxLength:"3"`
	}
)

var (
	get    = httpapi.NewEndpoint[getUser, user]("GET /users/{id}", nil) // for services only
	remove = httpapi.NewEndpoint[getUser, struct{}]("DELETE /users/{id}", nil)
)

// failures is a test that keeps what it is told, instead of failing.
type failures struct {
	testing.TB
	mu   sync.Mutex
	said []string
}

func (f *failures) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said = append(f.said, fmt.Sprintf(format, args...))
}

func (f *failures) all() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.said, "\n")
}

func active(_ context.Context, r getUser) (user, error) {
	if r.ID == "none" {
		return user{}, transport.Errorf(transport.NotFound, "no user %q", r.ID)
	}
	return user{ID: r.ID, Status: "active"}, nil
}

func TestServer(t *testing.T) {
	srv := httpapitest.NewServer(t, get.Stub(active))
	t.Run("AnswersAsTheStubDoes", func(t *testing.T) {
		for name, c := range map[string]httpapi.Caller{"Do": srv, "client": httpclient.New(srv.URL, nil)} {
			got, err := get.Call(t.Context(), c, getUser{"42"})
			if want := (user{ID: "42", Status: "active"}); err != nil || got != want {
				t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
			}
			var e *transport.Error
			if _, err = get.Call(t.Context(), c, getUser{"none"}); !errors.As(err, &e) || e.Code != transport.NotFound {
				t.Errorf("%s: got %v, want not_found", name, err)
			}
		}
	})
	t.Run("RefusesWhatTheProviderWould", func(t *testing.T) {
		_, err := get.Call(t.Context(), srv, getUser{"1"})
		if err == nil || !strings.Contains(err.Error(), "id: must be at least 2 characters long") {
			t.Errorf("got %v, want the violation", err)
		}
	})
	t.Run("TakesPathsOnly", func(t *testing.T) {
		for _, target := range []string{"http://example.com/x", "//example.com/x", "users/42", ""} {
			r, _ := http.NewRequestWithContext(t.Context(), "GET", target, nil)
			if resp, err := srv.Do(r); err == nil {
				_ = resp.Body.Close()
				t.Errorf("a request to %q was sent", target)
			}
		}
	})
	t.Run("LeavesTheRequestAsItIs", func(t *testing.T) {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "/users/42", nil)
		for range 2 { // the second would be one to a host
			resp, err := srv.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
		}
	})
	t.Run("FollowsNoRedirect", func(t *testing.T) {
		type moved struct {
			To string `header:"Location"`
		}
		old := httpapi.NewEndpoint[struct{}, moved]("GET /old", &httpapi.EndpointOptions{Status: 303})
		srv := httpapitest.NewServer(t, old.Stub(func(context.Context, struct{}) (moved, error) {
			return moved{"/old"}, nil
		}))
		if got, err := old.Call(t.Context(), srv, struct{}{}); err != nil || got.To != "/old" {
			t.Errorf("got %+v, %v, want /old", got, err)
		}
	})
}

func TestServerFailsTheTest(t *testing.T) {
	for _, tt := range []struct {
		name string
		res  user
		want string
	}{
		{"WhereAResultLacksWhatIsRequired", user{Status: "active"},
			`the stub of "GET /users/{id}" breaks the contract: /id is required`},
		{"WhereAResultBreaksAConstraint", user{ID: "1", Status: "x"}, "/status must be one of active, blocked"},
		{"WhereAHeaderBreaksAConstraint", user{ID: "1", Status: "active", Version: "1234"},
			"X-Version must be at most 3 characters long"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fails := &failures{TB: t}
			srv := httpapitest.NewServer(fails, get.Stub(func(context.Context, getUser) (user, error) { return tt.res, nil }))
			_, err := get.Call(t.Context(), srv, getUser{"42"})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(fails.all(), tt.want) {
				t.Errorf("the caller got %v, the test %q, want %q", err, fails.all(), tt.want)
			}
		})
	}
	t.Run("WhereNoStubIsThere", func(t *testing.T) {
		fails := &failures{TB: t}
		srv := httpapitest.NewServer(fails, get.Stub(active))
		_, err := remove.Call(t.Context(), srv, getUser{"42"})
		var e *transport.Error
		want := "httpapitest: DELETE /users/42 has no stub"
		if !errors.As(err, &e) || e.Code != transport.Unimplemented || fails.all() != want {
			t.Errorf("the caller got %v, the test %q", err, fails.all())
		}
	})
}

// TestServerEndsWithTheTest, though a listener is there that would stay for ever.
func TestServerEndsWithTheTest(t *testing.T) {
	impatient := httpapi.NewStream[struct{}, price]("GET /prices",
		&httpapi.StreamOptions{MaxFailures: 1, Retry: time.Millisecond})
	var srv *httpapitest.Server
	var ended error
	listened := make(chan error, 1)
	t.Run("Inner", func(t *testing.T) {
		srv = httpapitest.NewServer(t, impatient.Stub(func(ctx context.Context, _ struct{}, send func(price) error) error {
			err := send(price{1})
			<-ctx.Done()
			ended = ctx.Err()
			return errors.Join(err, ended)
		}))
		first := make(chan struct{})
		go func() {
			var last error
			for _, err := range impatient.Call(context.Background(), srv, struct{}{}) {
				if last = err; err == nil {
					close(first)
				}
			}
			listened <- last
		}()
		<-first
	})
	if ended == nil {
		t.Error("the server ended before its handler had")
	}
	if _, err := get.Call(t.Context(), srv, getUser{"42"}); err == nil {
		t.Error("the server goes on behind its test")
	}
	if err := <-listened; err == nil {
		t.Error("the listener ended without an error")
	}
}

type price struct {
	Cents int `json:"cents" minimum:"1"`
}

var prices = httpapi.NewStream[struct{}, price]("GET /prices", nil)

func TestServerOfStreams(t *testing.T) {
	t.Run("SendsWhatTheStubDoes", func(t *testing.T) {
		srv := httpapitest.NewServer(t, prices.Stub(func(ctx context.Context, _ struct{}, send func(price) error) error {
			if err := errors.Join(send(price{1}), send(price{2})); err != nil {
				return err
			}
			<-ctx.Done() // the test's end is the stream's
			return ctx.Err()
		}))
		sum := 0
		for p, err := range prices.Call(t.Context(), srv, struct{}{}) {
			if err != nil {
				t.Fatal(err)
			}
			if sum += p.Cents; sum == 3 {
				break
			}
		}
	})
	t.Run("FailsTheTestWhereAnEventBreaksTheContract", func(t *testing.T) {
		fails := &failures{TB: t}
		srv := httpapitest.NewServer(fails, prices.Stub(func(_ context.Context, _ struct{}, send func(price) error) error {
			_ = send(price{1})
			_ = send(price{0})
			return transport.Errorf(transport.NotFound, "gone")
		}))
		for p, err := range prices.Call(t.Context(), srv, struct{}{}) {
			if want := "/cents must be at least 1"; err != nil {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
				break
			} else if p.Cents != 1 {
				t.Errorf("got %+v, want 1 alone", p)
			}
		}
	})
}
