package httpclient_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/transport/httpclient"
)

// noContent answers every request without a network.
type noContent struct{}

func (noContent) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Request: r}, nil
}

func TestHostsWithoutEndMakeAHundredSeries(t *testing.T) {
	reg := prometheus.NewRegistry()
	transport := httpclient.NewTransport(noContent{}, &httpclient.TransportOptions{Registerer: reg})
	const hosts = 1000
	for i := range hosts {
		r := request(t, t.Context(), http.MethodGet, fmt.Sprintf("http://host-%d.test/", i), nil)
		resp, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			got[family.GetName()]++
			for _, l := range m.GetLabel() {
				if l.GetName() == "server_address" && l.GetValue() == "__other__" {
					got["__other__"] += int(m.GetHistogram().GetSampleCount())
				}
			}
			got["overflowed"] += int(m.GetCounter().GetValue())
		}
	}
	if got["http_client_request_duration_seconds"] != 101 || got["__other__"] != hosts-100 ||
		got["overflowed"] != hosts-100 {
		t.Errorf("got %v, want 101 series, and 900 requests that were counted as of other hosts", got)
	}
}
