// Package httpapitest serves contracts from stubs, so that a consumer is tested against what its provider promised and
// nobody has to run the provider:
//
//	users := httpapitest.NewServer(t, contract.GetUser.Stub(
//		func(_ context.Context, r contract.GetUserRequest) (contract.User, error) {
//			return contract.User{ID: r.ID, Name: "Ada"}, nil
//		}))
//	svc := orders.New(httpclient.New(users.URL, nil))
//
// Requests travel over a real connection and are held against the contract, as the provider would; so are the stub's
// results. Credentials are not: whoever calls is let in. A provider keeps its side by tests of its own.
package httpapitest

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
	"github.com/mainstay-go/mainstay/transport/internal/breach"
	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

// Server serves stubs. It is an httpapi.Caller, for consumers that need no client of their own.
type Server struct {
	// URL is where it listens, such as "http://127.0.0.1:43210".
	URL    string
	client *http.Client
}

// NewServer starts a server of stubs, which ends with the test. It fails the test when a request comes that no stub is
// for, and when a stub breaks its contract. Two stubs of one pattern make it panic.
func NewServer(tb testing.TB, stubs ...*httpapi.Stub) *Server {
	tb.Helper()
	mux := http.NewServeMux()
	for _, s := range stubs {
		mux.Handle(s.Pattern(), s)
	}
	draining := make(chan struct{})
	srv := httptest.NewServer(&handler{tb, mux, draining})
	tb.Cleanup(func() {
		close(draining) // ends streams
		srv.Close()     // waits for the requests that run
	})
	return &Server{URL: srv.URL, client: srv.Client()}
}

// Do sends r, whose URL is a path, to the server. It follows no redirect.
func (s *Server) Do(r *http.Request) (*http.Response, error) {
	if r.URL.Host != "" || !strings.HasPrefix(r.URL.Path, "/") {
		return nil, fmt.Errorf("httpapitest: URL %q: want a path that begins with a slash", r.URL.Redacted())
	}
	base, err := url.Parse(s.URL)
	if err != nil {
		return nil, fmt.Errorf("httpapitest: %w", err)
	}
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host = base.Scheme, base.Host
	resp, err := s.client.Transport.RoundTrip(out)
	if err != nil {
		return nil, fmt.Errorf("httpapitest: %w", err)
	}
	return resp, nil
}

type handler struct {
	tb       testing.TB
	mux      *http.ServeMux
	draining <-chan struct{}
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := h.mux.Handler(r); pattern == "" {
		h.tb.Errorf("httpapitest: %s %s has no stub", r.Method, r.URL.Path)
		httpapi.WriteError(w, r, transport.Errorf(transport.Unimplemented, "%s %s has no stub", r.Method, r.URL.Path))
		return
	}
	ctx := &reqstate.Context{Context: reqstate.WithDraining(r.Context(), h.draining)}
	ctx.Open()
	h.mux.ServeHTTP(w, r.WithContext(ctx))
	_, err := ctx.Outcome()
	if broken, ok := errors.AsType[*breach.Error](err); ok {
		h.tb.Errorf("httpapitest: %v", broken)
	}
}
