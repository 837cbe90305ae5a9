package jwt

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"

	"github.com/mainstay-go/mainstay/auth"
)

const (
	// MaxLifetime is the longest that a token may live: nothing revokes one.
	MaxLifetime = time.Hour

	defaultLifetime     = 5 * time.Minute
	defaultMaxAudiences = 256
	renewalPause        = time.Second // after a failure, so that not every call of a busy service meets the next
)

// IssuerOptions of an [Issuer]. Issuer, Subject and Key are required.
type IssuerOptions struct {
	// Issuer is the "iss" of the tokens: the name that verifiers know Key by.
	Issuer string
	// Subject is the "sub": the name of the service that the tokens are for.
	Subject string
	// Key signs.
	Key Key
	// Scopes are what the tokens allow (the "scope" claim). Nil means none.
	Scopes []string
	// Lifetime of a token; fractions of a second are cut off. Zero means 5m. Less than 1s, negative too, and more
	// than [MaxLifetime] are errors: there are no tokens without an end.
	Lifetime time.Duration
	// MaxAudiences bounds the cache, which holds one token per audience; the token that ends first makes room. Zero
	// means 256; negative means no cache: each call signs.
	MaxAudiences int
	// Logger gets a line when a token cannot be renewed while it is still good. Nil means slog.Default().
	Logger *slog.Logger
}

// Issuer makes tokens for one subject and keeps them until they are due for renewal. It implements auth.TokenSource
// and is safe for concurrent use.
type Issuer struct {
	o     IssuerOptions
	scope string

	mu    sync.Mutex
	cache map[string]*entry
}

var _ auth.TokenSource = (*Issuer)(nil)

// errPanicked is what those who wait for a signer are told when it panics.
var errPanicked = errors.New("jwt: the signer panicked")

// entry is the token of one audience. Issuer.mu guards it.
type entry struct {
	token   string
	renewAt time.Time
	expires time.Time
	flight  *flight // nil while nobody mints
}

// flight is one call of the signer, which others may wait for.
type flight struct {
	done chan struct{}
	err  error // set before done is closed
}

// NewIssuer returns an Issuer. It fails where a required option is missing, the lifetime is out of bounds, or the key
// cannot sign. It signs nothing yet.
func NewIssuer(o *IssuerOptions) (*Issuer, error) {
	if o == nil {
		o = &IssuerOptions{}
	}
	i := &Issuer{o: *o, scope: strings.Join(o.Scopes, " "), cache: map[string]*entry{}}
	if i.o.Lifetime == 0 {
		i.o.Lifetime = defaultLifetime
	}
	i.o.Lifetime = i.o.Lifetime.Truncate(time.Second)
	if i.o.MaxAudiences == 0 {
		i.o.MaxAudiences = defaultMaxAudiences
	}
	if i.o.Logger == nil {
		i.o.Logger = slog.Default()
	}
	key := o.Key.material()
	switch {
	case o.Issuer == "":
		return nil, errors.New("jwt: issuer: no Issuer")
	case o.Subject == "":
		return nil, errors.New("jwt: issuer: no Subject")
	case key == nil:
		return nil, errors.New("jwt: issuer: no Key")
	case key.sign == nil:
		return nil, fmt.Errorf("jwt: issuer: %v cannot sign", o.Key)
	case i.o.Lifetime < time.Second, i.o.Lifetime > MaxLifetime:
		return nil, fmt.Errorf("jwt: issuer: lifetime %v, want 1s to %v", o.Lifetime, MaxLifetime)
	}
	for _, s := range o.Scopes {
		if s == "" || strings.ContainsAny(s, " \t\r\n") {
			return nil, fmt.Errorf("jwt: issuer: scope %q: want a name without spaces", s)
		}
	}
	return i, nil
}

