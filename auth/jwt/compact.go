package jwt

import (
	"encoding/base64"
	"strings"
)

// encoding is that of RFC 7515 section 2: no padding, and no bits that count for nothing.
var encoding = base64.RawURLEncoding.Strict()

// compact is a token in the compact form of RFC 7515 section 7.1, taken apart.
type compact struct {
	signed    []byte // header and claims as they were sent, which is what the signature covers
	header    []byte
	claims    []byte
	signature []byte
}

// parseCompact takes token apart. It returns false where that is not three parts in base64.
func parseCompact(token string) (c compact, ok bool) {
	if strings.ContainsAny(token, "\r\n") {
		// encoding/base64 skips them: the same token would have many spellings.
		return compact{}, false
	}
	dot := max(strings.LastIndexByte(token, '.'), 0)
	header, claims, ok := strings.Cut(token[:dot], ".")
	if !ok {
		return compact{}, false
	}
	buf := append(make([]byte, 0, 2*len(token)), token[:dot]...) // one allocation for all four
	c.signed = buf
	for _, part := range [...]struct {
		to   *[]byte
		text string
	}{{&c.header, header}, {&c.claims, claims}, {&c.signature, token[dot+1:]}} {
		begin := len(buf)
		var err error
		if buf, err = encoding.AppendDecode(buf, []byte(part.text)); err != nil {
			return compact{}, false
		}
		*part.to = buf[begin:]
	}
	return c, true
}

// The parameters of a header that are read (RFC 7515 section 4.1).
const (
	paramAlgorithm = iota
	paramType
	paramKeyID
	paramCritical
)

var paramNames = [...]string{
	paramAlgorithm: "alg", paramType: "typ", paramKeyID: "kid", paramCritical: "crit",
}

// header is what a token has under paramNames, as it is written.
type header [len(paramNames)][]byte
