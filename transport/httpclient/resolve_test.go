package httpclient_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/transport/httpclient"
)

// moving is a Resolver whose answer changes.
type moving struct {
	to  string
	err error
}

func (m *moving) Resolve(_ context.Context, name string) (string, error) {
	if name != "users" {
		return "", errors.New("not users")
	}
	return m.to, m.err
}

func TestResolverIsAskedEachTime(t *testing.T) {
	var reached []string
	m := &moving{}
	c := httpclient.New("users", &httpclient.Options{
		Resolver: m, Registerer: prometheus.NewRegistry(), TokenSource: issuer, Audience: "users",
		Base: tripper(func(r *http.Request) (*http.Response, error) {
			reached = append(reached, r.URL.String())
			return answers(200).RoundTrip(r)
		}),
	})
	if err := c.Err(); err != nil {
		t.Fatalf("Err: %v", err)
	}
	boom := errors.New("no registry")
	for _, tt := range []struct {
		to   string
		err  error
		url  string
		want string
	}{
		{"http://a:1/v1", nil, "/x?q=1", "http://a:1/v1/x?q=1"},
		{"http://a:1/v1", nil, "/y", "http://a:1/v1/y"},
		{"https://b", nil, "/x", "https://b/x"},
		{"https://b", nil, "https://B:443/abs", "https://B:443/abs"},
		{"https://b", nil, "http://b/abs", ""},
		{"https://b", nil, "http://a:1/v1/x", ""},
		{"b", nil, "/x", ""},
		{"https://b", boom, "/x", ""},
		{"https://b", nil, "/again", "https://b/again"},
	} {
		reached = nil
		m.to, m.err = tt.to, tt.err
		resp, err := c.Do(request(t, t.Context(), "GET", tt.url, nil))
		if err == nil {
			resp.Body.Close()
		}
		if got := strings.Join(reached, " "); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s at %q: reached %q, %v; want %q", tt.url, tt.to, got, err, tt.want)
		}
		if tt.err != nil && !errors.Is(err, tt.err) {
			t.Errorf("Do: %v, want the resolver's %v", err, tt.err)
		}
	}
}

func TestBaseURLsKnowsNoOther(t *testing.T) {
	c := httpclient.New("users", &httpclient.Options{
		Resolver: httpclient.BaseURLs{"orders": "http://orders"}, Base: answers(200), Registerer: prometheus.NewRegistry(),
	})
	_, err := c.Do(request(t, t.Context(), "GET", "/", nil))
	if err == nil || !strings.Contains(err.Error(), `resolve "users"`) {
		t.Errorf("Do: %v, want an error that names users", err)
	}
}

func TestErrorsTellNoQuery(t *testing.T) {
	down := tripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("down") })
	c := httpclient.New("http://users", &httpclient.Options{Base: down, Registerer: prometheus.NewRegistry()})
	for _, url := range []string{"/x?secret", "http://u:secret@users/x?secret", "http://other/?secret", "x?secret"} {
		_, err := c.Do(request(t, t.Context(), "", url, nil))
		if err == nil || strings.Contains(err.Error(), "secret") || strings.Count(err.Error(), "httpclient") != 1 {
			t.Errorf("%s: %v, want an error without the query, and with the package once", url, err)
		}
	}
}
