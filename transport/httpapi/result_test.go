package httpapi_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
	"github.com/mainstay-go/mainstay/transport/httpclient"
)

type (
	saved struct {
		Status   int       `status:"201,200,204"`
		Location string    `header:"Location"`
		Version  int       `header:"ETag-Version" maximum:"9"`
		At       time.Time `header:"X-At"`
		SKU      string    `json:"sku"`
	}
	moved struct {
		To string `header:"Location"`
	}
	export struct {
		Name string `header:"Content-Disposition"`
		Rows []byte `body:"text/csv"`
	}
	download struct {
		Type string        `header:"Content-Type"`
		Body io.ReadCloser `body:"*/*"`
	}
)

func TestResult(t *testing.T) {
	save := httpapi.NewEndpoint[struct{}, saved]("PUT /x", public)
	t.Run("HasAStatusAndHeaders", func(t *testing.T) {
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		for sent, want := range map[saved]saved{
			{SKU: "s"}: {Status: 201, SKU: "s"},
			{Status: 200, Location: "/x/1", Version: 3, At: at, SKU: "s"}: {
				Status: 200, Location: "/x/1", Version: 3, At: at, SKU: "s"},
			{Status: 204, Version: 4, SKU: "not sent"}: {Status: 204, Version: 4},
		} {
			c := serve(save, func(context.Context, struct{}) (saved, error) { return sent, nil })
			if got, err := save.Call(t.Context(), c, struct{}{}); err != nil || got != want {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		}
	})
	t.Run("IsNotSentWithAnotherStatus", func(t *testing.T) {
		c := serve(save, func(context.Context, struct{}) (saved, error) { return saved{Status: 418, Location: "/x"}, nil })
		r, _ := http.NewRequestWithContext(t.Context(), "PUT", "/x", nil)
		resp, _ := c.Do(r)
		if resp.StatusCode != 500 || resp.Header.Get("Location") != "" {
			t.Errorf("status %d, Location %q, want 500 and none", resp.StatusCode, resp.Header.Get("Location"))
		}
	})
	t.Run("WithABadHeaderIsNoAnswer", func(t *testing.T) {
		for name, value := range map[string]string{"Etag-Version": "x", "X-At": "yesterday"} {
			c := local{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(name, value) })}
			got, err := save.Call(t.Context(), c, struct{}{})
			if e := asError(t, err); e.Code != transport.Internal || got != (saved{}) {
				t.Errorf("%s: got %+v, %v, want zero and internal", name, got, err)
			}
		}
	})
	t.Run("CanBeAPointer", func(t *testing.T) {
		e := httpapi.NewEndpoint[struct{}, *saved]("PUT /x", public)
		for _, want := range []*saved{{Status: 200, Version: 1, SKU: "s"}, {Status: 204}} {
			c := serve(e, func(context.Context, struct{}) (*saved, error) { return want, nil })
			if got, err := e.Call(t.Context(), c, struct{}{}); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		}
	})
	t.Run("CanBeHeadersAlone", func(t *testing.T) {
		e := httpapi.NewEndpoint[struct{}, moved]("GET /x", public)
		c := serve(e, func(context.Context, struct{}) (moved, error) { return moved{"/y"}, nil })
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "/x", nil)
		resp, _ := c.Do(r)
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 204 || len(body) > 0 || resp.Header.Get("Location") != "/y" {
			t.Errorf("status %d, header %v, body %q, want 204 with /y alone", resp.StatusCode, resp.Header, body)
		}
	})
}

