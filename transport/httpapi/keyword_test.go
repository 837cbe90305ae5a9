package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
)

type level string

// ruled has a field of each keyword, and of each kind of place that a keyword can be at.
type ruled struct {
	Name     string            `json:"name,omitempty" minLength:"2" maxLength:"4"`
	Code     string            `json:"code,omitempty" pattern:"[0-9]{2}"`
	Level    level             `json:"level,omitempty" enum:"low,high"`
	Step     int8              `json:"step,omitempty" enum:"-1,2"`
	Min      int               `json:"min" minimum:"-1" maximum:"10"`
	Big      uint64            `json:"big" maximum:"18446744073709551614"`
	Open     float64           `json:"open" exclusiveMinimum:"-0.5" exclusiveMaximum:"0.5"`
	Maybe    *int              `json:"maybe" minimum:"1"`
	Tags     []string          `json:"tags" maxItems:"2" uniqueItems:"true" maxLength:"3"`
	Some     []*float32        `json:"some,omitempty" minItems:"2" minimum:"0"`
	Grid     [][]int           `json:"grid" maxItems:"1" maximum:"9"`
	Pair     [2]int            `json:"pair" maximum:"9" uniqueItems:"true"`
	Parts    map[string]*ruled `json:"parts,omitempty"`
	Optional struct {
		A string `json:"a" api:"required"`
	} `json:"optional,omitzero"`
	*Base
}

type Base struct {
	Kind string `json:"kind~/x,omitempty" enum:"k"`
}

// valid is a request to begin with. Pair's items must differ, and one of them is 0.
const valid = `"min":0,"open":0,"tags":[],"grid":[],"pair":[1,0]`

func TestKeywords(t *testing.T) {
	e := httpapi.NewEndpoint[ruled, struct{}]("POST /x", public)
	c := serve(e, func(context.Context, ruled) (struct{}, error) { return struct{}{}, nil })
	for _, tt := range []struct {
		name, body string
		want       []string
	}{
		{"NothingIsWrong", valid, nil},
		{"AbsentIsNotChecked", valid + `,"maybe":null`, nil},
		{"BoundsAreInclusive", valid + `,"min":10,"name":"ab","code":"a12","level":"high","step":-1,"maybe":1`, nil},
		{"CharactersAreCodePoints", valid + `,"name":"äöü€"`, nil},
		{"LongerInBytesAloneIsNotLonger", valid + `,"name":"😀😀😀😀"`, nil},
		{"ACombinedCharacterIsTwo", valid + `,"name":"e\u0301e\u0301e\u0301"`,
			[]string{"/name: must be at most 4 characters long"}},
		{"TooShort", valid + `,"name":"ä"`, []string{"/name: must be at least 2 characters long"}},
		{"APatternIsNotAnchored", valid + `,"code":"x12x"`, nil},
		{"NoMatch", valid + `,"code":"1-2"`, []string{"/code: must match [0-9]{2}"}},
		{"NotInTheList", valid + `,"level":"lo"`, []string{"/level: must be one of low, high"}},
		{"NotInTheListOfNumbers", valid + `,"step":1`, []string{"/step: must be one of -1, 2"}},
		{"BelowTheMinimum", valid + `,"min":-2`, []string{"/min: must be at least -1"}},
		{"AboveTheMaximum", valid + `,"min":11`, []string{"/min: must be at most 10"}},
		{"AboveWhatAFloatTellsApart", valid + `,"big":18446744073709551615`,
			[]string{"/big: must be at most 18446744073709551614"}},
		{"AtAnExclusiveMinimum", valid + `,"open":-0.5`, []string{"/open: must be more than -0.5"}},
		{"AtAnExclusiveMaximum", valid + `,"open":0.5`, []string{"/open: must be less than 0.5"}},
		{"APointersValue", valid + `,"maybe":0`, []string{"/maybe: must be at least 1"}},
		{"ItemsAndTheirList", valid + `,"tags":["a","abcd","a"]`, []string{
			"/tags: must have at most 2 items", "/tags: must not have an item twice",
			"/tags/1: must be at most 3 characters long"}},
		{"TooFewItems", valid + `,"some":[1]`, []string{"/some: must have at least 2 items"}},
		{"AnItemBehindAPointer", valid + `,"some":[null,-1]`, []string{"/some/1: must be at least 0"}},
		{"NoItemsAreAbsentWhereEmptyIsOmitted", valid + `,"some":[]`, nil},
		{"AListOfLists", valid + `,"grid":[[1,10],[2]]`,
			[]string{"/grid: must have at most 1 items", "/grid/0/1: must be at most 9"}},
		{"AnArray", valid + `,"pair":[10,10]`,
			[]string{"/pair: must not have an item twice", "/pair/0: must be at most 9", "/pair/1: must be at most 9"}},
		{"AMapsValues", valid + `,"parts":{"b/~":{` + valid + `,"min":11},"a":{` + valid + `,"open":1}}`,
			[]string{"/parts/a/open: must be less than 0.5", "/parts/b~1~0/min: must be at most 10"}},
		{"AnEmbeddedPointersField", valid + `,"kind~/x":"j"`, []string{"/kind~0~1x: must be one of k"}},
		{"AnObjectThatIsOmitted", valid + `,"optional":{}`, nil},
		{"Everything", `"min":11,"open":1,"tags":["a","b","c"],"grid":[[10]],"pair":[1,2],"name":"a","level":"x"`, []string{
			"/name: must be at least 2 characters long", "/level: must be one of low, high", "/min: must be at most 10",
			"/open: must be less than 0.5", "/tags: must have at most 2 items", "/grid/0/0: must be at most 9"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp := post(t, c, "/x", "{"+tt.body+"}")
			if got := violationsOf(t, resp); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got\n %q, want\n %q", got, tt.want)
			}
		})
	}
}

