package logging

import (
	"log/slog"
	"slices"
	"strings"
)

// redacted stands for the value of a secret.
const redacted = "[REDACTED]"

// DefaultRedact returns the endings of keys that are redacted unless the options say otherwise, in a slice of the
// caller's own: append(logging.DefaultRedact(), "iban") is the usual way to list more.
func DefaultRedact() []string {
	return []string{
		"authorization", "cookie", "password", "passwd", "pwd", "passphrase", "secret", "token", "credential",
		"credentials", "api_key", "api-key", "apikey", "access_key", "access-key", "accesskey", "secret_key",
		"secret-key", "secretkey", "private_key", "private-key", "privatekey", "dsn",
	}
}

// redactor knows the keys of secrets.
type redactor struct {
	endings []string
	last    [256]bool // whether an ending ends with that byte: most keys are told apart by it alone
}

func newRedactor(keys []string) *redactor {
	r := &redactor{}
	for _, k := range keys {
		if k == "" {
			continue // it would end every key
		}
		r.endings = append(r.endings, k)
		r.last[strings.ToLower(k)[len(k)-1]] = true
		r.last[strings.ToUpper(k)[len(k)-1]] = true
	}
	return r
}

func (r *redactor) match(key string) bool {
	if key == "" || !r.last[key[len(key)-1]] {
		return false
	}
	for _, e := range r.endings {
		if n := len(key) - len(e); n >= 0 && strings.EqualFold(key[n:], e) {
			return true
		}
	}
	return false
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
	for i := range attrs {
		attrs[i] = r.attr(attrs[i])
	}
	return slog.GroupValue(attrs...)
}
