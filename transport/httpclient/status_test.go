package httpclient_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
	"github.com/mainstay-go/mainstay/transport/httpclient"
)

func TestCheckReturnsTheServersError(t *testing.T) {
	sent := &transport.Error{
		Code: transport.InvalidArgument, Message: "no such colour", Delay: 3 * time.Second,
		Fields: []transport.FieldViolation{{Field: "/colour", Description: "must be red"}},
	}
	rec := httptest.NewRecorder()
	httpapi.WriteError(rec, httptest.NewRequest("GET", "/", nil), sent)
	got, ok := errors.AsType[*transport.Error](httpclient.Check(rec.Result()))
	want := *sent
	want.Remote = true
	if !ok || !reflect.DeepEqual(got, &want) {
		t.Errorf("got %+v, want %+v", got, &want)
	}
}

// watched is a body that knows whether it was closed.
type watched struct {
	io.Reader
	closed bool
}

func (w *watched) Close() error { w.closed = true; return nil }

func TestCheckByStatus(t *testing.T) {
	for status, want := range map[int]transport.Code{
		200: transport.OK, 204: transport.OK, 101: transport.OK, 302: transport.Unknown, 404: transport.NotFound,
		429: transport.ResourceExhausted, 502: transport.Unavailable, 503: transport.Unavailable,
		504: transport.DeadlineExceeded,
	} {
		body := &watched{Reader: strings.NewReader("<h1>upstream 10.0.0.7</h1>")}
		err := httpclient.Check(&http.Response{
			StatusCode: status, Body: body, Header: http.Header{"Content-Type": {"text/html"}},
		})
		e, _ := errors.AsType[*transport.Error](err)
		switch {
		case want == transport.OK:
			if err != nil || body.closed {
				t.Errorf("%d: %v, closed %t; want nil, and an open body", status, err, body.closed)
			}
		case e == nil || e.Code != want || !body.closed || strings.Contains(e.Message, "upstream"):
			t.Errorf("%d: %v, closed %t; want %v without the page, and a closed body", status, err, body.closed, want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(404, "application/problem+json", `{"code":"not_found","detail":"x","fields":[{"field":"/a"}]}`, "3")
	f.Add(503, "application/problem+json;charset=utf-8", `{"status":1e99,"code":[],"detail":{}}`, "-1")
	f.Add(500, "text/html", "<h1>\xff\x00</h1>", "Mon, 01 Jan 2040 00:00:00 GMT")
	f.Fuzz(func(t *testing.T, status int, media, body, after string) {
		err := httpclient.Check(&http.Response{
			StatusCode: status, Body: io.NopCloser(strings.NewReader(body)),
			Header: http.Header{"Content-Type": {media}, "Retry-After": {after}},
		})
		if ok := status >= 200 && status < 300 || status == 101; ok != (err == nil) {
			t.Fatalf("status %d: %v", status, err)
		} else if ok {
			return
		}
		e, ok := errors.AsType[*transport.Error](err)
		if !ok || e.Code == transport.OK || !e.Remote || e.Delay < 0 || len(e.Message) > 1<<10 || len(e.Error()) > 1<<13 {
			t.Errorf("got %#v, want a bounded *transport.Error", err)
		}
		if _, err := json.Marshal(e.Fields); err != nil || !utf8.ValidString(e.Message) {
			t.Errorf("%+v cannot be sent on: %v", e, err)
		}
	})
}
