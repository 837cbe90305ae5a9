package httpclient

import (
	"errors"
	"fmt"
	"net/http"
)

var (
	errNoAudience    = errors.New("a TokenSource without an Audience: a token for nobody is a token for everybody")
	errNoTokenSource = errors.New("an Audience without a TokenSource: each call would be refused")
)

// authorize adds the token, unless r has a credential or was redirected away from where the token belongs.
func (t *roundTripper) authorize(r *http.Request) error {
	if t.tokens == nil || r.Header.Get("Authorization") != "" || redirectedAway(r) {
		return nil
	}
	token, err := t.tokens.Token(r.Context(), t.audience)
	if err != nil {
		return fmt.Errorf("token for %q: %w", t.audience, err)
	}
	r.Header["Authorization"] = []string{"Bearer " + token}
	return nil
}

// redirectedAway follows the redirects that led to r back to the first request.
func redirectedAway(r *http.Request) bool {
	for at := r; at.Response != nil && at.Response.Request != nil; {
		at = at.Response.Request
		if !sameOrigin(at.URL, r.URL) {
			return true
		}
	}
	return false
}
