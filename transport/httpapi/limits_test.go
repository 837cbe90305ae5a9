package httpapi_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
	"github.com/mainstay-go/mainstay/transport/internal/reqstate"
)

type thing struct {
	Name string `json:"name"`
}

// ofSize is a JSON body of n bytes.
func ofSize(n int) string {
	const frame = `{"name":""}`
	return `{"name":"` + strings.Repeat("x", n-len(frame)) + `"}`
}

// TestMaxBody: the limit is exact, and whose it is follows from the options.
func TestMaxBody(t *testing.T) {
	const mib = 1 << 20
	for _, tt := range []struct {
		name    string
		maxBody int64
		server  int64 // limit that a server layer watches, 0 for no such layer
		size    int
		status  int
		watched int64 // what the server is to watch afterwards
	}{
		{"DefaultFits", 0, 0, mib, 204, 0},
		{"PastTheDefault", 0, 0, mib + 1, 413, 0},
		{"OwnFits", 100, 0, 100, 204, 0},
		{"PastItsOwn", 100, 0, 101, 413, 0},
		{"NegativeIsNone", -1, 0, 4 * mib, 204, 0},
		{"TheServersIsLeftToTheServer", 0, 50, 2 * mib, 204, 50},
		{"ItsOwnIsLeftToTheServerToo", 100, 50, 101, 204, 100},
		{"NegativeLiftsTheServers", -1, 50, 2 * mib, 204, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := httpapi.NewEndpoint[thing, struct{}]("POST /x",
				&httpapi.EndpointOptions{Access: transport.Public, MaxBody: tt.maxBody})
			c := serve(e, func(context.Context, thing) (struct{}, error) { return struct{}{}, nil })
			ctx := &reqstate.Context{Context: t.Context()}
			if tt.server != 0 {
				ctx.WatchBody(tt.server)
			}
			r := httptest.NewRequestWithContext(ctx, "POST", "/x", strings.NewReader(ofSize(tt.size)))
			r.Header.Set("Content-Type", "application/json")
			rec := httptest.NewRecorder()
			c.h.ServeHTTP(rec, r)
			if rec.Code != tt.status || ctx.MaxBody() != tt.watched {
				t.Errorf("status %d, the server watches %d, want %d and %d", rec.Code, ctx.MaxBody(), tt.status, tt.watched)
			}
			if route, _ := ctx.Outcome(); route != "/x" {
				t.Errorf("the server was told the route %q, want /x", route)
			}
		})
	}
}

// TestBodyThatCannotBeRead: what it is answered with says whose fault it is, whatever the body is read as.
func TestBodyThatCannotBeRead(t *testing.T) {
	type (
		form struct {
			A string `form:"a"`
		}
		raw struct {
			A []byte `body:"text/csv"`
		}
	)
	mux := http.NewServeMux()
	httpapi.Handle(mux, httpapi.NewEndpoint[thing, struct{}]("POST /json", public),
		func(context.Context, thing) (struct{}, error) { return struct{}{}, nil })
	httpapi.Handle(mux, httpapi.NewEndpoint[form, struct{}]("POST /form", public),
		func(context.Context, form) (struct{}, error) { return struct{}{}, nil })
	httpapi.Handle(mux, httpapi.NewEndpoint[raw, struct{}]("POST /raw", public),
		func(context.Context, raw) (struct{}, error) { return struct{}{}, nil })
	left, cancel := context.WithCancel(t.Context())
	cancel()
	for _, body := range []struct{ path, contentType string }{
		{"/json", "application/json"},
		{"/form", "application/x-www-form-urlencoded"},
		{"/form", "multipart/form-data; boundary=x"},
		{"/raw", "text/csv"},
	} {
		for _, tt := range []struct {
			ctx    context.Context
			err    error
			status int
		}{
			{t.Context(), errors.New("secret"), 400},
			{t.Context(), os.ErrDeadlineExceeded, 408},
			{left, errors.New("secret"), 499},
		} {
			r := httptest.NewRequestWithContext(tt.ctx, "POST", body.path, iotest.ErrReader(tt.err))
			r.Header.Set("Content-Type", body.contentType)
			rec := httptest.NewRecorder()
			mux.ServeHTTP(rec, r)
			if rec.Code != tt.status || strings.Contains(rec.Body.String(), "secret") {
				t.Errorf("%s, %v: status %d: %s, want %d without the cause", body.contentType, tt.err, rec.Code, rec.Body,
					tt.status)
			}
		}
	}
}

// answering is a client whose server answers so, and that knows whether the body was closed.
type answering struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body, nil for none
	closed *bool
}

func (a answering) Do(r *http.Request) (*http.Response, error) {
	var body io.Reader = strings.NewReader(a.body)
	if a.err != nil {
		body = io.MultiReader(body, iotest.ErrReader(a.err))
	}
	return &http.Response{StatusCode: a.status, Header: a.header, Request: r, Body: closer{body, a.closed}}, nil
}