// TestStatuses: each that is declared is sent, with a body where it may have one.
func TestStatuses(t *testing.T) {
	for status, body := range map[int]string{
		200: "{\"sku\":\"s\"}\n", 202: "{\"sku\":\"s\"}\n", 204: "", 205: "",
		301: "{\"sku\":\"s\"}\n", 302: "{\"sku\":\"s\"}\n", 303: "{\"sku\":\"s\"}\n", 307: "{\"sku\":\"s\"}\n",
		308: "{\"sku\":\"s\"}\n",
	} {
		e := httpapi.NewEndpoint[struct{}, located]("GET /x",
			&httpapi.EndpointOptions{Access: transport.Public, Status: status})
		rec := httptest.NewRecorder()
		serve(e, func(context.Context, struct{}) (located, error) { return located{"/y", "s"}, nil }).h.
			ServeHTTP(rec, httptest.NewRequest("GET", "/x", nil))
		length := rec.Header().Get("Content-Length")
		if rec.Code != status || rec.Body.String() != body || (length == "") != (body == "") {
			t.Errorf("status %d, %q, length %q, want %d, %q and its length", rec.Code, rec.Body, length, status, body)
		}
		if rec.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("status %d may be sniffed", status)
		}
	}
	t.Run("OfNothingIs204", func(t *testing.T) {
		type unseen struct {
			A int `json:"-"`
		}
		rec := httptest.NewRecorder()
		serve(httpapi.NewEndpoint[struct{}, unseen]("GET /x", public),
			func(context.Context, struct{}) (unseen, error) { return unseen{1}, nil }).h.
			ServeHTTP(rec, httptest.NewRequest("GET", "/x", nil))
		if rec.Code != 204 || rec.Body.Len() > 0 {
			t.Errorf("status %d, %q, want 204 and nothing", rec.Code, rec.Body)
		}
	})
	t.Run("OfANilPointerIs204WhateverIsDeclared", func(t *testing.T) {
		for _, status := range []int{0, 200, 201, 303} {
			e := httpapi.NewEndpoint[struct{}, *located]("GET /x",
				&httpapi.EndpointOptions{Access: transport.Public, Status: status})
			c := serve(e, func(context.Context, struct{}) (*located, error) { return nil, nil })
			rec := httptest.NewRecorder()
			c.h.ServeHTTP(rec, httptest.NewRequest("GET", "/x", nil))
			if rec.Code != 204 || rec.Body.Len() > 0 {
				t.Errorf("declared %d: status %d, %q, want 204 and nothing", status, rec.Code, rec.Body)
			}
		}
		plain := httpapi.NewEndpoint[struct{}, *item]("GET /x", &httpapi.EndpointOptions{Access: transport.Public, Status: 201})
		c := serve(plain, func(context.Context, struct{}) (*item, error) { return nil, nil })
		if got, err := plain.Call(t.Context(), c, struct{}{}); got != nil || err != nil {
			t.Errorf("Call = %+v, %v, want nil, nil", got, err)
		}
	})
	t.Run("OfHeadersAloneArePartsOfTheResult", func(t *testing.T) {
		e := httpapi.NewEndpoint[struct{}, *moved]("GET /x", public)
		c := serve(e, func(context.Context, struct{}) (*moved, error) { return &moved{"/y"}, nil })
		if got, err := e.Call(t.Context(), c, struct{}{}); err != nil || got == nil || got.To != "/y" {
			t.Errorf("Call = %+v, %v, want /y", got, err)
		}
	})
}

type located struct {
	To  string `header:"Location"`
	SKU string `json:"sku"`
}

