package httpclient_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/transport/httpclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a server and a client of it.
type fixture struct {
	url    string
	client *httpclient.Client
	spans  *tracetest.InMemoryExporter
	tp     *trace.TracerProvider
	reg    *prometheus.Registry
}

func setUp(t *testing.T, h http.HandlerFunc, o httpclient.Options) *fixture {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	f := &fixture{url: srv.URL, spans: tracetest.NewInMemoryExporter(), reg: prometheus.NewRegistry()}
	f.tp = trace.NewTracerProvider(trace.WithSyncer(f.spans))
	o.TracerProvider, o.Registerer = f.tp, f.reg
	f.client = httpclient.New(srv.URL, &o)
	t.Cleanup(f.client.CloseIdleConnections)
	return f
}

// series returns the attempts counted, by "method status error_type".
func (f *fixture) series(t *testing.T) map[string]uint64 {
	t.Helper()
	families, err := f.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]uint64)
	for _, family := range families {
		if family.GetName() != "http_client_request_duration_seconds" {
			continue
		}
		for _, m := range family.GetMetric() {
			label := make(map[string]string)
			for _, l := range m.GetLabel() {
				label[l.GetName()] = l.GetValue()
			}
			key := label["http_request_method"] + " " + label["http_response_status_code"] + " " + label["error_type"]
			counts[key] += m.GetHistogram().GetSampleCount()
		}
	}
	return counts
}

func request(t *testing.T, ctx context.Context, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// read returns the body and closes it.
func read(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("body: %v", err)
	}
	return string(b)
}

var issuer = auth.TokenSourceFunc(func(_ context.Context, audience string) (string, error) {
	return "for-" + audience, nil
})
