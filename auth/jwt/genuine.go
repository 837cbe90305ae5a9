package jwt

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

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

// addScopes takes what is in names so far for the audience, and adds the scopes.
func (g *genuine) addScopes(scope string) {
	const header = 16 // of a string: a list of short names takes many times its length in the token
	g.audience = len(g.names)
	for name := range strings.FieldsSeq(scope) {
		g.names = append(g.names, name)
	}
	g.size = len(g.issuer) + len(g.subject) + len(g.id) + len(scope) + header*cap(g.names)
	for _, name := range g.audiences() {
		g.size += len(name)
	}
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
