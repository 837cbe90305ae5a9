package httpapi_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
)

type kinds struct {
	S   string    `query:"s"`
	B   bool      `query:"b"`
	I8  int8      `query:"i8"`
	I64 int64     `query:"i64"`
	U   uint      `query:"u"`
	U8  uint8     `query:"u8"`
	U64 uint64    `query:"u64"`
	F32 float32   `query:"f32"`
	F64 float64   `query:"f64"`
	P   **int     `query:"p"`
	Ps  []*int    `query:"ps"`
	Arr []float32 `query:"arr"`
	H   string    `header:"X-H"`
	C   string    `cookie:"c"`
	Raw io.Reader `body:"*/*"`
}

var allKinds = httpapi.NewEndpoint[kinds, thing]("POST /kinds", public)

// TestWhatIsSent: the request itself, beside what the other end makes of it.
func TestWhatIsSent(t *testing.T) {
	t.Run("NothingOfZero", func(t *testing.T) {
		r, err := requestOf(allKinds, kinds{})
		if err != nil {
			t.Fatal(err)
		}
		want := http.Header{"Accept": {"application/json, application/problem+json"}}
		if r.URL.String() != "/kinds" || !reflect.DeepEqual(r.Header, want) || r.Body != nil {
			t.Errorf("sent %s %v with body %v, want the path and %v alone", r.URL, r.Header, r.Body, want)
		}
		if r.Method != "POST" || r.Pattern != "POST /kinds" {
			t.Errorf("method %q, pattern %q", r.Method, r.Pattern)
		}
	})
	t.Run("EachKindAsText", func(t *testing.T) {
		one := new(1)
		r, err := requestOf(allKinds, kinds{S: "a b&c", B: true, I8: -128, I64: -1 << 63, U: 1, U8: 255, U64: 1<<64 - 1,
			F32: 0.1, F64: 0.1, P: &one, Ps: []*int{one, nil, new(0)}, Arr: []float32{0.1, 0}, H: "h", C: "a b,c",
			Raw: strings.NewReader("x")})
		if err != nil {
			t.Fatal(err)
		}
		want := "/kinds?arr=0.1&arr=0&b=true&f32=0.1&f64=0.1&i64=-9223372036854775808&i8=-128&p=1&ps=1&ps=0&s=a+b%26c&u=1" +
			"&u64=18446744073709551615&u8=255"
		if got := r.URL.String(); got != want {
			t.Errorf("got\n %s, want\n %s", got, want)
		}
		header := http.Header{"Accept": {"application/json, application/problem+json"}, "X-H": {"h"},
			"Cookie": {`c="a b,c"`}, "Content-Type": {"application/octet-stream"}}
		if !reflect.DeepEqual(r.Header, header) {
			t.Errorf("got %v, want %v", r.Header, header)
		}
	})
	t.Run("TakesWhatTheResultIs", func(t *testing.T) {
		r, err := requestOf(httpapi.NewEndpoint[struct{}, export]("GET /x", nil), struct{}{})
		if want := "text/csv, application/problem+json"; err != nil || r.Header.Get("Accept") != want {
			t.Errorf("Accept %q, %v, want %q", r.Header.Get("Accept"), err, want)
		}
	})
}

// TestKindsOfParameters: each has its own range, which it says, and one form.
func TestKindsOfParameters(t *testing.T) {
	var got kinds
	c := serve(allKinds, func(_ context.Context, r kinds) (thing, error) { got = r; return thing{}, nil })
	for query, want := range map[string]string{
		"i8=127": "", "i8=128": "i8: must be an integer from -128 to 127", "i8=0x10": "i8: must be an integer",
		"i8=1_0": "i8: must be an integer", "i8=": "i8: must be an integer", "i8=%2B1": "",
		"u=-1": "u: must be an integer of 0 or more", "u8=256": "u8: must be an integer from 0 to 255",
		"u8=x": "u8: must be an integer of 0 or more", "u64=18446744073709551615": "",
		"u64=18446744073709551616": "u64: must be an integer from 0 to 18446744073709551615",
		"f32=1e39":                 "f32: must be a number from -3.4e38 to 3.4e38", "f32=x": "f32: must be a number",
		"f64=1e309": "f64: must be a number from -1.7e308 to 1.7e308", "f64=NaN": "f64: must be a number",
		"f64=Inf": "f64: must be a number", "f64=1e-400": "", "b=yes": "b: must be true or false",
		"p=x": "p: must be an integer", "ps=1&ps=x&ps=y": "ps: must be an integer", "s=a&s=b": "s: must be there once",
	} {
		said := strings.Join(violationsOf(t, post(t, c, "/kinds?"+query, "")), "; ")
		if said != want {
			t.Errorf("%s: said %q, want %q", query, said, want)
		}
	}
	if said := violationsOf(t, post(t, c, "/kinds?p=0&ps=0&ps=7", "")); said != nil || got.P == nil || **got.P != 0 ||
		len(got.Ps) != 2 || *got.Ps[1] != 7 {
		t.Errorf("the handler got %+v, %q", got, said)
	}
}