type closer struct {
	io.Reader
	closed *bool
}

func (c closer) Close() error { *c.closed = true; return nil }

// TestMaxResponse: a response that is too large is no result, and none is left open.
func TestMaxResponse(t *testing.T) {
	type export struct {
		Rows []byte `body:"text/csv"`
	}
	const mib = 1 << 20
	for _, tt := range []struct {
		name string
		max  int64
		size int
		ok   bool
	}{
		{"DefaultFits", 0, 8 * mib, true},
		{"PastTheDefault", 0, 8*mib + 1, false},
		{"OwnFits", 100, 100, true},
		{"PastItsOwn", 100, 101, false},
		{"NegativeIsNone", -1, 9 * mib, true},
	} {
		o := &httpapi.EndpointOptions{MaxResponse: tt.max}
		t.Run(tt.name, func(t *testing.T) {
			closed := false
			_, err := httpapi.NewEndpoint[struct{}, thing]("GET /x", o).Call(t.Context(), answering{status: 200,
				header: http.Header{"Content-Type": {"application/json"}}, body: ofSize(tt.size), closed: &closed}, struct{}{})
			if (err == nil) != tt.ok || !closed {
				t.Errorf("JSON: got %v, closed %t, want a result %t", err, closed, tt.ok)
			}
			closed = false
			got, err := httpapi.NewEndpoint[struct{}, export]("GET /x", o).Call(t.Context(), answering{status: 200,
				header: http.Header{"Content-Type": {"text/csv"}}, body: strings.Repeat("x", tt.size), closed: &closed}, struct{}{})
			if (err == nil) != tt.ok || !closed || tt.ok && len(got.Rows) != tt.size {
				t.Errorf("bytes: got %d, %v, closed %t, want a result %t", len(got.Rows), err, closed, tt.ok)
			}
		})
	}
	t.Run("OfAReaderIsExact", func(t *testing.T) {
		for limit, want := range map[int64]string{0: "0123456789", 10: "0123456789", 9: "012345678", -1: "0123456789"} {
			closed := false
			e := httpapi.NewEndpoint[struct{}, download]("GET /x", &httpapi.EndpointOptions{MaxResponse: limit})
			got, err := e.Call(t.Context(), answering{status: 200, body: "0123456789", closed: &closed}, struct{}{})
			if err != nil {
				t.Fatal(err)
			}
			read, err := io.ReadAll(got.Body)
			if string(read) != want || (err != nil) != (len(want) < 10) || closed {
				t.Errorf("limit %d: read %q, %v, closed %t, want %q and open", limit, read, err, closed, want)
			}
			if _ = got.Body.Close(); !closed {
				t.Errorf("limit %d: closing the result does not close the response", limit)
			}
		}
	})
	t.Run("IsClosedWhateverComes", func(t *testing.T) {
		jsonType := http.Header{"Content-Type": {"application/json"}}
		for name, a := range map[string]answering{
			"a problem":      {status: 404, header: http.Header{"Content-Type": {"application/problem+json"}}, body: `{}`},
			"garbage":        {status: 200, header: jsonType, body: "{"},
			"a page":         {status: 200, header: http.Header{"Content-Type": {"text/html"}}, body: ofSize(20)},
			"a broken body":  {status: 200, header: jsonType, body: "{", err: io.ErrUnexpectedEOF},
			"a bad header":   {status: 200, header: http.Header{"Content-Type": {"application/json"}, "X-At": {"x"}}, body: "{}"},
			"another status": {status: 302, header: http.Header{}, body: "x"},
		} {
			closed := false
			a.closed = &closed
			_, err := httpapi.NewEndpoint[struct{}, saved]("GET /x", nil).Call(t.Context(), a, struct{}{})
			if e := asError(t, err); !closed || a.err != nil && e.Code != transport.Unavailable {
				t.Errorf("%s: %v, closed %t", name, err, closed)
			}
		}
		closed := false
		rows := httpapi.NewEndpoint[struct{}, struct {
			Body io.ReadCloser `body:"text/csv"`
		}]("GET /x", nil)
		_, err := rows.Call(t.Context(), answering{status: 200, header: jsonType, body: "{}", closed: &closed}, struct{}{})
		if err == nil || !closed {
			t.Errorf("a stream of another type: %v, closed %t", err, closed)
		}
	})
	t.Run("ThatIsEmptyIsZero", func(t *testing.T) {
		closed := false
		got, err := httpapi.NewEndpoint[struct{}, thing]("GET /x", nil).Call(t.Context(),
			answering{status: 200, closed: &closed}, struct{}{})
		if err != nil || got != (thing{}) || !closed {
			t.Errorf("got %+v, %v, closed %t, want zero", got, err, closed)
		}
	})
}
