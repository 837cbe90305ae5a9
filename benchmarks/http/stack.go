package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	gojwt "github.com/golang-jwt/jwt/v5"

	"github.com/mainstay-go/mainstay/tracing/logging"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

// The stack is what surrounds a handler that does nothing: GET /users/{id} with a correlation ID, a token and no trace;
// one trace in ten is kept.
const (
	userPath    = "/users/42"
	userPattern = "/users/{id}"
	userBody    = `{"id":"42","name":"Ada"}`
	sampleRatio = 0.1
)

func getUser(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, userBody)
}

func userMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+userPattern, getUser)
	return mux
}

func bareStack(telemetry) (http.Handler, error) { return userMux(), nil }

func kitObserve(t telemetry) func(http.Handler) http.Handler {
	return httpserver.Observe(&httpserver.ObserveOptions{
		Logger: logging.New(t.logs, nil), TracerProvider: t.tracer, Registerer: t.metrics,
	})
}

func kitStack(t telemetry) (http.Handler, error) {
	verifier, err := kitVerifier()
	if err != nil {
		return nil, err
	}
	return kitObserve(t)(httpserver.Authenticate(verifier, nil)(userMux())), nil
}

// kitObserved is the stack without authentication.
func kitObserved(t telemetry) (http.Handler, error) { return kitObserve(t)(userMux()), nil }

func byHandStack(t telemetry) (http.Handler, error) {
	r := chi.NewRouter()
	r.Use(byHandObserve(t)...)
	r.Use(authenticate(newParser()))
	r.Get(userPattern, getUser)
	return byHandTrace(t, r), nil
}

// byHandObserved is the stack without authentication.
func byHandObserved(t telemetry) (http.Handler, error) {
	r := chi.NewRouter()
	r.Use(byHandObserve(t)...)
	r.Get(userPattern, getUser)
	return byHandTrace(t, r), nil
}

// userRequest returns a request of the stack.
func userRequest(base, token string) (*http.Request, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, base+userPath, http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("X-Request-Id", correlation)
	r.Header.Set("User-Agent", "benchmark/1.0")
	r.RemoteAddr = "127.0.0.1:51234"
	return r, nil
}

// newUserCaller sends the same token with each request.
func newUserCaller(h http.Handler, token string) (*caller, error) {
	r, err := userRequest("http://users", token)
	if err != nil {
		return nil, err
	}
	return &caller{
		handler: h, request: r, writer: &writer{header: http.Header{}}, want: http.StatusOK, ready: func(*http.Request) {},
	}, nil
}

// newStrangersCaller sends a token with each request that nobody has seen before.
func newStrangersCaller(h http.Handler, token string) (*caller, error) {
	c, err := newUserCaller(h, token)
	if err != nil {
		return nil, err
	}
	var headers []string
	minted := 0
	c.prepare = func(n int) error {
		headers = headers[:0]
		for range n {
			minted++
			token, err := mint(minted)
			if err != nil {
				return err
			}
			headers = append(headers, "Bearer "+token)
		}
		return nil
	}
	c.ready = func(r *http.Request) {
		last := len(headers) - 1
		r.Header["Authorization"][0] = headers[last]
		headers = headers[:last]
	}
	return c, nil
}

// mint returns a token that both sides accept, as newToken does, but a new one each time.
func mint(n int) (string, error) {
	now := time.Now()
	t := gojwt.NewWithClaims(gojwt.SigningMethodHS256, claims{
		RegisteredClaims: gojwt.RegisteredClaims{
			Issuer: issuerName, Subject: "checkout", Audience: gojwt.ClaimStrings{audience}, ID: strconv.Itoa(n),
			IssuedAt: gojwt.NewNumericDate(now), ExpiresAt: gojwt.NewNumericDate(now.Add(time.Hour)),
		},
		Scope: scope,
	})
	t.Header["kid"] = keyID
	s, err := t.SignedString([]byte(secret))
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	return s, nil
}