// TestResultOfATypeThatWritesItself is what its method says, though it is a struct.
func TestResultOfATypeThatWritesItself(t *testing.T) {
	e := httpapi.NewEndpoint[struct{}, time.Time]("GET /x", public)
	want := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := serve(e, func(context.Context, struct{}) (time.Time, error) { return want, nil })
	if got, err := e.Call(t.Context(), c, struct{}{}); err != nil || !got.Equal(want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// TestResultHeaders: zero is not sent, and one that cannot be written is no answer.
func TestResultHeaders(t *testing.T) {
	type dated struct {
		At time.Time `header:"X-At"`
		N  int       `header:"X-N"`
	}
	e := httpapi.NewEndpoint[struct{}, dated]("GET /x", public)
	for _, tt := range []struct {
		sent   dated
		status int
	}{{dated{}, 204}, {dated{At: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), N: 1}, 500}} {
		rec := httptest.NewRecorder()
		serve(e, func(context.Context, struct{}) (dated, error) { return tt.sent, nil }).h.
			ServeHTTP(rec, httptest.NewRequest("GET", "/x", nil))
		if rec.Code != tt.status || rec.Header()["X-At"] != nil || tt.status == 204 && rec.Header()["X-N"] != nil {
			t.Errorf("%+v: status %d, %v, want %d without X-At", tt.sent, rec.Code, rec.Header(), tt.status)
		}
	}
}

func TestRedirect(t *testing.T) {
	e := httpapi.NewEndpoint[struct{}, moved]("GET /old",
		&httpapi.EndpointOptions{Access: transport.Public, Status: http.StatusSeeOther})
	mux := http.NewServeMux()
	httpapi.Handle(mux, e, func(context.Context, struct{}) (moved, error) { return moved{"/new"}, nil })
	mux.HandleFunc("/new", func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	t.Run("IsTheResult", func(t *testing.T) {
		got, err := e.Call(t.Context(), httpclient.New(srv.URL, nil), struct{}{})
		if err != nil || got.To != "/new" {
			t.Errorf("got %+v, %v, want /new", got, err)
		}
	})
	t.Run("ThatWasNotDeclaredIsFollowed", func(t *testing.T) {
		plain := httpapi.NewEndpoint[struct{}, item]("GET /old", public)
		mux := http.NewServeMux()
		mux.Handle("GET /old", http.RedirectHandler("/new", http.StatusFound))
		mux.HandleFunc("GET /new", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"sku":"s"}`)
		})
		srv := httptest.NewServer(mux)
		defer srv.Close()
		got, err := plain.Call(t.Context(), httpclient.New(srv.URL, nil), struct{}{})
		if err != nil || got.SKU != "s" {
			t.Errorf("got %+v, %v, want s", got, err)
		}
	})
}

func TestResultAsItIs(t *testing.T) {
	rows := httpapi.NewEndpoint[struct{}, export]("GET /rows",
		&httpapi.EndpointOptions{Access: transport.Public, MaxResponse: 10})
	t.Run("IsBytes", func(t *testing.T) {
		want := export{Name: `attachment; filename="r.csv"`, Rows: []byte("a,b\n")}
		c := serve(rows, func(context.Context, struct{}) (export, error) { return want, nil })
		if got, err := rows.Call(t.Context(), c, struct{}{}); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	})
	t.Run("IsBounded", func(t *testing.T) {
		c := serve(rows, func(context.Context, struct{}) (export, error) { return export{Rows: make([]byte, 11)}, nil })
		got, err := rows.Call(t.Context(), c, struct{}{})
		if e := asError(t, err); e.Code != transport.Internal || got.Rows != nil {
			t.Errorf("got %+v, %v, want nothing and internal", got, err)
		}
	})
	t.Run("OfAnotherTypeIsNoAnswer", func(t *testing.T) {
		c := local{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") })}
		if _, err := rows.Call(t.Context(), c, struct{}{}); asError(t, err).Code != transport.Internal {
			t.Errorf("got %v, want internal", err)
		}
	})

	file := httpapi.NewEndpoint[struct{}, download]("GET /file", public)
	t.Run("IsReadByTheCallerAndClosedByTheServer", func(t *testing.T) {
		body := &closing{Reader: strings.NewReader("content")}
		c := serve(file, func(context.Context, struct{}) (download, error) { return download{"image/png", body}, nil })
		got, err := file.Call(t.Context(), c, struct{}{})
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(got.Body)
		if err := errors.Join(err, got.Body.Close()); err != nil || string(content) != "content" || got.Type != "image/png" {
			t.Errorf("got %q of %q, %v, want content of image/png", content, got.Type, err)
		}
		if !body.closed {
			t.Error("the server did not close the body")
		}
	})
	t.Run("ThatBreaksOffIsNotTakenForTheWhole", func(t *testing.T) {
		mux := http.NewServeMux()
		httpapi.Handle(mux, file, func(context.Context, struct{}) (download, error) {
			half := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(errors.New("disk")))
			return download{Body: io.NopCloser(half)}, nil
		})
		srv := httptest.NewServer(mux)
		defer srv.Close()
		got, err := file.Call(t.Context(), httpclient.New(srv.URL, nil), struct{}{})
		if err == nil {
			_, err = io.ReadAll(got.Body)
			_ = got.Body.Close()
		}
		if err == nil {
			t.Error("the caller read half of the body without an error")
		}
	})
}

type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Close() error { c.closed = true; return nil }

func TestResultDeclarations(t *testing.T) {
	for name, tt := range map[string]struct {
		declare func()
		want    string
	}{
		"ARedirectToNowhere": {func() {
			httpapi.NewEndpoint[struct{}, item]("GET /x", &httpapi.EndpointOptions{Status: 303})
		}, `status 303 redirects, and no field of httpapi_test.item is header:"Location"`},
		"NotModified": {func() {
			httpapi.NewEndpoint[struct{}, moved]("GET /x", &httpapi.EndpointOptions{Status: 304})
		}, "status 304 is no success and no redirect"},
		"TwoStatuses": {func() {
			httpapi.NewEndpoint[struct{}, saved]("GET /x", &httpapi.EndpointOptions{Status: 200})
		}, "has a status, and so have the options"},
		"NoStatuses": {declareResult[struct {
			S int `status:""`
		}], "is no list such as 200,201"},
		"AStatusOfText": {declareResult[struct {
			S string `status:"200"`
		}], "must be the one status, an exported int"},
		"AReaderNobodyCloses": {declareResult[struct {
			R io.Reader `body:"a/b"`
		}], "must be an io.ReadCloser"},
		"BodyAndJSON": {declareResult[struct {
			R []byte `body:"a/b"`
			B int
		}], "a body is JSON or one field as it is"},
		"TwoBodies": {declareResult[struct {
			A []byte `body:"a/b"`
			B []byte `body:"a/b"`
		}], "is a second body"},
		"TwoStatusFields": {declareResult[struct {
			A int `status:"200"`
			B int `status:"201"`
		}], "must be the one status, an exported int"},
		"AStatusNobodySets": {declareResult[struct {
			a int `status:"200"`
		}], "must be the one status, an exported int"},
		"ADefault": {declareResult[struct {
			H string `header:"X-A" default:"x"`
		}], "has a default, which is for requests"},
		"AnEmbeddedHeader": {declareResult[struct{ moved }], "is embedded and holds a header"},
		"AKeyword": {declareResult[struct {
			B int `json:"b" minimum:"x"`
		}], `minimum:"x" names no int`},
	} {
		t.Run("Refuses"+name, func(t *testing.T) {
			defer func() {
				if v, _ := recover().(string); !strings.Contains(v, tt.want) {
					t.Errorf("got %q, want %q", v, tt.want)
				}
			}()
			tt.declare()
		})
	}
}

func declareResult[Res any]() { httpapi.NewEndpoint[struct{}, Res]("GET /x", nil) }

type soldOut struct {
	SKU  string `json:"sku"`
	Left int    `json:"left"`
}

func (e *soldOut) Error() string { return "only a few " + e.SKU + " are left" }

type locked struct{}

func (locked) Error() string { return "locked" }

func TestDeclaredErrors(t *testing.T) {
	errorsOf := []httpapi.ErrorType{
		httpapi.ErrorOf[*soldOut]("https://shop.example/problems/sold-out", transport.FailedPrecondition),
		httpapi.ErrorOf[locked]("/problems/locked", transport.PermissionDenied),
	}
	e := httpapi.NewEndpoint[struct{}, struct{}]("GET /x",
		&httpapi.EndpointOptions{Access: transport.Public, Errors: errorsOf})
	fail := func(err error) local {
		return serve(e, func(context.Context, struct{}) (struct{}, error) { return struct{}{}, err })
	}
	wrapped := errors.Join(errors.New("secret"), &soldOut{"tea", 3})

	t.Run("ReachTheCallerAsTheyWere", func(t *testing.T) {
		_, err := e.Call(t.Context(), fail(wrapped), struct{}{})
		got, coded := errors.AsType[*soldOut](err)
		if !coded || *got != (soldOut{"tea", 3}) {
			t.Errorf("got %v, want a soldOut of 3 tea", err)
		}
		te := asError(t, err)
		if te.Code != transport.FailedPrecondition || !te.Remote || te.Message != "only a few tea are left" {
			t.Errorf("got %+v, want a remote failed_precondition", te)
		}
		if _, err := e.Call(t.Context(), fail(locked{}), struct{}{}); !errors.Is(err, locked{}) {
			t.Errorf("got %v, want locked", err)
		}
	})
	t.Run("AreProblemsOfTheirType", func(t *testing.T) {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "/x", nil)
		resp, _ := fail(wrapped).Do(r)
		body, _ := io.ReadAll(resp.Body)
		want := `{"type":"https://shop.example/problems/sold-out","title":"Bad Request","status":400,` +
			`"detail":"only a few tea are left","code":"failed_precondition","sku":"tea","left":3}`
		if string(body) != want || resp.StatusCode != 400 {
			t.Errorf("got %d %s\nwant 400 %s", resp.StatusCode, body, want)
		}
	})
	t.Run("PassOnWhereTheyAreDeclared", func(t *testing.T) {
		outer := fail(func() error { _, err := e.Call(t.Context(), fail(wrapped), struct{}{}); return err }())
		_, err := e.Call(t.Context(), outer, struct{}{})
		if got, ok := errors.AsType[*soldOut](err); !ok || got.Left != 3 {
			t.Errorf("got %v, want a soldOut", err)
		}
	})
	t.Run("DoNotPassOnAsAVerdictOnOurCaller", func(t *testing.T) {
		outer := fail(func() error { _, err := e.Call(t.Context(), fail(locked{}), struct{}{}); return err }())
		_, err := e.Call(t.Context(), outer, struct{}{})
		if te := asError(t, err); te.Code != transport.Internal || errors.Is(err, locked{}) {
			t.Errorf("got %v, want internal", err)
		}
	})
	t.Run("AreErrorsLikeAnyOtherElsewhere", func(t *testing.T) {
		plain := httpapi.NewEndpoint[struct{}, struct{}]("GET /x", public)
		c := serve(plain, func(context.Context, struct{}) (struct{}, error) { return struct{}{}, wrapped })
		_, err := plain.Call(t.Context(), c, struct{}{})
		if te := asError(t, err); te.Code != transport.Internal || strings.Contains(err.Error(), "tea") {
			t.Errorf("got %v, want internal without its text", err)
		}
	})
	t.Run("DoNotPassOnAnotherServersVerdict", func(t *testing.T) {
		for _, code := range []transport.Code{transport.Unauthenticated, transport.PermissionDenied, transport.Canceled} {
			verdict := &transport.Error{Code: code, Message: "m", Remote: true}
			_, err := e.Call(t.Context(), fail(errors.Join(verdict, &soldOut{"tea", 3})), struct{}{})
			if _, ok := errors.AsType[*soldOut](err); ok {
				t.Errorf("%v passed on as %v", code, err)
			}
		}
		ours := transport.Errorf(transport.PermissionDenied, "m") // which is about our caller
		_, err := e.Call(t.Context(), fail(errors.Join(ours, &soldOut{"tea", 3})), struct{}{})
		if _, ok := errors.AsType[*soldOut](err); !ok {
			t.Errorf("got %v, want a soldOut", err)
		}
	})
	t.Run("HaveTheirCodesStatus", func(t *testing.T) {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "/x", nil)
		if resp, _ := fail(locked{}).Do(r); resp.StatusCode != 403 {
			t.Errorf("status %d, want 403", resp.StatusCode)
		}
	})
	t.Run("KeepWhatEveryProblemHas", func(t *testing.T) {
		closed := false
		a := answering{status: 400, closed: &closed, header: http.Header{
			"Content-Type": {"application/problem+json"}, "Retry-After": {"7"}},
			body: `{"type":"https://shop.example/problems/sold-out","code":"failed_precondition","sku":"tea",` +
				`"fields":[{"field":"f","description":"d"}]}`}
		_, err := e.Call(t.Context(), a, struct{}{})
		got := asError(t, err)
		if s, ok := errors.AsType[*soldOut](err); !ok || s.SKU != "tea" || got.Delay != 7*time.Second ||
			len(got.Fields) != 1 || !got.Remote {
			t.Errorf("got %+v", got)
		}
		a.body = `{"type":"https://shop.example/problems/sold-out","code":"failed_precondition","sku":1}`
		_, err = e.Call(t.Context(), a, struct{}{})
		if _, ok := errors.AsType[*soldOut](err); ok || asError(t, err).Code != transport.FailedPrecondition {
			t.Errorf("members of another type: got %v, want failed_precondition alone", err)
		}
	})
	t.Run("ThatAreNilAreErrorsLikeAnyOther", func(t *testing.T) {
		_, err := e.Call(t.Context(), fail((*soldOut)(nil)), struct{}{})
		if te := asError(t, err); te.Code != transport.Internal {
			t.Errorf("got %v, want internal", err)
		}
	})
}

type (
	titled struct {
		Title string `json:"title"`
	}
	textError string
)

func (titled) Error() string    { return "" }
func (textError) Error() string { return "" }

func TestErrorDeclarations(t *testing.T) {
	for name, tt := range map[string]struct {
		errors []httpapi.ErrorType
		want   string
	}{
		"NoURI":        {[]httpapi.ErrorType{httpapi.ErrorOf[locked]("", transport.NotFound)}, `"" is no URI`},
		"Blank":        {[]httpapi.ErrorType{httpapi.ErrorOf[locked]("about:blank", transport.NotFound)}, "is no URI of"},
		"OK":           {[]httpapi.ErrorType{httpapi.ErrorOf[locked]("/a", transport.OK)}, "its code is OK"},
		"NoStruct":     {[]httpapi.ErrorType{httpapi.ErrorOf[textError]("/a", transport.NotFound)}, "it is no struct"},
		"TheInterface": {[]httpapi.ErrorType{httpapi.ErrorOf[error]("/a", transport.NotFound)}, "it is no struct"},
		"ATakenName":   {[]httpapi.ErrorType{httpapi.ErrorOf[titled]("/a", transport.NotFound)}, `its member "title"`},
		"Zero":         {[]httpapi.ErrorType{{}}, "it is not made by ErrorOf"},
		"Twice": {[]httpapi.ErrorType{httpapi.ErrorOf[locked]("/a", transport.NotFound),
			httpapi.ErrorOf[*soldOut]("/a", transport.NotFound)}, "is declared twice"},
	} {
		t.Run("Refuses"+name, func(t *testing.T) {
			defer func() {
				if v, _ := recover().(string); !strings.Contains(v, tt.want) {
					t.Errorf("got %q, want %q", v, tt.want)
				}
			}()
			httpapi.NewEndpoint[struct{}, struct{}]("GET /x", &httpapi.EndpointOptions{Errors: tt.errors})
		})
	}
}
