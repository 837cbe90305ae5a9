package httpserver_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/auth/jwt"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

// secured is a mux with a handler of each access.
func secured() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, access := range map[string]transport.Access{
		"GET /internal": transport.InternalOnly, "GET /authenticated": transport.Authenticated, "GET /public": transport.Public,
	} {
		e := httpapi.NewEndpoint[struct{}, string](pattern, &httpapi.EndpointOptions{Access: access})
		httpapi.Handle(mux, e, func(ctx context.Context, _ struct{}) (string, error) {
			p, _ := auth.FromContext(ctx)
			return p.Subject, nil
		})
	}
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	mux.Handle("GET /plain", ok)
	mux.Handle("GET /marked", httpserver.Public(ok))
	inner := http.NewServeMux()
	inner.Handle("GET /inner/closed", ok)
	inner.Handle("GET /inner/open", httpserver.Public(ok))
	mux.Handle("/inner/", inner)
	return mux
}

func TestServerAuthenticates(t *testing.T) {
	const challenge, invalid = "Bearer", `Bearer error="invalid_token"`
	obs := newObserved()
	url, _ := start(t, httpserver.New(secured(), obs.server(httpserver.Options{Addr: "127.0.0.1:0", Verifier: verifier})))
	client := newClient(t)
	refusals := make(map[string]string) // bodies of 401
	for _, tt := range []struct {
		path, header string
		status       int
		challenge    string
	}{
		{"/internal", "Bearer service", 200, ""},
		{"/internal", "bearer   service", 200, ""},
		{"/internal", "Bearer user", 403, ""},
		{"/internal", "", 401, challenge},
		{"/internal", "Basic YTpi", 401, challenge},
		{"/internal", "Bearer", 401, invalid},
		{"/internal", "Bearer foreign", 401, invalid},
		{"/internal", "Bearer expired", 401, invalid},
		{"/internal", "Bearer unsure", 503, ""},
		{"/authenticated", "Bearer user", 200, ""},
		{"/authenticated", "", 401, challenge},
		{"/public", "", 200, ""},
		{"/public", "Basic YTpi", 200, ""},
		{"/public", "Bearer user", 200, ""},
		{"/public", "Bearer expired", 401, invalid},
		{"/plain", "", 401, challenge},
		{"/plain", "Bearer user", 200, ""},
		{"/marked", "", 200, ""},
		{"/inner/closed", "", 401, challenge},
		{"/inner/open", "", 200, ""},
		{"/inner/none", "", 404, ""},
		{"/none", "", 404, ""},
		{"/none", "Bearer expired", 401, invalid},
		{"//public", "", 401, challenge}, // the mux would redirect
	} {
		r := request(t, "GET", url+tt.path, nil)
		if tt.header != "" {
			r.Header.Set("Authorization", tt.header)
		}
		resp, body := send(t, client, r)
		if resp.StatusCode != tt.status || resp.Header.Get("WWW-Authenticate") != tt.challenge {
			t.Errorf("GET %s as %q: %d %q, want %d %q", tt.path, tt.header, resp.StatusCode,
				resp.Header.Get("WWW-Authenticate"), tt.status, tt.challenge)
		}
		if id := resp.Header.Get("X-Correlation-Id"); resp.StatusCode == 401 {
			refusals[strings.ReplaceAll(body, id, "")] = body
		}
	}
	if len(refusals) != 1 {
		t.Errorf("%d texts of 401, want one for every reason: %v", len(refusals), refusals)
	}
	var reasons []string
	for _, line := range obs.lines(t) {
		if reason, ok := line["error"].(string); ok {
			reasons = append(reasons, reason)
		}
	}
	if all := strings.Join(reasons, "\n"); !strings.Contains(all, "expired 5m ago") || !strings.Contains(all, "unknown key") {
		t.Errorf("the log has the reasons %q, want each verifier's own", all)
	}
	if resp, _ := send(t, client, request(t, "POST", url+"/public", nil)); resp.StatusCode != 405 {
		t.Errorf("POST /public: %d, want the mux's 405", resp.StatusCode)
	}
}

