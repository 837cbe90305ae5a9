package httpclient_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpclient"
)

// A service that fails once: the policy asks again.
func Example() {
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n++; n == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, r.URL.Path, " ", r.Header.Get("Authorization"))
	}))
	defer srv.Close()

	users := httpclient.New(srv.URL, &httpclient.Options{
		TokenSource: issuer, // auth/jwt has one
		Audience:    "users",
		Policy:      resilience.New("users", nil),
		Registerer:  prometheus.NewRegistry(),
	})
	defer users.CloseIdleConnections()
	r, _ := http.NewRequestWithContext(context.Background(), "GET", "/users/42", nil)
	resp, err := users.Do(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, string(body))
	// Output:
	// 200 /users/42 Bearer for-users
}

// An http.Client that is there already takes the layers that it wants.
func ExampleObserve() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("X-Correlation-Id"), " ", r.Header.Get("Authorization"))
	}))
	defer srv.Close()

	observe := httpclient.Observe(&httpclient.ObserveOptions{Registerer: prometheus.NewRegistry()})
	authorize := httpclient.Authorize(issuer, "users")
	client := &http.Client{Transport: observe(authorize(httpclient.Deadline(httpclient.NewPool(nil))))}
	defer client.CloseIdleConnections()

	ctx := correlation.NewContext(context.Background(), "c-1")
	r, _ := http.NewRequestWithContext(ctx, "GET", srv.URL+"/users/42", nil)
	r.Pattern = "/users/{id}" // how it is counted
	resp, err := client.Do(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(string(body))
	// Output:
	// c-1 Bearer for-users
}

// Where a service is differs by environment; its name does not.
func ExampleResolver() {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()

	environment := httpclient.BaseURLs{"users": srv.URL + "/v1"}
	users := httpclient.New("users", &httpclient.Options{Resolver: environment, Registerer: prometheus.NewRegistry()})
	defer users.CloseIdleConnections()
	r, _ := http.NewRequestWithContext(context.Background(), "GET", "/users/42", nil)
	resp, err := users.Do(r)
	if err != nil {
		fmt.Println(err)
		return
	}
	e, _ := errors.AsType[*transport.Error](httpclient.Check(resp))
	fmt.Println(resp.Request.URL.Path, e.Code)
	// Output:
	// /v1/users/42 not_found
}
