package jwt

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mainstay-go/mainstay/auth"
)

const (
	defaultLeeway   = 30 * time.Second
	defaultMaxBytes = 8 << 10
)

// VerifierOptions of a [Verifier]. Keys, Issuer and Audience are required.
type VerifierOptions struct {
	// Keys are accepted side by side, found by their IDs, which must differ.
	Keys []Key
	// Issuer is what "iss" must be.
	Issuer string
	// Audience is what "aud" must be or contain: the name of the service that verifies.
	Audience string
	// AnyAudience accepts tokens that were made for somebody else, and those made for nobody: each service that such
	// a token is sent to can use it against all the others. Audience must then be empty.
	AnyAudience bool
	// Kind of the principals that Issuer vouches for. Zero means auth.KindService.
	Kind auth.Kind
	// Leeway is how far clocks may differ: that long a token is still accepted after "exp", and already before "nbf"
	// and "iat". Zero means 30s; negative means none.
	Leeway time.Duration
	// MaxBytes bounds the token's length. Zero means 8 KiB; negative means no bound.
	MaxBytes int
	// MaxCached bounds how many accepted tokens are remembered, so that one which comes again costs a hash and not a
	// signature check. It is rounded up to a multiple of 8. Each takes up to 4 KiB beside some 350 bytes; one with
	// longer claims is not remembered. Zero means 4096; negative means none: each token is checked in full each time.
	// More than 1048576 is an error.
	MaxCached int
}

// Verifier checks tokens. It implements auth.Verifier and is safe for concurrent use.
type Verifier struct {
	keys     map[string]Key
	issuer   string
	audience string // "" is any
	kind     auth.Kind
	leeway   time.Duration
	maxBytes int // negative is no bound
	cache    *cache
}

var _ auth.Verifier = (*Verifier)(nil)

// NewVerifier returns a Verifier. It fails where a required option is missing, where two keys have one ID, and where
// the secret of one key is the public key of another.
func NewVerifier(o *VerifierOptions) (*Verifier, error) {
	if o == nil {
		o = &VerifierOptions{}
	}
	switch {
	case o.Issuer == "":
		return nil, errors.New("jwt: verifier: no Issuer")
	case o.Audience == "" && !o.AnyAudience:
		return nil, errors.New("jwt: verifier: no Audience; AnyAudience: true accepts tokens made for others")
	case o.Audience != "" && o.AnyAudience:
		return nil, errors.New("jwt: verifier: both Audience and AnyAudience")
	case len(o.Keys) == 0:
		return nil, errors.New("jwt: verifier: no Keys")
	case o.MaxCached > maxMaxCached:
		return nil, fmt.Errorf("jwt: verifier: MaxCached is %d, want at most %d", o.MaxCached, maxMaxCached)
	}
	v := &Verifier{
		keys:     make(map[string]Key, len(o.Keys)),
		issuer:   o.Issuer,
		audience: o.Audience,
		kind:     o.Kind,
		leeway:   max(o.Leeway, 0),
		maxBytes: o.MaxBytes,
		cache:    newCache(max(cmp.Or(o.MaxCached, defaultMaxCached), 0)),
	}
	if o.Kind == auth.KindUnknown {
		v.kind = auth.KindService
	}
	if o.Leeway == 0 {
		v.leeway = defaultLeeway
	}
	if o.MaxBytes == 0 {
		v.maxBytes = defaultMaxBytes
	}
	for _, k := range o.Keys {
		if err := v.add(k); err != nil {
			return nil, fmt.Errorf("jwt: verifier: %w", err)
		}
	}
	return v, nil
}

// add accepts k.
func (v *Verifier) add(k Key) error {
	m := k.material()
	if m == nil {
		return errors.New("a zero Key")
	}
	if _, ok := v.keys[m.id]; ok {
		return fmt.Errorf("two keys with the ID %q", m.id)
	}
	for _, k := range v.keys {
		other := k.material()
		if other.method != m.method && bytes.Equal(other.bytes, m.bytes) {
			return fmt.Errorf("the secret of one of the keys %q and %q is the public key of the other", other.id, m.id)
		}
	}
	v.keys[m.id] = k
	return nil
}

