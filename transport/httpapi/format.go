package httpapi

import (
	"fmt"
	"maps"
	"net/mail"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"
)

// formats are those of JSON Schema (2020-12, section 7.3 of the validation vocabulary) that are checked. Another is a
// mistake of the declaration: a format that nobody checks is a comment.
var formats = map[string]struct {
	holds func(string) bool
	says  string
}{
	"date-time": {isDateTime, "must be a date and time of RFC 3339"},
	"date":      {isDate, "must be a date such as 2026-01-31"},
	"email":     {isEmail, "must be an email address"},
	"hostname":  {isHostname, "must be a host name"},
	"ipv4":      {isIPv4, "must be an IPv4 address"},
	"ipv6":      {isIPv6, "must be an IPv6 address"},
	"uri":       {isURI, "must be an absolute URI"},
	"uuid":      {isUUID, "must be a UUID"},
}

func formatRule(t reflect.Type, arg string) (rule, error) {
	f, ok := formats[arg]
	switch {
	case !isString(t):
		return rule{}, errForString
	case !ok:
		return rule{}, fmt.Errorf("is none of %s", strings.Join(slices.Sorted(maps.Keys(formats)), ", "))
	}
	return rule{func(v reflect.Value) bool { return f.holds(v.String()) }, f.says}, nil
}

// isDateTime is stricter than time.Parse, which takes a comma before the fraction.
func isDateTime(s string) bool {
	_, err := time.Parse(time.RFC3339Nano, s)
	return err == nil && !strings.Contains(s, ",")
}

func isDate(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

// isEmail takes the Mailbox of RFC 5321, section 4.1.2, within the 254 octets that a path leaves it, but no quoted
// local part: hardly any address has one, and much software trips over it.
func isEmail(s string) bool {
	if len(s) > 254 || strings.ContainsAny(s, "\" \t()<>") {
		return false
	}
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s
}

// isHostname follows RFC 1123, section 2.1: labels of letters, digits and inner hyphens, 63 each and 253 in all.
func isHostname(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if c := label[i]; c != '-' && !isAlphanumeric(c) {
				return false
			}
		}
	}
	return true
}

func isAlphanumeric(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' }

func isIPv4(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is4()
}

// isIPv6 takes no zone, which is of one machine only.
func isIPv6(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Is6() && a.Zone() == ""
}

// isURI follows RFC 3986: a scheme, and nothing that has to be escaped.
func isURI(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte("\"<>\\^`{|}", s[i]) >= 0 {
			return false
		}
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme != ""
}

// isUUID takes the form of RFC 9562, section 4.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if ('0' > c || c > '9') && ('a' > c|0x20 || c|0x20 > 'f') {
				return false
			}
		}
	}
	return true
}
