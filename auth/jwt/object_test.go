package jwt_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mainstay-go/mainstay/auth/jwt"
)

func TestPick(t *testing.T) {
	for doc, want := range map[string][2]string{ // what is under "a" and "b", as it is written
		`{}`:                              {},
		` null `:                          {},
		`{"a":1}`:                         {"1"},
		`{"b":1,"a":2}`:                   {"2", "1"},
		" {\t\"a\" :\r\n-1.5e3 } \n":      {"-1.5e3"},
		`{"a":null,"b":true}`:             {"null", "true"},
		`{"a":"","b":"x"}`:                {`""`, `"x"`},
		`{"a":"\"}","b":"\\"}`:            {`"\"}"`, `"\\"`},
		`{"a":[],"b":{}}`:                 {"[]", "{}"},
		`{"a": [ {"b":"]"} ] ,"b":{}}`:    {`[ {"b":"]"} ]`, "{}"},
		`{"x":{"a":1},"y":["a","b"]}`:     {},
		`{"x":"a","y":"\",\"a\":1","":2}`: {},
		`{"ä":1,"aa":2,"x":3,"x":4}`:      {},
	} {
		got, ok := jwt.Pick(doc, "a", "b")
		if !ok || string(got[0]) != want[0] || string(got[1]) != want[1] {
			t.Errorf("%s: got %q, %v; want %q, true", doc, got, ok, want)
		}
	}
	for _, doc := range []string{
		"", " ", "{", "}", `{"a"}`, `{"a":}`, `{"a":1,}`, `{"a":1}{}`, `{"a":01}`, `{"a":"` + "\n" + `"}`, `{'a':1}`, `{a:1}`,
		`[]`, `["a"]`, `"a"`, "1", "true", "nul", "\ufeff{}",
		`{"a":1,"a":1}`, `{"a":1,"b":2,"a":null}`, `{"A":1}`, `{"a":1,"A":1}`, `{"\u0061":1}`, `{"x":1,"\/":1}`,
		`{"x":"` + "\xff" + `"}`, `{"` + "\xff" + `":1}`, strings.Repeat("[", 1e6), `{"x":` + strings.Repeat("[", 1e6),
		`{"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`,
	} {
		if got, ok := jwt.Pick(doc, "a", "b"); ok {
			t.Errorf("%.40q: got %q, want false", doc, got)
		}
	}
}

// FuzzPick compares with encoding/json: the same values, and what is refused is no object, or ambiguous.
func FuzzPick(f *testing.F) {
	for _, s := range []string{
		`{"sub":"o","exp":9e9}`, ` { "sub" : [1, {"exp":"]"} ] , "x" : "\\" } `, `{"sub":1,"sub":2}`, `{"SUB":1}`, `null`,
		`[`, `{"ſub":1}`, `{"x":"\ud800"}`, "{\"x\":\"\xff\"}", `{"x":{"sub":1,"sub":2},"exp":-0.0}`, `{"\u0073ub":1}`,
	} {
		f.Add(s)
	}
	names := []string{"sub", "exp"}
	f.Fuzz(func(t *testing.T, doc string) {
		got, ok := jwt.Pick(doc, names...)
		var want map[string]json.RawMessage
		err := json.Unmarshal([]byte(doc), &want)
		if !ok {
			if err == nil && utf8.ValidString(doc) && !ambiguous(doc, names) {
				t.Fatal("got false, want true")
			}
			return
		}
		if err != nil || ambiguous(doc, names) {
			t.Fatalf("got true, want false (%v)", err)
		}
		for i, name := range names {
			if string(got[i]) != string(want[name]) {
				t.Errorf("%s: got %q, want %q", name, got[i], want[name])
			}
		}
	})
}

// ambiguous reports whether doc, a valid object, has one of names twice or in another case, or any name with escapes.
func ambiguous(doc string, names []string) bool {
	seen := map[string]bool{}
	for d := json.NewDecoder(strings.NewReader(doc)); ; {
		begin := d.InputOffset()
		token, err := d.Token()
		if err != nil || token == nil || token == json.Delim('}') {
			return false
		}
		name, ok := token.(string)
		if !ok {
			continue // the opening bracket
		}
		for _, n := range names {
			if strings.EqualFold(name, n) && (name != n || seen[n]) {
				return true
			}
		}
		if strings.Contains(doc[begin:d.InputOffset()], `\`) {
			return true
		}
		seen[name] = true
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return false
		}
	}
}