type files struct {
	ID   int    `path:"id" minimum:"1"`
	Rest string `path:"rest"`
}

var rest = httpapi.NewEndpoint[files, struct{}]("GET   /files/{id}/{rest...}", public)

// TestRestOfThePath: a wildcard that takes several segments, and may take none.
func TestRestOfThePath(t *testing.T) {
	var got string
	c := serve(rest, func(_ context.Context, r files) (struct{}, error) { got = r.Rest; return struct{}{}, nil })
	for _, want := range []string{"", "a", "a/b c/ü", "a%2Fb/?#", "a/b/"} {
		got = "x"
		if _, err := rest.Call(t.Context(), c, files{1, want}); err != nil || got != want {
			t.Errorf("the handler saw %q, %v, want %q", got, err, want)
		}
	}
	r, err := requestOf(rest, files{1, "a b/%/c"})
	if want := "/files/1/a%20b/%25/c"; err != nil || r.URL.EscapedPath() != want {
		t.Errorf("sent %v, %v, want %s", r.URL, err, want)
	}
	for _, bad := range []string{".", "..", "a/../b", "a/./b", "a//b", "/a"} {
		_, err := rest.Call(t.Context(), c, files{1, bad})
		if e := asError(t, err); e.Code != transport.InvalidArgument || e.Remote {
			t.Errorf("%q: %v, want a local invalid_argument", bad, err)
		}
	}
	t.Run("EndsWhereThePatternDoes", func(t *testing.T) {
		exact := httpapi.NewEndpoint[struct{}, struct{}]("GET /dir/{$}", public)
		c := serve(exact, func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
		if _, err := exact.Call(t.Context(), c, struct{}{}); err != nil {
			t.Errorf("Call: %v", err)
		}
	})
}

// TestPathValue: where the router is another, its values go the way of ServeMux's.
func TestPathValue(t *testing.T) {
	o := &httpapi.HandlerOptions{PathValue: func(_ *http.Request, name string) string {
		return map[string]string{"id": "7", "rest": "a/b", "sku": "tea"}[name]
	}}
	var got files
	h := rest.Handler(func(_ context.Context, r files) (struct{}, error) { got = r; return struct{}{}, nil }, o)
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("GET", "/anything", nil))
	if want := (files{7, "a/b"}); rec.Code != 204 || got != want {
		t.Errorf("status %d, the handler saw %+v, want %+v", rec.Code, got, want)
	}
	var sku string
	s := prices.Handler(func(_ context.Context, r watch, _ func(price) error) error { sku = r.SKU; return nil }, o)
	s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/anything", nil))
	if sku != "tea" {
		t.Errorf("the stream's handler saw %q, want tea", sku)
	}
	t.Run("ThatDoesNotFitIsNotCheckedFurther", func(t *testing.T) {
		c := serve(rest, func(context.Context, files) (struct{}, error) { return struct{}{}, nil })
		for id, want := range map[string]string{"x": "id: must be an integer", "0": "id: must be at least 1"} {
			r, _ := http.NewRequestWithContext(t.Context(), "GET", "/files/"+id+"/", nil)
			resp, _ := c.Do(r)
			if said := strings.Join(violationsOf(t, resp), "; "); said != want {
				t.Errorf("id %s: said %q, want %q", id, said, want)
			}
		}
	})
}

// TestContract: what a router, a log or a document asks an endpoint.
func TestContract(t *testing.T) {
	got := []string{rest.Method(), rest.Path(), rest.Pattern(), prices.String()}
	want := []string{"GET", "/files/{id}/{rest...}", "GET   /files/{id}/{rest...}", "GET /prices/{sku}"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	t.Run("CannotBeChangedFromOutside", func(t *testing.T) {
		scopes := []string{"read"}
		declared := []httpapi.ErrorType{httpapi.ErrorOf[locked]("/locked", transport.NotFound)}
		e := httpapi.NewEndpoint[struct{}, struct{}]("GET /x", &httpapi.EndpointOptions{Scopes: scopes, Errors: declared})
		scopes[0], declared[0] = "", httpapi.ErrorType{}
		c := serve(e, func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
		if got := statusFor(t, c, service("read")); got != 204 {
			t.Errorf("status %d, want 204", got)
		}
		if got := statusFor(t, c, service("")); got != 403 {
			t.Errorf("status %d, want 403", got)
		}
		c = serve(e, func(context.Context, struct{}) (struct{}, error) { return struct{}{}, locked{} })
		if got := statusFor(t, c, service("read")); got != 404 {
			t.Errorf("status %d for a declared error, want 404", got)
		}
	})
}
