package platform

import (
	"github.com/mainstay-go/mainstay/auth/jwt"
)

// issuer vouches for all services of the shop: they share one secret.
const issuer = "shop"

// keyID names the secret, so that another can be accepted beside it while it is replaced.
const keyID = "1"

// identify gives the service its own identity, and the means to check those of others.
func (p *Platform) identify() error {
	secret, safe, err := p.secret()
	if err != nil {
		return err
	}
	if !safe {
		p.Logger.Warn("tokens are signed with the development secret, which everybody knows; give -secret-file")
	}
	key, err := jwt.HS256(keyID, secret)
	if err != nil {
		return err
	}
	p.Tokens, err = jwt.NewIssuer(&jwt.IssuerOptions{Issuer: issuer, Subject: p.Name, Key: key, Logger: p.Logger})
	if err != nil {
		return err
	}
	p.Verifier, err = jwt.NewVerifier(&jwt.VerifierOptions{
		Issuer: issuer, Audience: p.Name, Keys: []jwt.Key{key},
	})
	return err
}
