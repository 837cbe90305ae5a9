package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/gorilla/mux"
	"github.com/labstack/echo/v4"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
)

type (
	getItem struct {
		Shop string `path:"shop"`
		ID   string `path:"id"`
	}
	item struct {
		Shop string `json:"shop"`
		ID   string `json:"id"`
	}
)

var itemOf = httpapi.NewEndpoint[getItem, item]("GET /shops/{shop}/items/{id}",
	&httpapi.EndpointOptions{Access: transport.Public})

func find(_ context.Context, r getItem) (item, error) { return item(r), nil }

// TestRouters mounts an endpoint on what services have already. Other routers than http.ServeMux route by the path as
// it was escaped, and leave the values so: unescaping them is what PathValue is for.
func TestRouters(t *testing.T) {
	unescaped := func(v string) string {
		if plain, err := url.PathUnescape(v); err == nil {
			return plain
		}
		return v
	}
	// chi and echo route by Path, which is unescaped, where that is the same.
	unescapedIn := func(r *http.Request, v string) string {
		if r.URL.RawPath == "" {
			return v
		}
		return unescaped(v)
	}
	for name, mount := range map[string]func() http.Handler{
		"ServeMux": func() http.Handler {
			m := http.NewServeMux()
			httpapi.Handle(m, itemOf, find)
			return m
		},
		"chi": func() http.Handler {
			m := chi.NewRouter()
			m.Method(itemOf.Method(), itemOf.Path(), itemOf.Handler(find, &httpapi.HandlerOptions{
				PathValue: func(r *http.Request, name string) string { return unescapedIn(r, chi.URLParam(r, name)) },
			}))
			return m
		},
		"gorilla": func() http.Handler {
			m := mux.NewRouter().UseEncodedPath()
			m.Handle(itemOf.Path(), itemOf.Handler(find, &httpapi.HandlerOptions{
				PathValue: func(r *http.Request, name string) string { return unescaped(mux.Vars(r)[name]) },
			})).Methods(itemOf.Method())
			return m
		},
		"echo": func() http.Handler {
			e, h := echo.New(), itemOf.Handler(find, nil)
			path := strings.NewReplacer("{", ":", "}", "").Replace(itemOf.Path())
			e.Add(itemOf.Method(), path, func(c echo.Context) error {
				r := c.Request()
				for _, name := range c.ParamNames() {
					r.SetPathValue(name, unescapedIn(r, c.Param(name)))
				}
				h.ServeHTTP(c.Response(), r)
				return nil
			})
			return e
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(mount())
			defer srv.Close()
			for _, want := range []item{{"tea", "1"}, {"a b", "ü+%20"}, {"a/b", "?#&"}, {"%2F", "c:d"}} {
				got, err := itemOf.Call(t.Context(), caller(srv.URL), getItem(want))
				if err != nil || got != want {
					t.Errorf("got %+v, %v, want %+v", got, err, want)
				}
			}
		})
	}
	t.Run("ChiByHandle", func(t *testing.T) { // which is shaped like ServeMux, for values that need no RawPath
		m := chi.NewRouter()
		httpapi.Handle(m, itemOf, find)
		srv := httptest.NewServer(m)
		defer srv.Close()
		want := item{"a b", "1"}
		if got, err := itemOf.Call(t.Context(), caller(srv.URL), getItem(want)); err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	})
}

// caller sends to a base URL.
type caller string

func (c caller) Do(r *http.Request) (*http.Response, error) {
	base, err := url.Parse(string(c))
	if err != nil {
		return nil, err
	}
	r.URL.Scheme, r.URL.Host = base.Scheme, base.Host
	return http.DefaultClient.Do(r)
}
