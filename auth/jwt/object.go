package jwt

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// pick sets values[i] to what doc, a JSON object in UTF-8, has under names[i], as it is written, and leaves it nil
// where there is nothing. null counts as an object without members.
//
// It returns false where doc is no object, and where another reader might see another value: where one of the names is
// there twice, or in another case, which encoding/json takes for the same, and where any name is written with escapes.
func pick(doc []byte, names []string, values [][]byte) bool {
	if !utf8.Valid(doc) || !json.Valid(doc) {
		return false
	}
	doc = bytes.TrimLeft(doc, " \t\r\n")
	if doc[0] != '{' {
		return doc[0] == 'n'
	}
	for w := (walk{doc[1:]}); ; {
		name := w.next()
		if len(name) == 0 {
			return true
		}
		value := w.next()
		i, ok := nameIndex(name[1:len(name)-1], names)
		switch {
		case !ok:
			return false
		case i < 0:
			continue
		case values[i] != nil:
			return false
		}
		values[i] = value
	}
}

// nameIndex returns where name is among names, -1 where it is not, and false where another reader might find it there.
func nameIndex(name []byte, names []string) (int, bool) {
	if bytes.IndexByte(name, '\\') >= 0 {
		return -1, false
	}
	for i, n := range names {
		if string(name) == n {
			return i, true
		}
	}
	for _, n := range names {
		if bytes.EqualFold(name, []byte(n)) {
			return -1, false
		}
	}
	return -1, true
}

// walk goes over what follows the opening bracket of an object or array in a JSON document. The document must be
// valid: its bounds are not checked again.
type walk struct{ rest []byte }

// next returns the next element of the array, or of the object in turn the next name and its value, as they are
// written; it is empty at the closing bracket.
func (w *walk) next() []byte {
	i := 0
	for isOneOf(w.rest[i], " \t\r\n,:") {
		i++
	}
	rest := w.rest[i:]
	n := valueLen(rest)
	w.rest = rest[n:]
	return rest[:n]
}

// valueLen returns the length of the value at the beginning of doc, 0 at a closing bracket.
func valueLen(doc []byte) int {
	switch doc[0] {
	case '"':
		return stringLen(doc)
	case '{', '[':
		return nestLen(doc)
	}
	i := 0
	for !isOneOf(doc[i], ",]} \t\r\n") {
		i++
	}
	return i
}

func nestLen(doc []byte) int {
	depth := 0
	for i := 0; ; i++ {
		switch doc[i] {
		case '"':
			i += stringLen(doc[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
}

func stringLen(doc []byte) int {
	for i := 1; ; i++ {
		switch doc[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

func isOneOf(b byte, set string) bool { return strings.IndexByte(set, b) >= 0 }

// text returns what value, of a valid document, says as a string. It returns false where it is none, and where it has
// escapes together with U+FFFD, which is what encoding/json makes of an escaped half of a character.
func text(value []byte) ([]byte, bool) {
	if len(value) == 0 || value[0] != '"' {
		return nil, false
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return value[1 : len(value)-1], true
	}
	var s string
	err := json.Unmarshal(value, &s)
	return []byte(s), err == nil && !strings.ContainsRune(s, utf8.RuneError)
}

// absent reports whether a member is missing or null, which is the same here as in encoding/json.
func absent(value []byte) bool { return value == nil || string(value) == "null" }
