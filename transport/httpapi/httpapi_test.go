package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
)

// everything has a field of each kind.
type everything struct {
	ID      string         `path:"id"`
	N       int8           `path:"n"`
	Tags    []string       `query:"tag"`
	Limit   *uint16        `query:"limit"`
	Ratio   float64        `query:"ratio"`
	Deep    bool           `query:"deep"`
	Since   time.Time      `query:"since"`
	Tenant  string         `header:"x-tenant"`
	Version *int64         `header:"If-Version"`
	Name    string         `json:"name"`
	Items   []item         `json:"items,omitempty"`
	Meta    map[string]any `json:"meta,omitempty"`
}

type item struct {
	SKU  string `json:"sku" api:"required"`
	Next *item  `json:"next,omitempty"`
}

var (
	public = &httpapi.EndpointOptions{Access: transport.Public}
	echo   = httpapi.NewEndpoint[everything, everything]("POST /things/{id}/{n}", public)
)

// local is a client of h without a network.
type local struct{ h http.Handler }

func (l local) Do(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	sent := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), r.Body)
	sent.Header, sent.ContentLength = r.Header, r.ContentLength
	l.h.ServeHTTP(rec, sent)
	return rec.Result(), nil
}

// serve mounts one endpoint and returns a client of it.
func serve[Req, Res any](e *httpapi.Endpoint[Req, Res], f func(context.Context, Req) (Res, error)) local {
	mux := http.NewServeMux()
	httpapi.Handle(mux, e, f)
	return local{mux}
}

func TestCall(t *testing.T) {
	t.Run("HandlerSeesWhatTheCallerSent", func(t *testing.T) {
		full := everything{
			ID: "a/b c%2F?#ä", N: -128, Tags: []string{"x", "", "y&z=1"}, Limit: new(uint16(0)), Ratio: 1e-9, Deep: true,
			Since: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Tenant: "acme", Version: new(int64(-7)), Name: "<n>",
			Items: []item{{SKU: "s", Next: &item{SKU: "t"}}}, Meta: map[string]any{"k": "v"},
		}
		for _, want := range []everything{full, {ID: "..x", N: 0}} {
			var got everything
			c := serve(echo, func(_ context.Context, r everything) (everything, error) {
				got = r
				return everything{Name: r.Name}, nil
			})
			if _, err := echo.Call(t.Context(), c, want); err != nil {
				t.Fatalf("Call(%+v): %v", want, err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("the handler saw\n %+v, want\n %+v", got, want)
			}
		}
	})
	t.Run("BodyCannotSetAParameter", func(t *testing.T) {
		var got everything
		c := serve(echo, func(_ context.Context, r everything) (everything, error) { got = r; return r, nil })
		resp := post(t, c, "/things/1/2", `{"Tenant":"evil","ID":"evil","name":"n"}`)
		if resp.StatusCode != 200 || got.Tenant != "" || got.ID != "1" || got.Name != "n" {
			t.Errorf("status %d, request %+v, want tenant empty and id 1", resp.StatusCode, got)
		}
	})
	t.Run("RefusesAPathThatWouldBeAnother", func(t *testing.T) {
		c := serve(echo, func(context.Context, everything) (everything, error) {
			t.Error("the handler ran")
			return everything{}, nil
		})
		for _, id := range []string{"", ".", "..", "/"} {
			_, err := echo.Call(t.Context(), c, everything{ID: id})
			if e := asError(t, err); e.Code != transport.InvalidArgument || e.Remote {
				t.Errorf("id %q: %v, want a local invalid_argument", id, err)
			}
		}
	})
	t.Run("ReturnsTheServersError", func(t *testing.T) {
		want := &transport.Error{Code: transport.FailedPrecondition, Message: "sold out", Delay: 2 * time.Second,
			Fields: []transport.FieldViolation{{Field: "sku", Description: "is sold out"}}}
		c := serve(echo, func(context.Context, everything) (everything, error) { return everything{}, want })
		_, err := echo.Call(t.Context(), c, everything{ID: "1"})
		got := asError(t, err)
		want.Remote = true
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if !strings.HasPrefix(err.Error(), `httpapi: call "POST /things/{id}/{n}": failed_precondition: sold out`) {
			t.Errorf("text %q does not name the call", err)
		}
	})
	t.Run("CodesWhatNeverReachedTheServer", func(t *testing.T) {
		for _, tt := range []struct {
			err  error
			want transport.Code
		}{
			{&url.Error{Op: "Post", Err: errors.New("connection refused")}, transport.Unavailable},
			{&url.Error{Op: "Post", Err: context.Canceled}, transport.Canceled},
			{&url.Error{Op: "Post", Err: context.DeadlineExceeded}, transport.DeadlineExceeded},
		} {
			_, err := echo.Call(t.Context(), failing{tt.err}, everything{ID: "1"})
			if got := asError(t, err); got.Code != tt.want || !errors.Is(err, tt.err) || got.Remote {
				t.Errorf("%v became %v, want %v with its cause", tt.err, err, tt.want)
			}
		}
	})
	t.Run("RefusesAnAnswerThatIsNone", func(t *testing.T) {
		small := httpapi.NewEndpoint[struct{}, everything]("GET /x", &httpapi.EndpointOptions{MaxResponse: 20})
		for name, tt := range map[string]struct {
			status            int
			contentType, body string
			code              transport.Code
		}{
			"a page":     {200, "text/html", "<html>", transport.Internal},
			"garbage":    {200, "application/json", `{"name":"a"} {}`, transport.Internal},
			"too large":  {200, "application/json", `{"name":"aaaaaaaaaaaaaaa"}`, transport.Internal},
			"too long":   {200, "application/json", `{"name":"a"}` + strings.Repeat(" ", 20), transport.Internal},
			"a redirect": {302, "text/html", "", transport.Unknown},
			"no problem": {502, "text/html", "<h1>nginx</h1>", transport.Unavailable},
		} {
			c := local{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tt.contentType)
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.body)
			})}
			got, err := small.Call(t.Context(), c, struct{}{})
			if e := asError(t, err); e.Code != tt.code || !reflect.DeepEqual(got, everything{}) {
				t.Errorf("%s: %+v, %v, want zero and %v", name, got, err, tt.code)
			}
		}
	})
}

