package httpclient_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

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
		TracerProvider: trace.NewTracerProvider(trace.WithSampler(trace.NeverSample())), Registerer: prometheus.NewRegistry(),
	}
	bench("Bare", "http://users/1", &http.Client{Transport: canned{}})
	bench("Client", "/1", httpclient.New("http://users", &o))
	policy := o
	policy.Policy = resilience.New("users", nil)
	bench("ClientWithPolicy", "/1", httpclient.New("http://users", &policy))
	o.TracerProvider = trace.NewTracerProvider()
	bench("ClientWithSpan", "/1", httpclient.New("http://users", &o))
}

// BenchmarkLayers shows what each costs alone: "Bare" is the transport.
func BenchmarkLayers(b *testing.B) {
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "http://users/1", nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Pattern = "GET /users/{id}"
	policy := resilience.New("users", nil)
	for _, layer := range []struct {
		name string
		http.RoundTripper
	}{
		{"Bare", canned{}},
		{"Observe", httpclient.Observe(&httpclient.ObserveOptions{Registerer: prometheus.NewRegistry()})(canned{})},
		{"Authorize", httpclient.Authorize(issuer, "users")(canned{})},
		{"Deadline", httpclient.Deadline(canned{})},
		{"LimitResponse", httpclient.LimitResponse(1 << 20)(canned{})},
		{"Guard", httpclient.Guard(policy)(canned{})},
		{"GuardHosts", httpclient.GuardHosts(func(string) *resilience.Policy { return policy })(canned{})},
	} {
		b.Run(layer.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				resp, err := layer.RoundTrip(r)
				if err != nil {
					b.Fatal(err)
				}
				_ = resp.Body.Close()
			}
		})
	}
}
