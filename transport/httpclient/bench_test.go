package httpclient_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/transport/httpclient"
)

type canned struct{}

func (canned) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("ok")), Request: r}, nil
}

// BenchmarkDo shows what a client adds to the round trip: "Bare" is http.Client over the same transport.
func BenchmarkDo(b *testing.B) {
	type doer interface {
		Do(*http.Request) (*http.Response, error)
	}
	bench := func(name, url string, c doer) {
		b.Run(name, func(b *testing.B) {
			r, err := http.NewRequest("GET", url, nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				resp, err := c.Do(r)
				if err != nil {
					b.Fatal(err)
				}
				_ = resp.Body.Close()
			}
		})
	}
	o := httpclient.Options{
		Base: canned{}, TokenSource: issuer, Audience: "users",
		TracerProvider: trace.NewTracerProvider(), Registerer: prometheus.NewRegistry(),
	}
	bench("Bare", "http://users/1", &http.Client{Transport: canned{}})
	bench("Client", "/1", httpclient.New("http://users", &o))
	o.Policy = resilience.New("users", nil)
	bench("ClientWithPolicy", "/1", httpclient.New("http://users", &o))
}
