package httpapi

import (
	"testing"
	"unicode/utf8"
)

// The short cuts count no other characters than counting does.
func TestLengthIsCountedInCharacters(t *testing.T) {
	for _, s := range []string{"", "a", "ab", "é", "é€", "🍵", "🍵🍵", "a🍵", "\xff", "\xff\xfe\xfd\xfc", "abcd", "abcde", "🍵a\xffé"} {
		count := utf8.RuneCountInString(s)
		for n := range 10 {
			if got, want := atLeast(s, n), count >= n; got != want {
				t.Errorf("%q has at least %d characters: got %v, want %v", s, n, got, want)
			}
			if got, want := atMost(s, n), count <= n; got != want {
				t.Errorf("%q has at most %d characters: got %v, want %v", s, n, got, want)
			}
		}
	}
}
