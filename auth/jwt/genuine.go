package jwt

import "github.com/mainstay-go/mainstay/auth"

// genuine is what a token says once its signature has been checked. It holds nothing of the token itself, and is
// not changed any more.
type genuine struct {
	key    *material // that checked it
	claims claims
	scopes []string
}

// principal returns whose token it was. Its slices belong to the caller, who may change them.
func (g *genuine) principal(kind auth.Kind) auth.Principal {
	c := &g.claims
	n := len(c.Audience)
	names := make([]string, 0, n+len(g.scopes)) // both lists in one allocation
	names = append(append(names, c.Audience...), g.scopes...)
	return auth.Principal{
		Subject:  c.Subject,
		Issuer:   c.Issuer,
		Kind:     kind,
		Audience: names[:n:n],
		Scopes:   names[n:],
		ID:       c.ID,
		Expires:  c.ExpiresAt.Time,
	}
}

// size returns what g holds in bytes, but for what all have in common.
func (g *genuine) size() int {
	const header = 16 // of a string: a list of short names takes many times its length in the token
	c := &g.claims
	n := len(c.Issuer) + len(c.Subject) + len(c.ID) + len(c.Scope) + header*(cap(c.Audience)+cap(g.scopes))
	for _, name := range c.Audience {
		n += len(name)
	}
	return n
}
