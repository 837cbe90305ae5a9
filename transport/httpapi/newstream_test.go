package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
	"github.com/mainstay-go/mainstay/transport/httpclient"
)

func TestNewStream(t *testing.T) {
	type plain struct{ A int }
	for name, tt := range map[string]struct {
		declare func()
		want    string
	}{
		"APost": {func() { httpapi.NewStream[struct{}, plain]("POST /x", nil) }, "a stream is a GET, not a POST"},
		"AnIDThatNobodyReads": {func() { httpapi.NewStream[struct{}, price]("GET /x", nil) },
			`the events have an ID, and no field of struct {} is header:"Last-Event-ID"`},
		"AnotherTypeOfID": {func() {
			httpapi.NewStream[struct {
				A string `header:"last-event-id"`
			}, price]("GET /x", nil)
		}, "has a Last-Event-ID of type string, and the events' is int64"},
		"AnIDOfFractions": {func() {
			httpapi.NewStream[struct{}, struct {
				ID float64 `sse:"id"`
			}]("GET /x", nil)
		}, `must be the one sse:"id"`},
		"AnotherTag": {func() {
			httpapi.NewStream[struct{}, struct {
				ID string `sse:"retry"`
			}]("GET /x", nil)
		}, `must be the one sse:"id"`},
		"AnIDOfSmallFractions": {func() {
			httpapi.NewStream[struct{}, struct {
				ID float32 `sse:"id"`
			}]("GET /x", nil)
		}, `must be the one sse:"id"`},
		"TwoIDs": {func() {
			httpapi.NewStream[watch, struct {
				A, B int64 `sse:"id"`
			}]("GET /{sku}", nil)
		}, `must be the one sse:"id"`},
		"TwoNames": {func() {
			httpapi.NewStream[struct{}, struct {
				A, B string `sse:"event"`
			}]("GET /x", nil)
		}, `must be the one sse:"id"`},
		"ANameOfNumbers": {func() {
			httpapi.NewStream[struct{}, struct {
				A int `sse:"event"`
			}]("GET /x", nil)
		}, `must be the one sse:"id"`},
		"AnIDNobodySets": {func() {
			httpapi.NewStream[struct{}, struct {
				a int `sse:"id"`
			}]("GET /x", nil)
		}, "is not exported"},
		"AnIDInTheQuery": {func() {
			httpapi.NewStream[struct {
				A int64 `query:"Last-Event-Id"`
			}, price]("GET /x", nil)
		}, `is header:"Last-Event-ID"`},
		"Scopes": {func() {
			httpapi.NewStream[struct{}, plain]("GET /x", &httpapi.StreamOptions{Access: transport.Public, Scopes: []string{"a"}})
		}, "it is public"},
	} {
		t.Run("Refuses"+name, func(t *testing.T) {
			defer func() {
				v, _ := recover().(string)
				if !strings.Contains(v, tt.want) || !strings.HasPrefix(v, `httpapi: stream "`) {
					t.Errorf("got %q, want %q", v, tt.want)
				}
			}()
			tt.declare()
		})
	}
	t.Run("TakesAnyEvent", func(t *testing.T) {
		s := httpapi.NewStream[struct{}, []string]("GET /x", &httpapi.StreamOptions{Access: transport.Public})
		mux := http.NewServeMux()
		httpapi.HandleStream(mux, s, func(_ context.Context, _ struct{}, send func([]string) error) error {
			return send([]string{"<a>", "\u2028\n"})
		})
		inBubble(t, mux, func(t *testing.T, c *httpclient.Client) {
			var got []string
			for e, err := range s.Call(t.Context(), c, struct{}{}) {
				got = append(got, fmt.Sprint(e, err))
			}
			if want := []string{"[<a> \u2028\n] <nil>"}; !reflect.DeepEqual(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	})
}
