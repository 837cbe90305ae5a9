package idempotency

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestParseKey(t *testing.T) {
	long := strings.Repeat("k", 255)
	for name, tt := range map[string]struct {
		lines []string
		bare  bool
		want  string // the key
		fails string // or part of the error
	}{
		"None":               {nil, false, "", ""},
		"UUID":               {[]string{`"8e03978e-40d5-43dd-bc93-6894a57f9324"`}, false, "8e03978e-40d5-43dd-bc93-6894a57f9324", ""},
		"Spaces":             {[]string{`  "k l"  `}, false, "k l", ""},
		"Escapes":            {[]string{`"\"\\"`}, false, `"\`, ""},
		"Longest":            {[]string{`"` + long + `"`}, false, long, ""},
		"TooLong":            {[]string{`"` + long + `k"`}, false, "", "256 characters"},
		"Empty":              {[]string{`""`}, false, "", "is empty"},
		"EmptyLine":          {[]string{``}, false, "", "in quotes"},
		"EmptyLineBare":      {[]string{``}, true, "", "is empty"},
		"Twice":              {[]string{`"k"`, `"k"`}, false, "", "more than once"},
		"List":               {[]string{`"k", "l"`}, false, "", "behind its string"},
		"Parameters":         {[]string{`"k";a=1`}, false, "", "behind its string"},
		"NotClosed":          {[]string{`"k`}, false, "", "no closing quote"},
		"OneQuote":           {[]string{`"`}, false, "", "no closing quote"},
		"ClosedByAnEscape":   {[]string{`"k\"`}, false, "", "no closing quote"},
		"OtherEscape":        {[]string{`"\n"`}, false, "", "escapes neither"},
		"EndsInABackslash":   {[]string{`"k\`}, false, "", "escapes neither"},
		"NotASCII":           {[]string{"\"k\u00e9\""}, false, "", "0xc3"},
		"Control":            {[]string{"\"k\x00\""}, false, "", "0x0"},
		"Tab":                {[]string{"\"k\t\""}, false, "", "0x9"},
		"Delete":             {[]string{"\"k\x7f\""}, false, "", "0x7f"},
		"Token":              {[]string{`abc`}, false, "", "in quotes"},
		"Number":             {[]string{`42`}, false, "", "in quotes"},
		"Binary":             {[]string{`:aGk=:`}, false, "", "in quotes"},
		"Bare":               {[]string{`8e03978e-40d5`}, true, "8e03978e-40d5", ""},
		"BareQuoted":         {[]string{`"k l"`}, true, "k l", ""},
		"BareList":           {[]string{`a, b`}, true, "", "','"},
		"BareParameters":     {[]string{`a;b`}, true, "", "';'"},
		"BareQuoteInside":    {[]string{`a"b"`}, true, "", `'"'`},
		"BareTooLong":        {[]string{long + "k"}, true, "", "256 characters"},
		"BareSpaceInside":    {[]string{`a b`}, true, "", "' '"},
		"BareBrokenEncoding": {[]string{"a\xff"}, true, "", "position 2"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseKey(tt.lines, tt.bare)
			if got != tt.want || (err != nil) != (tt.fails != "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("parseKey(%q) = %q, %v, want %q, error %q", tt.lines, got, err, tt.want, tt.fails)
			}
		})
	}
}

// FuzzParseKey: what is a key can be written as one, and is read as the same; nothing else is one.
func FuzzParseKey(f *testing.F) {
	for _, s := range []string{`"k"`, `k`, `""`, `"\"`, `"\\"`, `"a" `, `"a";b`, "\"\x00\"", "\xff", ``} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, line string, bare bool) {
		key, err := parseKey([]string{line}, bare)
		if (err == nil) != (key != "") || len(key) > maxKey {
			t.Fatalf("parseKey(%q) = %q, %v", line, key, err)
		}
		if err != nil {
			return
		}
		quoted := `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(key) + `"`
		if again, err := parseKey([]string{quoted}, false); again != key || err != nil {
			t.Errorf("parseKey(%q) = %q, but of %q %q, %v", line, key, quoted, again, err)
		}
		if !bare && strings.Trim(line, " ") != quoted {
			t.Errorf("%q is taken for the key %q, which is written %q", line, key, quoted)
		}
	})
}

// FuzzAnswer: an answer comes back from the table as it went there, and nothing that is there makes it panic.
func FuzzAnswer(f *testing.F) {
	f.Add("X-Order", "1", []byte("body"), []byte("A: b\r\n"), int64(200))
	f.Add("Link", " \xe9:\t", []byte(nil), []byte("no header"), int64(0))
	f.Fuzz(func(t *testing.T, name, value string, body, raw []byte, status int64) {
		var stored found
		stored.status.Int64, stored.header = status, raw
		_, _ = decodeAnswer(&stored)

		name = http.CanonicalHeaderKey(name)
		for _, r := range name {
			if r > '~' || !strings.ContainsRune("-!#$%&'*+.^_`|~", r) && (r < '0' || r > '9') && (r < 'A' || r > 'z') || r == '[' || r == ']' || r == '\\' {
				return
			}
		}
		if name == "" || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) || value != strings.TrimSpace(value) {
			return // net/http would not send it
		}
		a := &answer{status: 200, header: http.Header{name: {value, value}}, body: body}
		stored.status.Int64, stored.header, stored.body = 200, a.encodeHeader(), a.body
		b, err := decodeAnswer(&stored)
		if err != nil || fmt.Sprint(b) != fmt.Sprint(a) {
			t.Errorf("came back as %+v, %v, want %+v", b, err, a)
		}
	})
}