// violationsOf returns what a problem says of single fields, nil for a success.
func violationsOf(t *testing.T, resp *http.Response) (said []string) {
	t.Helper()
	defer resp.Body.Close()
	var p struct {
		Detail string
		Fields []transport.FieldViolation
	}
	if resp.StatusCode < 300 {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
		t.Fatal(err)
	}
	for _, f := range p.Fields {
		said = append(said, f.Field+": "+f.Description)
	}
	if said == nil {
		return []string{fmt.Sprint(resp.StatusCode, " ", p.Detail)}
	}
	return said
}

// TestFormats holds values against each format, by the RFC that it follows.
func TestFormats(t *testing.T) {
	type formatted struct {
		DateTime string `json:"date-time,omitempty" format:"date-time"`
		Date     string `json:"date,omitempty" format:"date"`
		Email    string `json:"email,omitempty" format:"email"`
		Hostname string `json:"hostname,omitempty" format:"hostname"`
		IPv4     string `json:"ipv4,omitempty" format:"ipv4"`
		IPv6     string `json:"ipv6,omitempty" format:"ipv6"`
		URI      string `json:"uri,omitempty" format:"uri"`
		UUID     string `json:"uuid,omitempty" format:"uuid"`
	}
	long := strings.Repeat("a", 63)
	e := httpapi.NewEndpoint[formatted, struct{}]("POST /x", public)
	c := serve(e, func(context.Context, formatted) (struct{}, error) { return struct{}{}, nil })
	for format, tt := range map[string]struct{ good, bad []string }{
		"date-time": {[]string{"2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456789+02:00"},
			[]string{"2026-01-02", "2026-01-02 03:04:05Z", "2026-02-30T00:00:00Z", "2026-01-02T03:04:05",
				"2026-01-02T03:04:05,5Z"}},
		"date": {[]string{"2026-01-31", "2024-02-29"}, []string{"2026-02-29", "2026-1-1", "31.01.2026"}},
		"email": {[]string{"ada@example.com", "a+b@x", "ü@example.com"},
			[]string{"ada", "@x", "Ada <a@x.y>", "a@x.y (c)", `"a b"@x`, "a@x.y, b@x.y"}},
		"hostname": {[]string{"example.com", "a-1.b", "localhost", long + ".x"},
			[]string{"-a.b", "a-.b", "a..b", "a_b", "a.b.", long + "a.x", strings.Repeat("ab.", 85) + "x", "ä.de"}},
		"ipv4": {[]string{"127.0.0.1"}, []string{"::1", "127.0.0", "127.0.0.256", "01.2.3.4"}},
		"ipv6": {[]string{"::1", "2001:db8::1", "::ffff:1.2.3.4"}, []string{"127.0.0.1", "fe80::1%eth0", ":::"}},
		"uri": {[]string{"https://example.com/a?b=c#d", "urn:isbn:0", "mailto:a@x"},
			[]string{"/a", "example.com", "http://a b", "http://ä", "http://[::1"}},
		"uuid": {[]string{"018f3c1e-0000-7000-8000-00000000000a", "018F3C1E-0000-7000-8000-00000000000A"},
			[]string{"018f3c1e00007000800000000000000a", "urn:uuid:018f3c1e-0000-7000-8000-00000000000a",
				"018f3c1e-0000-7000-8000-00000000000g", "018f3c1e-0000-7000-80000-0000000000a"}},
	} {
		for i, value := range append(tt.good, tt.bad...) {
			body, _ := json.Marshal(map[string]string{format: value})
			said := violationsOf(t, post(t, c, "/x", string(body)))
			if refused := said != nil; refused != (i >= len(tt.good)) {
				t.Errorf("format %s, %q: said %q", format, value, said)
			}
		}
	}
}