// Token returns a token for audience that is good for at least a fifth of its lifetime. One call in every four
// fifths of a lifetime signs; the others of that audience go on with the token there is, and wait only where there is
// none, until ctx ends at the latest. A signer takes no context: the call that signs lasts as long as the signer does.
// Where renewal fails, a token is used until it expires.
func (i *Issuer) Token(ctx context.Context, audience string) (string, error) {
	if audience == "" {
		return "", errors.New("jwt: token: no audience")
	}
	if i.o.MaxAudiences < 0 {
		e, err := i.mint(audience)
		return e.token, err
	}
	for {
		token, other, own := i.lookUp(audience)
		switch {
		case token != "":
			return token, nil
		case own != nil:
			return i.renew(audience, own)
		}
		select {
		case <-other.done:
			if other.err != nil {
				return "", other.err
			}
		case <-ctx.Done():
			return "", fmt.Errorf("jwt: token for %q: %w", audience, ctx.Err())
		}
	}
}

// lookUp returns one of three: a token to use, the flight to wait for, or the entry that the caller has to renew.
func (i *Issuer) lookUp(audience string) (token string, other *flight, own *entry) {
	now := wallClock()
	i.mu.Lock()
	defer i.mu.Unlock()
	e := i.cache[audience]
	if e == nil {
		e = &entry{}
		i.makeRoom()
		i.cache[audience] = e
	}
	switch {
	case now.Before(e.expires) && (now.Before(e.renewAt) || e.flight != nil):
		return e.token, nil, nil
	case e.flight != nil:
		return "", e.flight, nil
	}
	e.flight = &flight{done: make(chan struct{})}
	return "", nil, e
}

// makeRoom drops the token that ends first where the cache is full. Issuer.mu is held.
func (i *Issuer) makeRoom() {
	if len(i.cache) < i.o.MaxAudiences {
		return
	}
	var first string
	var least *entry
	for audience, e := range i.cache {
		if least == nil || e.expires.Before(least.expires) {
			first, least = audience, e
		}
	}
	delete(i.cache, first)
}

// renew puts a new token into e, whose flight is the caller's.
func (i *Issuer) renew(audience string, e *entry) (token string, err error) {
	var fresh entry
	err = errPanicked
	defer func() {
		token = i.land(e, fresh, err)
		if err != nil && token != "" {
			i.o.Logger.Warn("token not renewed, still using the last", "audience", audience, "error", err)
			err = nil
		}
	}()
	fresh, err = i.mint(audience)
	return "", err
}

// land ends e's flight, and returns the token that is good now, "" where none is.
func (i *Issuer) land(e *entry, fresh entry, err error) string {
	now := wallClock()
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case err == nil:
		e.token, e.renewAt, e.expires = fresh.token, fresh.renewAt, fresh.expires
	case now.Before(e.expires):
		e.renewAt = now.Add(renewalPause)
	default:
		e.token = ""
		e.flight.err = err
	}
	close(e.flight.done)
	e.flight = nil
	return e.token
}

// issued are the claims of a new token. "scope" is that of RFC 8693 section 4.2: names separated by spaces.
type issued struct {
	gojwt.RegisteredClaims
	Scope string `json:"scope,omitempty"`
}

// mint signs a new token.
func (i *Issuer) mint(audience string) (entry, error) {
	now := wallClock().Truncate(time.Second) // as the token says it
	expires := now.Add(i.o.Lifetime)
	key := i.o.Key.material()
	token := gojwt.NewWithClaims(key.method, &issued{
		RegisteredClaims: gojwt.RegisteredClaims{
			Issuer:    i.o.Issuer,
			Subject:   i.o.Subject,
			Audience:  gojwt.ClaimStrings{audience},
			IssuedAt:  gojwt.NewNumericDate(now),
			ExpiresAt: gojwt.NewNumericDate(expires),
			ID:        rand.Text(),
		},
		Scope: i.scope,
	})
	token.Header["kid"] = key.id
	signed, err := token.SignedString(key.sign)
	if err != nil {
		return entry{}, fmt.Errorf("jwt: token for %q: sign with %v: %w", audience, i.o.Key, err)
	}
	return entry{token: signed, renewAt: now.Add(i.o.Lifetime / 5 * 4), expires: expires}, nil
}

// wallClock is the time without its monotonic part: expiry is a matter of the calendar, also for a machine that slept.
func wallClock() time.Time { return time.Now().Round(0) }
