package httpclient_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpclient"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

func TestDeadlineTellsWhatIsLeft(t *testing.T) {
	for name, tt := range map[string]struct {
		left   time.Duration // of the context, 0 for no deadline
		header string        // set by the caller
		client time.Duration // http.Client.Timeout
		want   string
	}{
		"none":                {0, "", 0, ""},
		"whole milliseconds":  {1500 * time.Millisecond, "", 0, "1500"},
		"rounded down":        {1500*time.Millisecond + 999*time.Microsecond, "", 0, "1500"},
		"no less than one":    {time.Microsecond, "", 0, "1"},
		"ten digits":          {9_999_999_999 * time.Millisecond, "", 0, "9999999999"},
		"more than can be":    {10_000_000_000 * time.Millisecond, "", 0, ""},
		"the caller's own":    {time.Second, "7", 0, "7"},
		"http.Client.Timeout": {0, "", 2 * time.Second, "2000"},
		"the shorter of both": {time.Second, "", 2 * time.Second, "1000"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got http.Header
				client := &http.Client{Timeout: tt.client, Transport: httpclient.Deadline(tripper(
					func(r *http.Request) (*http.Response, error) {
						got = r.Header
						return answers(200).RoundTrip(r)
					}))}
				ctx := t.Context()
				if tt.left > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.left)
					defer cancel()
				}
				r := request(t, ctx, "GET", "http://users/", nil)
				if tt.header != "" {
					r.Header.Set(transport.HeaderRequestTimeout, tt.header)
				}
				resp, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if h := got.Get(transport.HeaderRequestTimeout); h != tt.want {
					t.Errorf("got %q, want %q", h, tt.want)
				}
			})
		})
	}
}

// TestTheServerWorksNoLongerThanItsCallerWaits has both ends.
func TestTheServerWorksNoLongerThanItsCallerWaits(t *testing.T) {
	left := make(chan time.Duration, 1)
	srv := httptest.NewServer(httpserver.Deadline(time.Hour)(http.HandlerFunc(
		func(_ http.ResponseWriter, r *http.Request) {
			at, _ := r.Context().Deadline()
			left <- time.Until(at)
		})))
	defer srv.Close()
	c := httpclient.New(srv.URL, &httpclient.Options{Timeout: 10 * time.Minute, Registerer: prometheus.NewRegistry()})
	defer c.CloseIdleConnections()
	resp, err := c.Do(request(t, t.Context(), "GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := <-left; got <= 0 || got > 10*time.Minute {
		t.Errorf("the handler has %v, want at most the caller's 10m", got)
	}
}

func TestClientTellsItsTimeout(t *testing.T) {
	for timeout, want := range map[time.Duration]string{0: "30000", time.Second: "1000", -1: ""} {
		synctest.Test(t, func(t *testing.T) {
			var got string
			c := httpclient.New("http://users", &httpclient.Options{
				Timeout: timeout, Registerer: prometheus.NewRegistry(),
				Base: tripper(func(r *http.Request) (*http.Response, error) {
					got = r.Header.Get(transport.HeaderRequestTimeout)
					return answers(200).RoundTrip(r)
				}),
			})
			resp, err := c.Do(request(t, t.Context(), "GET", "/", nil))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if got != want {
				t.Errorf("Timeout %v: header %q, want %q", timeout, got, want)
			}
		})
	}
}
