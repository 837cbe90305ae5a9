package jwt

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"

	"github.com/mainstay-go/mainstay/auth"
)

// genuine is what a token says once its signature has been checked. It holds nothing of the token itself, and few
// pointers: a cache has thousands, which the garbage collector visits each time.
type genuine struct {
	key       *material // that checked it
	issuer    string
	subject   string
	id        string
	names     []string  // the audience, then the scopes
	audience  int       // how many of names are the audience
	expires   time.Time // this and the others: zero where the claim is missing
	notBefore time.Time
	issuedAt  time.Time

	// The cache's.
	size   int // in bytes, but for what all have in common
	digest digest
	used   atomic.Bool // since the hand last passed
}

func newGenuine(key *material, c *claims) *genuine {
	names := slices.Concat(c.Audience, strings.Fields(c.Scope))
	return &genuine{
		key:       key,
		issuer:    c.Issuer,
		subject:   c.Subject,
		id:        c.ID,
		names:     names,
		audience:  len(c.Audience),
		expires:   timeOf(c.ExpiresAt),
		notBefore: timeOf(c.NotBefore),
		issuedAt:  timeOf(c.IssuedAt),
		size:      sizeOf(c, cap(names)),
	}
}

// sizeOf returns what the claims hold in bytes, the names among them in a list with room for so many.
func sizeOf(c *claims, names int) int {
	const header = 16 // of a string: a list of short names takes many times its length in the token
	n := len(c.Issuer) + len(c.Subject) + len(c.ID) + len(c.Scope) + header*names
	for _, name := range c.Audience {
		n += len(name)
	}
	return n
}

// timeOf returns the time of d, zero for none.
func timeOf(d *gojwt.NumericDate) time.Time {
	if d == nil {
		return time.Time{}
	}
	return d.Time
}

// audiences returns whom the token was made for.
func (g *genuine) audiences() []string { return g.names[:g.audience] }

// principal returns whose token it was. Its slices belong to the caller, who may change them.
func (g *genuine) principal(kind auth.Kind) auth.Principal {
	names := slices.Clone(g.names) // both lists in one allocation
	return auth.Principal{
		Subject:  g.subject,
		Issuer:   g.issuer,
		Kind:     kind,
		Audience: names[:g.audience:g.audience],
		Scopes:   names[g.audience:],
		ID:       g.id,
		Expires:  g.expires,
	}
}
