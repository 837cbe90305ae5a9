package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// answer is what a side says to one request.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// differ says how two answers that must be the same differ, nil where they do not.
func differ(kit, hand answer) error {
	if kit.status != hand.status {
		return fmt.Errorf("status: kit %d, by hand %d", kit.status, hand.status)
	}
	if !maps.EqualFunc(kit.header, hand.header, slices.Equal) {
		return fmt.Errorf("header: kit %v, by hand %v", kit.header, hand.header)
	}
	if !bytes.Equal(kit.body, hand.body) {
		return fmt.Errorf("body: kit %q, by hand %q", kit.body, hand.body)
	}
	return nil
}

// variant is a request that both sides must treat alike.
type variant struct {
	name   string
	change func(*http.Request)
	status int
}

// variants begin with the hot request itself, whose answers must be the same to the byte. Refusals have the same
// status, each side in its own words.
func variants(weak string) []variant {
	withBody := func(s string) func(*http.Request) {
		return func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader(s)), int64(len(s)) }
	}
	return []variant{
		{"the hot request", func(*http.Request) {}, http.StatusCreated},
		{"no token", func(r *http.Request) { r.Header.Del("Authorization") }, http.StatusUnauthorized},
		{"a forged token", func(r *http.Request) { r.Header["Authorization"][0] += "x" }, http.StatusUnauthorized},
		{"no scope", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+weak) }, http.StatusForbidden},
		{"no key", func(r *http.Request) { r.Header.Del("Idempotency-Key") }, http.StatusBadRequest},
		{"no JSON", withBody("{"), http.StatusBadRequest},
		{"another type", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
			http.StatusUnsupportedMediaType},
		{"no SKU", withBody(`{"quantity":2}`), http.StatusBadRequest},
		{"too many", withBody(`{"sku":"tea","quantity":101}`), http.StatusBadRequest},
		{"too long", withBody(`{"sku":"` + strings.Repeat("x", maxBody) + `"}`), http.StatusRequestEntityTooLarge},
		{"another path", func(r *http.Request) { r.URL.Path = "/nowhere" }, http.StatusNotFound},
		{"another method", func(r *http.Request) { r.Method = http.MethodPut }, http.StatusMethodNotAllowed},
	}
}

// checkHandlers reports where the two handlers do not answer alike.
func checkHandlers(kit, hand http.Handler, token, weak string) error {
	for _, v := range variants(weak) {
		k, err := ask(kit, token, v)
		if err != nil {
			return err
		}
		h, err := ask(hand, token, v)
		if err != nil {
			return err
		}
		if k.status != v.status || h.status != v.status {
			return fmt.Errorf("%s: kit %d %q, by hand %d %q, want %d", v.name, k.status, k.body, h.status, h.body, v.status)
		}
		if v.status != http.StatusCreated {
			continue
		}
		if err := differ(k, h); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}
	return nil
}

func ask(h http.Handler, token string, v variant) (answer, error) {
	r, err := newRequest("http://orders", token, sampled)
	if err != nil {
		return answer{}, err
	}
	v.change(r)
	return serve(h, r), nil
}

func serve(h http.Handler, r *http.Request) answer {
	w := &writer{header: http.Header{}}
	h.ServeHTTP(w, r)
	// Who leaves it to net/http sends it all the same: see checkServers.
	w.header.Del("Content-Length")
	return answer{w.status, w.header, w.body.Bytes()}
}

// checkServers reports whether a request gets the same answer over a connection, with what net/http adds.
func checkServers(ctx context.Context, kit, hand string, want int, request requestTo) error {
	k, err := fetch(ctx, kit, request)
	if err != nil {
		return err
	}
	h, err := fetch(ctx, hand, request)
	if err != nil {
		return err
	}
	if k.status != want {
		return fmt.Errorf("%w: %d %q", errRefused, k.status, k.body)
	}
	return differ(k, h)
}

// requestTo makes a request to a server's address.
type requestTo func(addr string) (*http.Request, error)

func fetch(ctx context.Context, addr string, request requestTo) (a answer, err error) {
	r, err := request(addr)
	if err != nil {
		return a, err
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(r.WithContext(ctx))
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	resp.Header.Del("Date")
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, body}, err
}
