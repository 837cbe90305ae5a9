package logging

import (
	"log/slog"
	"slices"
	"strings"
	"unicode/utf8"
)

// redacted stands for the value of a secret.
const redacted = "[REDACTED]"

// DefaultRedact returns the endings of keys that are redacted unless the options say otherwise, in a slice of the
// caller's own: append(logging.DefaultRedact(), "iban") is the usual way to list more.
func DefaultRedact() []string {
	return []string{
		"authorization", "cookie", "password", "passwd", "pwd", "passphrase", "secret", "token", "credential",
		"passwords", "secrets", "credentials", "jwt", "api_key", "api-key", "apikey", "access_key", "access-key",
		"accesskey", "secret_key",
		"secret-key", "secretkey", "private_key", "private-key", "privatekey", "dsn",
	}
}

// redactor knows the keys of secrets.
type redactor struct {
	endings []string
	// before has, for the last byte of a key, which bytes may come before it in the key of a secret, as a set of their
	// five lower bits, which an ASCII letter has in either case. Most keys are told apart by these two bytes alone.
	before [256]uint32
}

func newRedactor(keys []string) *redactor {
	r := &redactor{}
	for _, k := range keys {
		if k == "" {
			continue // it would end every key
		}
		r.endings = append(r.endings, k)
		if strings.ContainsFunc(k, func(c rune) bool { return c >= utf8.RuneSelf }) {
			for i := range r.before {
				r.before[i] = ^uint32(0) // there is more than two cases, and of other bytes
			}
			continue
		}
		before := ^uint32(0)
		if len(k) > 1 {
			before = 1 << (k[len(k)-2] & 31)
		}
		r.before[strings.ToLower(k)[len(k)-1]] |= before
		r.before[strings.ToUpper(k)[len(k)-1]] |= before
	}
	return r
}

func (r *redactor) match(key string) bool {
	if !r.mayMatch(key) {
		return false
	}
	for _, e := range r.endings {
		if n := len(key) - len(e); n >= 0 && strings.EqualFold(key[n:], e) {
			return true
		}
	}
	return false
}

// mayMatch reports false for most keys that do not match.
func (r *redactor) mayMatch(key string) bool {
	n := len(key)
	if n < 2 {
		return n == 1
	}
	return r.before[key[n-1]]>>(key[n-2]&31)&1 != 0
}

// spares reports whether all attributes of rec are surely left as they are.
func (r *redactor) spares(rec *slog.Record) bool {
	spared := true
	rec.Attrs(func(a slog.Attr) bool {
		spared = !r.mayChange(&a)
		return spared
	})
	return spared
}

// all takes the secrets out of attrs.
func (r *redactor) all(attrs []slog.Attr) {
	for i := range attrs {
		if a := &attrs[i]; r.mayChange(a) {
			*a = r.attr(*a)
		}
	}
}

// mayChange reports false for most attributes that attr leaves as they are. A group comes after all other kinds but the
// LogValuer.
func (r *redactor) mayChange(a *slog.Attr) bool {
	return r.mayMatch(a.Key) || a.Value.Kind() >= slog.KindGroup
}

// attr returns a without secrets, however deep in groups they are. What computes itself (slog.LogValuer) is computed
// to be looked at.
func (r *redactor) attr(a slog.Attr) slog.Attr {
	if len(r.endings) == 0 {
		return a
	}
	if r.match(a.Key) {
		return slog.String(a.Key, redacted)
	}
	switch a.Value.Kind() {
	case slog.KindLogValuer:
		a.Value = a.Value.Resolve()
		if a.Value.Kind() == slog.KindGroup {
			a.Value = r.group(a.Value)
		}
	case slog.KindGroup:
		a.Value = r.group(a.Value)
	}
	return a
}

// group returns a copy of the group v without secrets: its attributes are its maker's.
func (r *redactor) group(v slog.Value) slog.Value {
	attrs := slices.Clone(v.Group())
	r.all(attrs)
	return slog.GroupValue(attrs...)
}
