package httpclient_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/transport/httpclient"
)

// TestTokenDoesNotComeBack redirects from home to a stranger, who redirects back home.
func TestTokenDoesNotComeBack(t *testing.T) {
	var seen []string // the requests come one after another
	note := func(name string, r *http.Request) {
		seen = append(seen, name+r.URL.Path+" "+r.Header.Get("Authorization"))
	}
	var home *httptest.Server
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note("stranger", r)
		http.Redirect(w, r, home.URL+"/delete-all", http.StatusTemporaryRedirect)
	}))
	defer stranger.Close()
	home = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note("home", r)
		switch r.URL.Path {
		case "/a":
			http.Redirect(w, r, "/b", http.StatusTemporaryRedirect)
		case "/b":
			http.Redirect(w, r, strings.Replace(stranger.URL, "127.0.0.1", "localhost", 1), http.StatusTemporaryRedirect)
		}
	}))
	defer home.Close()
	client := &http.Client{Transport: httpclient.Authorize(issuer, "users")(httpclient.NewPool(nil))}
	defer client.CloseIdleConnections()
	resp, err := client.Post(home.URL+"/a", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	want := []string{
		"home/a Bearer for-users", "home/b Bearer for-users", "stranger/ ", "home/delete-all ",
	}
	if !slices.Equal(seen, want) {
		t.Errorf("seen\n got %q\nwant %q", seen, want)
	}
}

// TestTokenNeedsToKnowWhereARedirectCameFrom has a transport that does not say.
func TestTokenNeedsToKnowWhereARedirectCameFrom(t *testing.T) {
	var seen []string
	client := &http.Client{Transport: httpclient.Authorize(issuer, "users")(tripper(
		func(r *http.Request) (*http.Response, error) {
			seen = append(seen, r.Header.Get("Authorization"))
			if len(seen) == 1 {
				return &http.Response{StatusCode: 302, Header: http.Header{"Location": {"/next"}}, Body: http.NoBody}, nil
			}
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		}))}
	resp, err := client.Get("http://users/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if want := []string{"Bearer for-users", ""}; !slices.Equal(seen, want) {
		t.Errorf("tokens %q, want %q", seen, want)
	}
}

func TestLayersPanicOnMistakes(t *testing.T) {
	for name, f := range map[string]func(){
		"a token for nobody":      func() { httpclient.Authorize(issuer, "") },
		"a token from nowhere":    func() { httpclient.Authorize(nil, "users") },
		"no policy":               func() { httpclient.Guard(nil) },
		"no policy for each host": func() { httpclient.GuardHosts(nil) },
		"a negative limit":        func() { httpclient.LimitResponse(-1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}
