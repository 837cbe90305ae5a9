package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

type inspected struct {
	Text  string           `json:"text"`
	Small int8             `json:"small,omitempty"`
	Ratio float32          `json:"ratio"`
	Flag  *bool            `json:"flag"`
	At    time.Time        `json:"at"`
	Bytes []byte           `json:"bytes"`
	List  []inspected      `json:"list"`
	Pair  [2]string        `json:"pair"`
	Map   map[string][]int `json:"map"`
	Any   any              `json:"any"`
	Raw   json.RawMessage  `json:"raw"`
	Num   *int8            `json:"num,string"`
	Word  string           `json:"word,string"`
	Yes   bool             `json:"yes,string"`
}

// FuzzInspect holds the walk beside the types against encoding/json, which it explains: it finds something wrong where
// that does and nowhere else, and takes no more for known than that does.
func FuzzInspect(f *testing.F) {
	for _, s := range []string{
		`{"text":"a","small":1,"list":[{"text":null}],"map":{"k":[1,2]},"any":{"x":[{}]}}`, `{"TEXT":1,"\u0074ext":2}`,
		`{"list":[{"list":[{"small":128}]}], "pair" : ["a" , 1 , 2] }`, ` [1] `, `"\\\""`, `{"at":"x","text":1}`, `null`,
		`{"map":{"a":1,"a":[""]},"bytes":"*","ratio":1e99}`, "{\"text\"\t:\n\"\\u005d}\"\r,\"raw\":[{\"a\":\"}\"}]}",
		`{"num":"1","word":"\"a\"","yes":"true"}`, `{"num":1,"word":"a","yes":[]}`,
		`{"num":" 1","NUM":"128","word":null,"yes":"null"}`,
		`{"flag":"","nope":[[[]]],"any":-1.5e3}`,
	} {
		f.Add([]byte(s))
	}
	s, err := newSchema(reflect.TypeFor[inspected](), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := json.Unmarshal(data, new(inspected))
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) || !json.Valid(data) {
			t.Skip()
		}
		types := &inspector{data: data, types: true, out: &violations{}}
		types.value(s)
		if found := len(types.out.list) > 0; found != (err != nil) || len(types.out.way) != 0 {
			t.Errorf("encoding/json says %v, the walk %v", err, types.out)
		}
		if rest := strings.TrimSpace(string(data[types.pos:])); rest != "" {
			t.Errorf("%q is left", rest)
		}
		strict := &inspector{data: data, strict: true, out: &violations{}}
		strict.value(s)
		d := json.NewDecoder(bytes.NewReader(data))
		d.DisallowUnknownFields()
		if unknown := d.Decode(new(inspected)); err == nil && unknown != nil && len(strict.out.list) == 0 {
			t.Errorf("encoding/json says %v, the strict walk nothing", unknown)
		}
	})
}

// TestSchemaSettlesNames as encoding/json does.
func TestSchemaSettlesNames(t *testing.T) {
	type Deep struct {
		A int `json:"a"` // hidden by the outer one
		B int `json:"b"` // hidden by Tagged's
		C int // two of one name at one depth: none
		D int `json:"d"`
	}
	type Tagged struct {
		X int `json:"b"`
		C int
	}
	type Untagged struct{ Deep }
	type outer struct {
		A string `json:"a"`
		Untagged
		Tagged
		E int `json:"C"` // and this one above both
		F int `json:"-"`
		g int
	}
	_ = outer{}.g
	s, err := newSchema(reflect.TypeFor[outer](), nil)
	if err != nil {
		t.Fatal(err)
	}
	var encoded map[string]any
	b, _ := json.Marshal(outer{})
	if err := json.Unmarshal(b, &encoded); err != nil {
		t.Fatal(err)
	}
	for name := range encoded {
		if s.byName[name] == nil {
			t.Errorf("%q is not known", name)
		}
	}
	if len(s.byName) != len(encoded) || len(s.members) != len(encoded) {
		t.Errorf("got %v, want the names of %s", s.byName, b)
	}
	if at := s.byName["b"].index; !reflect.DeepEqual(at, []int{2, 0}) {
		t.Errorf("b is at %v, want [2 0]", at)
	}
}