// TestViolationsOfOtherTypes: encoding/json tells of the first alone, and not which item it is in.
func TestViolationsOfOtherTypes(t *testing.T) {
	type request struct {
		Page  int     `query:"page" maximum:"5"`
		Name  string  `json:"name" minLength:"1"`
		Count uint8   `json:"count"`
		Items []item  `json:"items"`
		Ratio float64 `json:"ratio" minimum:"1"`
		Text  int     `json:"text,string"`
	}
	e := httpapi.NewEndpoint[request, struct{}]("POST /x", public)
	c := serve(e, func(context.Context, request) (struct{}, error) { return struct{}{}, nil })
	for _, tt := range []struct {
		name, query, body string
		want              []string
	}{
		{"AllOfThem", "?page=6",
			`{"name":1,"NAME":null,"count":256,"items":[{"sku":"a"},{"sku":[]},3],"ratio":0,"text":"1"}`, []string{
				"page: must be at most 5", "/name: must be a string", "/count: must be an integer from 0 to 255",
				"/items/1/sku: must be a string", "/items/2: must be an object", "/ratio: must be at least 1"}},
		{"WhatIsMissingBeside", "", `{"items":[{"next":{"sku":1}}],"ratio":"x"}`, []string{
			"/items/0/next/sku: must be a string", "/ratio: must be a number from -1.7e308 to 1.7e308",
			"/name: must be at least 1 characters long", "/items/0/sku: is required"}},
		{"NothingBelowWhatIsNoObject", "", `{"name":"n","ratio":1,"items":{"a":[]}}`, []string{"/items: must be an array"}},
		{"TheBody", "?page=x", `"x"`, []string{"page: must be an integer", ": must be an object"}},
		{"ANumberInAString", "", `{"name":"n","ratio":1,"text":5}`, []string{
			"/text: must be a string that holds an integer from -9223372036854775808 to 9223372036854775807"}},
		{"AListWhereAStringHoldsANumber", "", `{"name":"n","ratio":1,"text":[]}`, []string{
			"/text: must be a string that holds an integer from -9223372036854775808 to 9223372036854775807"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := violationsOf(t, post(t, c, "/x"+tt.query, tt.body))
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got\n %q, want\n %q", got, tt.want)
			}
		})
	}
	t.Run("NoneOfWhatNobodyRead", func(t *testing.T) {
		// encoding/json stops at a type of its own methods, so that Name is empty, though it was sent.
		type timed struct {
			At   level `json:"-"`
			When stamp
			Name string `api:"required"`
		}
		e := httpapi.NewEndpoint[timed, struct{}]("POST /x", public)
		c := serve(e, func(context.Context, timed) (struct{}, error) { return struct{}{}, nil })
		got := violationsOf(t, post(t, c, "/x", `{"When":"nil","Name":"n"}`))
		if want := []string{"/When: is malformed"}; !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// stamp reads itself.
type stamp struct{ n int }

func (s *stamp) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &s.n) }

