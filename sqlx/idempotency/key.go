package idempotency

import (
	"errors"
	"fmt"
	"strings"
)

// maxKey bounds a key, in bytes. The draft sets no bound but expects one.
const maxKey = 255

// parseKey returns the key that the header's lines hold, "" for no line: one Item of the type String (RFC 9651, section
// 3.3.3), as the draft wants it. Parameters, of which the draft has none, are refused. Where bare is set, a key without
// its quotes is one too.
func parseKey(lines []string, bare bool) (string, error) {
	switch len(lines) {
	case 0:
		return "", nil
	case 1:
	default:
		return "", errors.New("is there more than once")
	}
	text := strings.Trim(lines[0], " ")
	key := text
	if strings.HasPrefix(text, `"`) || !bare {
		var err error
		if key, err = parseString(text); err != nil {
			return "", err
		}
	} else if i := strings.IndexFunc(text, notBare); i >= 0 {
		return "", fmt.Errorf("has %q at position %d, which only a string in quotes may have", text[i], i+1)
	}
	switch {
	case key == "":
		return "", errors.New("is empty")
	case len(key) > maxKey:
		return "", fmt.Errorf("has %d characters, want at most %d", len(key), maxKey)
	}
	return key, nil
}

// notBare reports whether a key without quotes may not hold r: what separates the parts of a header may not.
func notBare(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`",;\()<>@[]{}?`, r) }

// parseString returns what a String stands for.
func parseString(text string) (string, error) {
	if !strings.HasPrefix(text, `"`) {
		return "", errors.New(`must be a string in quotes (RFC 9651), such as "8e03978e-40d5-43dd-bc93-6894a57f9324"`)
	}
	var key strings.Builder
	for i := 1; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '"' && i == len(text)-1:
			return key.String(), nil
		case c == '"':
			return "", errors.New("has something behind its string")
		case c == '\\':
			if i++; i == len(text) || text[i] != '"' && text[i] != '\\' {
				return "", fmt.Errorf("has a backslash at position %d that escapes neither a quote nor a backslash", i)
			}
			c = text[i]
		case c < ' ' || c > '~':
			return "", fmt.Errorf("has a byte %#x at position %d, want printable ASCII", c, i+1)
		}
		key.WriteByte(c)
	}
	return "", errors.New("has no closing quote")
}
