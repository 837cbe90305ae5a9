package httpclient

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/mainstay-go/mainstay/auth"
)

var (
	errNoAudience    = errors.New("a TokenSource without an Audience: a token for nobody is a token for everybody")
	errNoTokenSource = errors.New("an Audience without a TokenSource: each call would be refused")
)

// Authorize returns a layer that gives each request without an Authorization header a bearer token for audience.
// Where a redirect leaves the origin (scheme, host and port) of the first request, the token stays behind, and it does
// not come back if a further redirect returns: the other server has chosen that URL. The token goes wherever the
// caller's own requests go, so use one http.Client for each audience.
//
// The source's error is that of the request, which is not sent. Authorize panics where source is nil or audience is
// empty: mistakes that start-up shows. Nil base of the layer is http.DefaultTransport.
func Authorize(source auth.TokenSource, audience string) func(base http.RoundTripper) http.RoundTripper {
	switch {
	case source == nil:
		panic("httpclient: " + errNoTokenSource.Error())
	case audience == "":
		panic("httpclient: " + errNoAudience.Error())
	}
	return func(base http.RoundTripper) http.RoundTripper {
		return &pass{base: orDefault(base), tokens: source, audience: audience}
	}
}

// authorize adds the token, unless r has a credential or was redirected away from where the token belongs.
func (p *pass) authorize(r *http.Request) error {
	if p.tokens == nil || r.Header.Get("Authorization") != "" || redirectedAway(r) {
		return nil
	}
	token, err := p.tokens.Token(r.Context(), p.audience)
	if err != nil {
		return fmt.Errorf("token for %q: %w", p.audience, err)
	}
	r.Header["Authorization"] = []string{"Bearer " + token}
	return nil
}

// redirectedAway follows the redirects that led to r back to the first request. A redirect that does not tell its
// request may have come from anywhere.
func redirectedAway(r *http.Request) bool {
	for at := r; at.Response != nil; {
		at = at.Response.Request
		if at == nil || at.URL == nil || !sameOrigin(at.URL, r.URL) {
			return true
		}
	}
	return false
}