// TestRefusedTokensLookAlike has a real verifier refuse tokens for all sorts of reasons: the log tells them apart, the
// answer does not.
func TestRefusedTokensLookAlike(t *testing.T) {
	secret := []byte("a shared secret of 32 bytes, ok!")
	sign := func(header, claims string) string {
		enc := base64.RawURLEncoding
		text := enc.EncodeToString([]byte(header)) + "." + enc.EncodeToString([]byte(claims))
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(text))
		return text + "." + enc.EncodeToString(mac.Sum(nil))
	}
	key, err := jwt.HS256("k", secret)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jwt.NewVerifier(&jwt.VerifierOptions{Issuer: "shop", Audience: "orders", Keys: []jwt.Key{key}})
	if err != nil {
		t.Fatal(err)
	}
	obs := newObserved()
	url, _ := start(t, httpserver.New(secured(), obs.server(httpserver.Options{Addr: "127.0.0.1:0", Verifier: v})))
	client := newClient(t)
	const header = `{"alg":"HS256","kid":"k"}`
	bodies, refused := map[string]bool{}, 0
	for _, tt := range []struct {
		header, claims string
		reason         jwt.Reason // "" where it is let in
	}{
		{header, `{"iss":"shop","sub":"users","aud":"orders","exp":9e9}`, ""},
		{header, `{"iss":"shop","sub":"users","aud":"orders"}`, jwt.ReasonExpiryMissing},
		{header, `{"iss":"shop","sub":"users","aud":"orders","exp":0}`, jwt.ReasonExpired},
		{header, `{"iss":"shop","sub":"users","aud":"orders","exp":1}`, jwt.ReasonExpired},
		{header, `{"iss":"shop","sub":"users","aud":"orders","exp":"tomorrow"}`, jwt.ReasonMalformed},
		{header, `{"iss":"shop","sub":"users","aud":"orders","exp":9e9,"nbf":8e9}`, jwt.ReasonNotYetValid},
		{header, `{"iss":"mall","sub":"users","aud":"orders","exp":9e9}`, jwt.ReasonIssuer},
		{header, `{"sub":"users","aud":"orders","exp":9e9}`, jwt.ReasonIssuer},
		{header, `{"iss":"shop","sub":"users","aud":"site","exp":9e9}`, jwt.ReasonAudience},
		{`{"alg":"none","kid":"k"}`, `{"iss":"shop","sub":"users","aud":"orders","exp":9e9}`, jwt.ReasonAlgorithm},
		{`{"alg":"HS256","kid":"z"}`, `{"iss":"shop","sub":"users","aud":"orders","exp":9e9}`, jwt.ReasonUnknownKey},
	} {
		r := request(t, "GET", url+"/internal", nil)
		r.Header.Set("Authorization", "Bearer "+sign(tt.header, tt.claims))
		r.Header.Set("X-Correlation-Id", "c-1")
		resp, body := send(t, client, r)
		lines := obs.lines(t)
		logged, _ := lines[len(lines)-1]["error"].(string)
		if tt.reason == "" {
			if resp.StatusCode != 200 || logged != "" {
				t.Errorf("%s: %d, log %q, want 200 without an error", tt.claims, resp.StatusCode, logged)
			}
			continue
		}
		refused++
		bodies[body] = true
		if got := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != 401 || got != `Bearer error="invalid_token"` {
			t.Errorf("%s: %d %q, want 401 and invalid_token alone", tt.claims, resp.StatusCode, got)
		}
		if !strings.HasSuffix(logged, ": "+string(tt.reason)) {
			t.Errorf("%s: the log says %q, want %s", tt.claims, logged, tt.reason)
		}
		if strings.Contains(body, string(tt.reason)) {
			t.Errorf("%s: the answer tells the reason: %s", tt.claims, body)
		}
	}
	if len(bodies) != 1 {
		t.Errorf("%d answers to %d refusals, want one and the same: %v", len(bodies), refused, bodies)
	}
}

func TestServerUnauthenticatedLetsEverybodyIn(t *testing.T) {
	obs := newObserved()
	url, _ := start(t, httpserver.New(secured(), obs.server(httpserver.Options{Addr: "127.0.0.1:0"})))
	for _, path := range []string{"/internal", "/authenticated", "/public", "/plain"} {
		if resp, _ := send(t, newClient(t), request(t, "GET", url+path, nil)); resp.StatusCode != 200 {
			t.Errorf("GET %s: %d, want 200", path, resp.StatusCode)
		}
	}
}

func TestAuthenticate(t *testing.T) {
	hidden := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { secured().ServeHTTP(w, r) })
	byPath := &httpserver.AuthOptions{Public: func(r *http.Request) bool { return r.URL.Path == "/public" }}
	for _, tt := range []struct {
		name   string
		next   http.Handler
		o      *httpserver.AuthOptions
		path   string
		header []string
		status int
	}{
		{"FindsPublicEndpointsOfAMux", secured(), nil, "/public", nil, 200},
		{"FindsNothingBehindAnotherHandler", hidden, nil, "/public", nil, 401},
		{"AsksTheOptions", hidden, byPath, "/public", nil, 200},
		{"AsksTheOptionsAboutEachRequest", hidden, byPath, "/internal", nil, 401},
		{"PassesTheCallerOn", hidden, nil, "/internal", []string{"Bearer service"}, 200},
		{"RefusesTwoCredentials", hidden, byPath, "/public", []string{"Bearer service", "Bearer user"}, 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest("GET", tt.path, nil)
			r.Header["Authorization"] = tt.header
			rec := httptest.NewRecorder()
			httpserver.Authenticate(verifier, tt.o)(tt.next).ServeHTTP(rec, r)
			if rec.Code != tt.status {
				t.Errorf("status %d, want %d: %s", rec.Code, tt.status, rec.Body)
			}
		})
	}
}

func FuzzAuthorization(f *testing.F) {
	h := httpserver.Authenticate(verifier, nil)(secured())
	for _, s := range []string{"", "Bearer service", "bearer \x00", "Bearer  service ", "Basic service", "Bearer\tservice"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest("GET", "/internal", nil)
		r.Header.Set("Authorization", header)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		_, token, _ := strings.Cut(header, " ")
		if rec.Code == 200 && strings.TrimLeft(token, " ") != "service" {
			t.Errorf("%q was let in", header)
		}
	})
}

// TestAVerifiersPanicIsOne500, observed as any other.
func TestAVerifiersPanicIsOne500(t *testing.T) {
	obs := newObserved()
	broken := auth.VerifierFunc(func(context.Context, string) (auth.Principal, error) { panic("no keys") })
	url, _ := start(t, httpserver.New(secured(), obs.server(httpserver.Options{Addr: "127.0.0.1:0", Verifier: broken})))
	r := request(t, "GET", url+"/internal", nil)
	r.Header.Set("Authorization", "Bearer x")
	r.Header.Set("X-Correlation-Id", "c-1")
	resp, body := send(t, newClient(t), r)
	if resp.StatusCode != 500 || !strings.Contains(body, `"correlation_id":"c-1"`) {
		t.Errorf("got %d %s, want 500 with the correlation ID", resp.StatusCode, body)
	}
	if line := obs.lines(t)[0]; line["panic"] != "no keys" || line["correlation_id"] != "c-1" {
		t.Errorf("line %v, want the panic and the correlation ID", line)
	}
}
