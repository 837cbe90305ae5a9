package httpclient_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/resilience"
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

// NewTransport adds correlation, trace and token to any http.Client.
func ExampleNewTransport() {
	client := &http.Client{Transport: httpclient.NewTransport(http.DefaultTransport, nil)}
	_ = client
}