type failing struct{ err error }

func (f failing) Do(*http.Request) (*http.Response, error) { return nil, f.err }

func asError(t *testing.T, err error) *transport.Error {
	t.Helper()
	var e *transport.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v holds no *transport.Error", err)
	}
	return e
}

func post(t *testing.T, c httpapi.Caller, path, body string, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestHandlerRefuses(t *testing.T) {
	ok := func(_ context.Context, r everything) (everything, error) { return r, nil }
	lenient := serve(echo, ok)
	strict := serve(httpapi.NewEndpoint[everything, everything]("POST /things/{id}/{n}",
		&httpapi.EndpointOptions{Access: transport.Public, Strict: true, MaxBody: 64}), ok)

	for _, tt := range []struct {
		name   string
		c      local
		path   string
		body   string
		header []string
		status int
		detail string // of the problem: message and fields
	}{
		{name: "UnknownMemberUnderStrict", c: strict, body: `{"name":"n","nom":1}`, status: 400,
			detail: "/nom: is not known"},
		{name: "ParameterInAStrictBody", c: strict, body: `{"ID":"1"}`, status: 400, detail: "/ID: is not known"},
		{name: "UnknownMemberIsIgnored", c: lenient, body: `{"name":"n","nom":1}`, status: 200},
		{name: "Trailing", c: lenient, body: `{"name":"n"} {"name":"m"}`, status: 400, detail: "not valid JSON, at byte 14"},
		{name: "TrailingUnderStrict", c: strict, body: `{"name":"n"} {}`, status: 400, detail: "not valid JSON, at byte 14"},
		{name: "Truncated", c: lenient, body: `{"name":"n`, status: 400, detail: "not valid JSON"},
		{name: "TruncatedUnderStrict", c: strict, body: `{"name":"n`, status: 400, detail: "ends too early"},
		{name: "WrongType", c: lenient, body: `{"items":[{"sku":5}]}`, status: 400, detail: "/items/0/sku: must be a string"},
		{name: "WrongKind", c: lenient, body: `[]`, status: 400, detail: "must be an object"},
		{name: "MissingDeepDown", c: lenient, body: `{"items":[{"sku":"a"},{"sku":"b","next":{}}]}`, status: 400,
			detail: "/items/1/next/sku: is required"},
		{name: "HeaderTwice", c: lenient, body: `{}`, header: []string{"X-Tenant", "a", "X-Tenant", "b"}, status: 400,
			detail: "X-Tenant: must be there once"},
		{name: "QueryTwice", c: lenient, path: "/things/1/2?ratio=1&ratio=2", status: 400,
			detail: "ratio: must be there once"},
		{name: "PathNoNumber", c: lenient, path: "/things/1/x", status: 400, detail: "n: must be an integer"},
		{name: "PathOutOfRange", c: lenient, path: "/things/1/128", status: 400, detail: "n: must be an integer from -128 to 127"},
		{name: "SeveralAtOnce", c: lenient, path: "/things/1/x?since=y", status: 400, detail: "since: is malformed"},
		{name: "BrokenQuery", c: lenient, path: "/things/1/2?a=%zz", status: 400, detail: "query is malformed"},
		{name: "NoJSON", c: lenient, body: `a=b`, header: []string{"Content-Type", "text/plain"}, status: 415},
		{name: "AJSONRelative", c: local{relabel{lenient.h, "application/vnd.x+json; charset=utf-8"}}, body: `{}`,
			status: 200},
		{name: "AForm", c: local{relabel{lenient.h, "application/x-www-form-urlencoded"}}, body: `{}`, status: 415,
			detail: "Content-Type must be application/json"},
		{name: "TooLarge", c: strict, body: `{"name":"` + strings.Repeat("x", 64) + `"}`, status: 413,
			detail: "larger than 64 bytes"},
		{name: "InvalidUTF8", c: lenient, body: "{\"name\":\"a\xffb\"}", status: 400, detail: "it is not UTF-8"},
		{name: "TwiceUnderStrict", c: strict, body: `{"name":"n","name":"m"}`, status: 400, detail: "/name: is there twice"},
		{name: "TwiceDeepUnderStrict", c: strict, body: `{"items":[{"sku":"n","\u0073ku":"m"}]}`, status: 400,
			detail: "/items/0/sku: is there twice"},
		{name: "AnotherCaseUnderStrict", c: strict, body: `{"NAME":"n"}`, status: 400, detail: "/NAME: is not known"},
		{name: "TwiceIsTheLast", c: lenient, body: `{"name":"n","name":"m"}`, status: 200},
		{name: "AnotherCaseIsTaken", c: lenient, body: `{"NAME":"n"}`, status: 200},
		{name: "TooDeep", c: lenient,
			body:   `{"meta":{"a":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "}}",
			status: 400, detail: "not valid JSON"},
		{name: "DeepAndOfAnotherType", c: lenient, body: `{"name":1,"meta":` + strings.Repeat(`{"a":`, 9000) + "1" +
			strings.Repeat("}", 9001), status: 400, detail: "/name: must be a string"},
		{name: "EmptyBodyIsZero", c: lenient, body: ``, status: 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.path == "" {
				tt.path = "/things/1/2"
			}
			resp := post(t, tt.c, tt.path, tt.body, tt.header...)
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.status {
				t.Fatalf("status %d, want %d: %s", resp.StatusCode, tt.status, body)
			}
			if tt.status == 200 {
				return
			}
			if ct := resp.Header.Get("Content-Type"); ct != "application/problem+json" {
				t.Errorf("Content-Type %q, want a problem", ct)
			}
			if tt.status == 413 && resp.Header.Get("Connection") != "close" {
				t.Error("the connection stays open behind a 413")
			}
			var p struct {
				Detail string
				Code   string
				Fields []transport.FieldViolation
			}
			if err := json.Unmarshal(body, &p); err != nil || p.Code != "invalid_argument" {
				t.Fatalf("body %s: %v, want invalid_argument", body, err)
			}
			said := p.Detail
			for _, f := range p.Fields {
				said += "\n" + f.Field + ": " + f.Description
			}
			if !strings.Contains(said, tt.detail) {
				t.Errorf("said %q, want %q in it", said, tt.detail)
			}
		})
	}
}

type relabel struct {
	h           http.Handler
	contentType string
}

func (c relabel) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Header.Set("Content-Type", c.contentType)
	c.h.ServeHTTP(w, r)
}

func TestHandlerAnswers(t *testing.T) {
	get := func(c local) *http.Response {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "/x", nil)
		resp, _ := c.Do(r)
		return resp
	}
	t.Run("NothingWith204", func(t *testing.T) {
		none := httpapi.NewEndpoint[struct{}, struct{}]("GET /x", public)
		c := serve(none, func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
		if resp := get(c); resp.StatusCode != 204 || resp.ContentLength > 0 {
			t.Errorf("status %d, length %d, want 204 and nothing", resp.StatusCode, resp.ContentLength)
		}
		if _, err := none.Call(t.Context(), c, struct{}{}); err != nil {
			t.Errorf("Call: %v", err)
		}
	})
	t.Run("ANilPointerWith204", func(t *testing.T) {
		maybe := httpapi.NewEndpoint[struct{}, *item]("GET /x", public)
		c := serve(maybe, func(context.Context, struct{}) (*item, error) { return nil, nil })
		if got, err := maybe.Call(t.Context(), c, struct{}{}); got != nil || err != nil {
			t.Errorf("Call = %v, %v, want nil, nil", got, err)
		}
	})
	t.Run("TheDeclaredStatus", func(t *testing.T) {
		created := httpapi.NewEndpoint[struct{}, item]("GET /x",
			&httpapi.EndpointOptions{Access: transport.Public, Status: 201})
		resp := get(serve(created, func(context.Context, struct{}) (item, error) { return item{SKU: "<s>"}, nil }))
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 201 || string(body) != "{\"sku\":\"<s>\"}\n" {
			t.Errorf("status %d, body %q", resp.StatusCode, body)
		}
	})
	t.Run("AResultThatDoesNotEncodeWith500", func(t *testing.T) {
		bad := httpapi.NewEndpoint[struct{}, any]("GET /x", public)
		resp := get(serve(bad, func(context.Context, struct{}) (any, error) { return func() {}, nil }))
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 500 || strings.Contains(string(body), "func") {
			t.Errorf("status %d, body %s, want 500 without the reason", resp.StatusCode, body)
		}
	})
	t.Run("AnyOtherErrorWithoutItsText", func(t *testing.T) {
		e := httpapi.NewEndpoint[struct{}, struct{}]("GET /x", public)
		resp := get(serve(e, func(context.Context, struct{}) (struct{}, error) {
			return struct{}{}, errors.New("dial tcp 10.0.0.7: password hunter2")
		}))
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 500 || strings.Contains(string(body), "hunter2") {
			t.Errorf("status %d, body %s, want 500 without the text", resp.StatusCode, body)
		}
	})
	t.Run("ACancellationOfItsOwnWith500", func(t *testing.T) {
		e := httpapi.NewEndpoint[struct{}, struct{}]("GET /x", public)
		resp := get(serve(e, func(context.Context, struct{}) (struct{}, error) { return struct{}{}, context.Canceled }))
		if resp.StatusCode != 500 {
			t.Errorf("status %d, want 500: the caller is still there", resp.StatusCode)
		}
	})
}

type validated struct {
	A int `json:"a" api:"required"`
}

func (v *validated) Validate() error {
	switch v.A {
	case 1:
		return errors.New("a must not be 1")
	case 2:
		return transport.Errorf(transport.OutOfRange, "a is 2")
	}
	return nil
}

func TestValidate(t *testing.T) {
	e := httpapi.NewEndpoint[validated, struct{}]("POST /v", public)
	c := serve(e, func(context.Context, validated) (struct{}, error) { return struct{}{}, nil })
	for a, want := range map[int]string{
		0: "invalid_argument: the request is not valid: /a: is required",
		1: "invalid_argument: a must not be 1",
		2: "out_of_range: a is 2",
	} {
		_, err := e.Call(t.Context(), c, validated{A: a})
		if got := asError(t, err).Error(); got != want {
			t.Errorf("a = %d: %q, want %q", a, got, want)
		}
	}
	if _, err := e.Call(t.Context(), c, validated{A: 3}); err != nil {
		t.Errorf("a = 3: %v", err)
	}
}

// TestViolationsNameEmbeddedFields by their own name alone, as encoding/json does.
func TestViolationsNameEmbeddedFields(t *testing.T) {
	type outer struct {
		Inner struct{ validated } `json:"inner"`
	}
	e := httpapi.NewEndpoint[outer, struct{}]("POST /v", public)
	c := serve(e, func(context.Context, outer) (struct{}, error) { return struct{}{}, nil })
	_, err := e.Call(t.Context(), c, outer{})
	want := "invalid_argument: the request is not valid: /inner/a: is required"
	if got := asError(t, err).Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

type (
	Page struct {
		Limit int `query:"limit"`
	}
	hidden struct {
		Q int `query:"q"`
	}
	Named struct {
		N string `json:"n"`
	}
	Loud struct {
		N string `json:"n"`
	}
	mixed struct {
		Q int `query:"q"`
		B string
	}
	nested struct {
		Page
		Named
		Tag string `json:"tag"`
	}
)

func (Loud) String() string { return "!" }