// TestViolationsAreBounded: what a caller sends decides their number and their length.
func TestViolationsAreBounded(t *testing.T) {
	type request struct {
		Items []item `json:"items"`
	}
	for name, tt := range map[string]struct {
		strict bool
		body   string
	}{
		"ByNumber":      {false, `{"items":[` + strings.Repeat("{},", 50_000) + `{}]}`},
		"OfAnotherType": {false, `{"items":[` + strings.Repeat("1,", 50_000) + `1]}`},
		"ByDepth": {false, `{"items":[` +
			strings.Repeat(`{"sku":1,"next":`, 4000) + `{}` + strings.Repeat("}", 4000) + "]}"},
		"ByLengthOfNames": {true, `{"` + strings.Repeat("~", 500_000) + `":1,"` + strings.Repeat("a", 400_000) + `":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			e := httpapi.NewEndpoint[request, struct{}]("POST /x",
				&httpapi.EndpointOptions{Access: transport.Public, Strict: tt.strict})
			c := serve(e, func(context.Context, request) (struct{}, error) { return struct{}{}, nil })
			resp := post(t, c, "/x", tt.body)
			if resp.ContentLength > 64<<10 || resp.StatusCode != 400 {
				t.Errorf("status %d, %d bytes, want 400 and at most 64 KiB", resp.StatusCode, resp.ContentLength)
			}
			if got := len(violationsOf(t, resp)); got > 64 || got < 2 {
				t.Errorf("%d violations, want 2 to 64", got)
			}
		})
	}
}

// TestDeclarationMistakes are said in the words of the file that they stand in.
func TestDeclarationMistakes(t *testing.T) {
	for _, tt := range []struct {
		declare func()
		want    string // in the panic
	}{
		{declare[struct {
			A string `json:"a" maximum:"1"`
		}], "`json:\"a\" maximum:\"1\"`: maximum:\"1\" is for numbers"},
		{declare[struct {
			A int `maximum:"1.5"`
		}], `.A ` + "`maximum:\"1.5\"`" + `: maximum:"1.5" names no int`},
		{declare[struct {
			A uint8 `minimum:"256"`
		}], `names no uint8`},
		{declare[struct {
			A float64 `minimum:"NaN"`
		}], `names no float64`},
		{declare[struct {
			A int `minLength:"1"`
		}], "is for strings"},
		{declare[struct {
			A string `minLength:"-1"`
		}], "is no integer of 0 or more"},
		{declare[struct {
			A string `pattern:"("`
		}], "is no regular expression"},
		{declare[struct {
			A string `format:"phone"`
		}], "is none of date, date-time, email, hostname"},
		{declare[struct {
			A bool `enum:"true"`
		}], "is for numbers"},
		{declare[struct {
			A string `minItems:"1"`
		}], "is for slices and arrays"},
		{declare[struct {
			A []byte `maxItems:"1"`
		}], "is for slices and arrays"},
		{declare[struct {
			A []item `uniqueItems:"true"`
		}], "is for lists of strings, numbers and booleans"},
		{declare[struct {
			A []int `uniqueItems:"yes"`
		}], `knows "true" only`},
		{declare[struct {
			A string `maxlength:"1"`
		}], "maxlength is spelled maxLength"},
		{declare[struct {
			A int `multipleOf:"2"`
		}], "multipleOf is not supported, and would not be checked"},
		{declare[struct {
			A int `json:"a" required:"true"`
		}], "required is not supported"},
		{declare[struct {
			A struct {
				B []struct {
					C stamp `json:"c" minLength:"1"`
				}
			}
		}], ".C `json:\"c\" minLength:\"1\"`: minLength:\"1\" is for strings"},
		{declare[named], "httpapi_test.named.Count `json:\"count\" minimum:\"x\"`"},
		{declare[struct {
			A int `query:"a" default:"x"`
		}], `default:"x" must be an integer`},
		{declare[struct {
			A int `query:"a" default:"0" minimum:"1"`
		}], `default:"0" must be at least 1`},
		{declare[struct {
			A int `query:"a" default:"1" api:"required"`
		}], "has no default: it is required"},
		{declare[struct {
			A string `cookie:"a b"`
		}], "is no cookie name"},
		{declare[struct {
			A string `header:"content-length"`
		}], "is net/http's own header"},
		{declare[struct {
			A string `header:"cookie"`
		}], "is net/http's own header"},
		{declare[struct {
			A string `header:"Transfer-Encoding"`
		}], "is net/http's own header"},
		{declare[struct {
			A *string `path:"a"`
		}], "is never absent: no pointer, and no default"},
		{declare[struct {
			A string `path:"a" default:"x"`
		}], "is never absent: no pointer, and no default"},
		{declare[struct {
			A int `query:"a" minimum:"x"`
		}], `minimum:"x" names no int`},
		{declare[struct {
			A [2]int `query:"a"`
		}], "no parameter can be a [2]int"},
		{declare[struct {
			A string `body:"/csv"`
		}], "it must be a []byte"},
		{declare[struct {
			A []byte `body:"/csv"`
		}], "has no media type"},
		{declare[struct {
			A []byte `body:"text/a b"`
		}], "has no media type"},
		{declare[struct {
			A []byte `body:"a b/csv"`
		}], "has no media type"},
		{declare[struct {
			A []byte `body:"*/csv"`
		}], "has no media type"},
		{declare[struct {
			A int `pattern:"a"`
		}], "is for strings"},
		{declare[struct {
			A word `minLength:"1"`
		}], "is for strings"},
		{declare[struct {
			A word `enum:"a"`
		}], "is for numbers"},
		{declare[struct {
			A bool `minimum:"1"`
		}], "is for numbers"},
		{declare[struct {
			A count `minimum:"1"`
		}], "is for numbers"},
		{declare[struct {
			A int8 `maximum:"128"`
		}], "names no int8"},
		{declare[struct {
			A float32 `maximum:"1e39"`
		}], "names no float32"},
		{declare[struct {
			A string `maxLength:"4294967296"`
		}], "is no integer of 0 or more"},
		{declare[struct {
			A string `uniqueItems:"true"`
		}], "is for slices and arrays"},
		{declare[struct {
			A string `json:"a" Required:"true"`
		}], "Required is not supported"},
		{declare[struct {
			a string `api:"required"`
		}], "is not exported"},
		{declare[struct {
			A struct {
				b string `api:"required"`
			}
		}], "is not exported"},
		{declare[struct {
			*Page
			B string
		}], "holds parameters: embed the struct, not a pointer"},
		{declare[struct{ mixed }], "mixes parameters and body: split it"},
		{declare[struct {
			reading
			B int `query:"b"`
		}], "a type with its own JSON methods has no fields beside the body"},
	} {
		func() {
			defer func() {
				v := fmt.Sprint(recover())
				if !strings.Contains(v, tt.want) || !strings.HasPrefix(v, `httpapi: endpoint "POST /x": `) {
					t.Errorf("got %s\nwant %s", v, tt.want)
				}
			}()
			tt.declare()
		}()
	}
}