// Verify checks token and returns whose it is. Its error, where there is one, is an [*Error]. It takes the time of
// one signature check, or of a hash where the token has been accepted before, and waits for nothing.
//
// A token that is remembered passes all checks again but that of its signature: it is refused from the same moment,
// and for the same reason, as it would be otherwise. The principal's slices are the caller's own.
func (v *Verifier) Verify(_ context.Context, token string) (auth.Principal, error) {
	return v.verify(token, time.Now())
}

func (v *Verifier) verify(token string, now time.Time) (auth.Principal, error) {
	if v.maxBytes > 0 && len(token) > v.maxBytes {
		return auth.Principal{}, &Error{ReasonTooLarge}
	}
	d := v.cache.digest(token)
	g := v.cache.get(&d)
	known := g != nil && v.holds(g.key)
	if !known {
		var reason Reason
		if g, reason = v.open(token); reason != "" {
			return auth.Principal{}, &Error{reason}
		}
	}
	if reason := v.check(g, now); reason != "" {
		return auth.Principal{}, &Error{reason}
	}
	if !known {
		v.cache.put(&d, g)
	}
	return g.principal(v.kind), nil
}

// open checks the form and the signature of token.
func (v *Verifier) open(token string) (*genuine, Reason) {
	c, ok := parseCompact(token)
	if !ok {
		return nil, ReasonMalformed
	}
	var h header
	if !pick(c.header, paramNames[:], h[:]) {
		return nil, ReasonMalformed
	}
	g, ok := parseClaims(c.claims)
	if !ok {
		return nil, ReasonMalformed
	}
	key, reason := v.keyOf(&h)
	if reason != "" {
		return nil, reason
	}
	if !key.verify(c.signed, c.signature) {
		return nil, ReasonSignature
	}
	g.key = key
	return g, ""
}

// holds reports whether tokens that m has checked are still good. A key of the same ID is not enough: it may have
// taken the place of one that is known to others.
func (v *Verifier) holds(m *material) bool { return v.keys[m.id].material() == m }

// keyOf returns the key that h names, or why there is none.
func (v *Verifier) keyOf(h *header) (*material, Reason) {
	if h[paramCritical] != nil {
		return nil, ReasonCritical
	}
	if typ := h[paramType]; typ != nil && !accessToken(typ) {
		return nil, ReasonType
	}
	id, _ := text(h[paramKeyID])
	key := v.keys[string(id)].material()
	if key == nil {
		return nil, ReasonUnknownKey
	}
	if alg, _ := text(h[paramAlgorithm]); string(alg) != key.method.Alg() {
		return nil, ReasonAlgorithm
	}
	return key, ""
}

// accessToken reports whether a "typ" header is that of a plain token, or of an access token of RFC 9068. Others are
// signed by the same keys for other ends, such as log-out and DPoP tokens.
func accessToken(typ []byte) bool {
	b, _ := text(typ)
	s := string(b)
	return strings.EqualFold(s, "JWT") || strings.EqualFold(s, "at+jwt") || strings.EqualFold(s, "application/at+jwt")
}

// check returns why a token with a good signature is refused at now, "" where it is not.
func (v *Verifier) check(g *genuine, now time.Time) Reason {
	switch {
	case g.issuer != v.issuer:
		return ReasonIssuer
	case v.audience != "" && !slices.Contains(g.audiences(), v.audience):
		return ReasonAudience
	case g.subject == "":
		return ReasonSubject
	case g.expires.IsZero():
		return ReasonExpiryMissing
	case !now.Before(g.expires.Add(v.leeway)):
		return ReasonExpired
	case now.Before(g.notBefore.Add(-v.leeway)), now.Before(g.issuedAt.Add(-v.leeway)):
		return ReasonNotYetValid
	}
	return ""
}
