package jwt

import (
	"strconv"
	"time"
)

// The claims that are read (RFC 7519 section 4.1). "scope" is that of RFC 8693 section 4.2: names separated by
// spaces.
const (
	claimIssuer = iota
	claimSubject
	claimAudience
	claimExpires
	claimNotBefore
	claimIssuedAt
	claimID
	claimScope
)

var claimNames = [...]string{
	claimIssuer: "iss", claimSubject: "sub", claimAudience: "aud", claimExpires: "exp", claimNotBefore: "nbf",
	claimIssuedAt: "iat", claimID: "jti", claimScope: "scope",
}

// maxDate is the last second of the year 9999, the last that a date of RFC 3339 has.
const maxDate = 253402300799

// claims are what a token has under claimNames.
type claims struct {
	values [len(claimNames)][]byte // as they are written
	bad    bool                    // one that was read is not of its type
}

// parseClaims returns what a token says, which is genuine once a key has checked the signature, and false where it is
// malformed.
func parseClaims(doc []byte) (*genuine, bool) {
	var c claims
	if !pick(doc, claimNames[:], c.values[:]) {
		return nil, false
	}
	g := &genuine{
		issuer:    c.text(claimIssuer),
		subject:   c.text(claimSubject),
		id:        c.text(claimID),
		names:     c.audience(),
		expires:   c.date(claimExpires),
		notBefore: c.date(claimNotBefore),
		issuedAt:  c.date(claimIssuedAt),
	}
	g.addScopes(c.text(claimScope))
	return g, !c.bad
}

// text is a string, empty where there is none.
func (c *claims) text(claim int) string {
	if absent(c.values[claim]) {
		return ""
	}
	s, ok := text(c.values[claim])
	c.bad = c.bad || !ok
	return string(s)
}

// audience is one name or a list of them (RFC 7519 section 4.1.3). It has room for the scopes that most tokens have.
func (c *claims) audience() []string {
	value := c.values[claimAudience]
	if absent(value) {
		return nil
	}
	names := make([]string, 0, 4)
	if value[0] != '[' {
		return append(names, c.text(claimAudience))
	}
	for w := (walk{value[1:]}); ; {
		element := w.next()
		if len(element) == 0 {
			return names
		}
		name, ok := text(element)
		c.bad = c.bad || !ok
		names = append(names, string(name))
	}
}

// date is a NumericDate (RFC 7519 section 2), zero where there is none. Fractions of a second are cut off.
func (c *claims) date(claim int) time.Time {
	value := c.values[claim]
	if absent(value) {
		return time.Time{}
	}
	seconds, err := strconv.ParseFloat(string(value), 64)
	if err != nil || seconds < 0 || seconds > maxDate {
		c.bad = true
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}
