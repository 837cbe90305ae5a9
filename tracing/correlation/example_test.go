package correlation_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// A front service passes its ID on to the service behind it.
func Example() {
	back := httptest.NewServer(correlation.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "back saw ", correlation.FromContext(r.Context()))
	})))
	defer back.Close()

	client := &http.Client{Transport: &correlation.Transport{}}
	front := correlation.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, back.URL, nil)
		resp, err := client.Do(out)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		_, _ = io.Copy(w, resp.Body)
	}))

	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("X-Correlation-Id", "checkout-42")
	front.ServeHTTP(w, r)
	fmt.Println(w.Body)
	fmt.Println("echo:", w.Header().Get(correlation.Header))
	// Output:
	// back saw checkout-42
	// echo: checkout-42
}

// Messages carry the ID in whatever attributes their broker has.
func ExampleInject() {
	attributes := http.Header{} // any Carrier
	correlation.Inject(correlation.NewContext(context.Background(), "checkout-42"), attributes)

	ctx := correlation.Extract(context.Background(), attributes)
	fmt.Println(correlation.FromContext(ctx))
	// Output: checkout-42
}

// At the edge strangers call, and their IDs are theirs; the proxy in front has given each request one of ours.
func ExampleTrust() {
	fromProxy := func(r *http.Request) bool { return r.RemoteAddr == "10.0.0.1:443" }
	h := correlation.Trust(fromProxy).Handler(http.NotFoundHandler())
	for _, from := range []string{"10.0.0.1:443", "192.0.2.1:1234"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = from
		r.Header.Set("X-Correlation-Id", "checkout-42")
		h.ServeHTTP(w, r)
		fmt.Println("adopted:", w.Header().Get(correlation.Header) == "checkout-42")
	}
	// Output:
	// adopted: true
	// adopted: false
}

// A consumer that is not of package pubsub says what it handles; what it publishes is then caused by that.
func ExampleWithCause() {
	handle := func(ctx context.Context) {
		fmt.Println(correlation.FromContext(ctx), "because of", correlation.Cause(ctx))
	}
	ctx := correlation.NewContext(context.Background(), "checkout-42") // the message's correlation ID
	handle(correlation.WithCause(ctx, "message-7"))                    // its own
	// Output: checkout-42 because of message-7
}