// word and count read themselves: what a keyword would be held against is not what was sent.
type (
	word  string
	count int
)

func (w *word) UnmarshalText([]byte) error  { return nil }
func (c *count) UnmarshalText([]byte) error { return nil }

type reading struct{ N int }

func (r *reading) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &r.N) }

// TestRequestThatReadsItself is the body as its method wants it.
func TestRequestThatReadsItself(t *testing.T) {
	e := httpapi.NewEndpoint[reading, struct{}]("POST /x", public)
	var got reading
	c := serve(e, func(_ context.Context, r reading) (struct{}, error) { got = r; return struct{}{}, nil })
	if said := violationsOf(t, post(t, c, "/x", "7")); said != nil || got.N != 7 {
		t.Errorf("the handler got %+v, %q, want 7", got, said)
	}
}

// TestFieldsOfNoPlace are neither parameters nor members of a body: GET has none.
func TestFieldsOfNoPlace(t *testing.T) {
	httpapi.NewEndpoint[struct {
		kept   int
		Hidden string `json:"-"`
		A      string `query:"a"`
	}, struct{}]("GET /x", nil)
}

// TestBodySetsNoEmbeddedParameter, neither by its own name nor by that of its struct.
func TestBodySetsNoEmbeddedParameter(t *testing.T) {
	type Deep struct{ Page }
	type request struct {
		Deep
		Tag string `json:"tag"`
	}
	e := httpapi.NewEndpoint[request, struct{}]("POST /x", public)
	var got request
	c := serve(e, func(_ context.Context, r request) (struct{}, error) { got = r; return struct{}{}, nil })
	for _, body := range []string{`{"Limit":5,"tag":"t"}`, `{"Deep":{"Page":{"Limit":5}},"Page":{"Limit":5},"tag":"t"}`} {
		said := violationsOf(t, post(t, c, "/x?limit=3", body))
		if want := (request{Deep{Page{3}}, "t"}); said != nil || got != want {
			t.Errorf("%s: the handler got %+v, %q, want %+v", body, got, said, want)
		}
		if _ = violationsOf(t, post(t, c, "/x", body)); got.Limit != 0 {
			t.Errorf("%s: limit %d, want 0", body, got.Limit)
		}
	}
}

type named struct {
	Count int `json:"count" minimum:"x"`
}

func declare[Req any]() { httpapi.NewEndpoint[Req, struct{}]("POST /x", nil) }
