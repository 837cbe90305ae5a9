package httpapi_test

import (
	"context"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
)

type listRequest struct {
	Limit   int      `query:"limit" default:"20" minimum:"1" maximum:"100"`
	Sort    []string `query:"sort" default:"name,age" enum:"name,age,size" maxItems:"2"`
	Deep    *bool    `query:"deep" default:"true"`
	Status  string   `query:"status" enum:"open,closed"`
	Session string   `cookie:"session" maxLength:"40"`
	Visits  *int     `cookie:"visits" minimum:"0"`
	Lang    string   `header:"Accept-Language" default:"en"`
}

var list = httpapi.NewEndpoint[listRequest, struct{}]("GET /items", public)

// listed returns what the handler got, and what was wrong.
func listed(t *testing.T, target string, header ...string) (got listRequest, said []string) {
	t.Helper()
	c := serve(list, func(_ context.Context, r listRequest) (struct{}, error) { got = r; return struct{}{}, nil })
	r, err := http.NewRequestWithContext(t.Context(), "GET", target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return got, violationsOf(t, resp)
}

func TestParameters(t *testing.T) {
	defaults := listRequest{Limit: 20, Sort: []string{"name", "age"}, Deep: new(true), Lang: "en"}
	t.Run("HaveDefaults", func(t *testing.T) {
		for range 2 { // which one request cannot change for the next
			got, said := listed(t, "/items")
			if !reflect.DeepEqual(got, defaults) || said != nil {
				t.Errorf("got %+v, %q, want %+v", got, said, defaults)
			}
			got.Sort[0], *got.Deep = "x", false
		}
	})
	t.Run("ThatComeReplaceTheDefaults", func(t *testing.T) {
		want := listRequest{Limit: 1, Sort: []string{"size"}, Deep: new(false), Status: "open", Lang: "de", Session: "s=1",
			Visits: new(0)}
		got, said := listed(t, "/items?limit=1&sort=size&deep=false&status=open", "Accept-Language", "de",
			"Cookie", "session=s=1; other=x; visits=0")
		if !reflect.DeepEqual(got, want) || said != nil {
			t.Errorf("got %+v, %q, want %+v", got, said, want)
		}
	})
	t.Run("AreCheckedWhereTheyCame", func(t *testing.T) {
		_, said := listed(t, "/items?limit=0&sort=name&sort=shoe&sort=age&deep=maybe&status=",
			"Cookie", "session="+strings.Repeat("x", 41)+"; visits=-1; visits=2")
		want := []string{
			"limit: must be at least 1", "sort: must have at most 2 items", "sort: must be one of name, age, size",
			"deep: must be true or false", "status: must be one of open, closed",
			"session: must be at most 40 characters long", "visits: must be there once"}
		if !reflect.DeepEqual(said, want) {
			t.Errorf("got\n %q, want\n %q", said, want)
		}
	})
	t.Run("OfAnotherTypeAreNotCheckedFurther", func(t *testing.T) {
		_, said := listed(t, "/items?limit=x", "Cookie", "visits=x")
		if want := []string{"limit: must be an integer", "visits: must be an integer"}; !reflect.DeepEqual(said, want) {
			t.Errorf("got %q, want %q", said, want)
		}
	})
	t.Run("ThatAreRequiredAreNotZero", func(t *testing.T) {
		type request struct {
			N int    `query:"n" api:"required"`
			T string `header:"X-T" api:"required"`
			P *int   `query:"p" api:"required"`
		}
		e := httpapi.NewEndpoint[request, struct{}]("POST /x", public)
		c := serve(e, func(context.Context, request) (struct{}, error) { return struct{}{}, nil })
		got := violationsOf(t, post(t, c, "/x?n=0", "", "X-T", ""))
		want := []string{"n: is required", "X-T: is required", "p: is required"}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if said := violationsOf(t, post(t, c, "/x?n=1&p=0", "", "X-T", "t")); said != nil {
			t.Errorf("a pointer to zero is there: said %q", said)
		}
	})
	t.Run("OfOneNameInTwoPlacesAreTwo", func(t *testing.T) {
		type twice struct {
			A string `path:"id" minLength:"2"`
			B int    `query:"id" minimum:"1"`
		}
		e := httpapi.NewEndpoint[twice, struct{}]("POST /x/{id}", public)
		c := serve(e, func(context.Context, twice) (struct{}, error) { return struct{}{}, nil })
		got := violationsOf(t, post(t, c, "/x/a?id=0", ""))
		want := []string{"id: must be at least 2 characters long", "id: must be at least 1"}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("AreWhatTheCallerSent", func(t *testing.T) {
		want := listRequest{Limit: 7, Sort: []string{"size", "age"}, Deep: new(false), Status: "closed",
			Session: "a b,c", Visits: new(3), Lang: "fr"}
		var got listRequest
		c := serve(list, func(_ context.Context, r listRequest) (struct{}, error) { got = r; return struct{}{}, nil })
		if _, err := list.Call(t.Context(), c, want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("the handler saw %+v, %v, want %+v", got, err, want)
		}
	})
	t.Run("ThatNoCookieHoldsAreRefusedByTheCaller", func(t *testing.T) {
		c := serve(list, func(context.Context, listRequest) (struct{}, error) { return struct{}{}, nil })
		for _, value := range []string{"a;b", "a\"b", "a\\b", "ä", "a\nb"} {
			_, err := list.Call(t.Context(), c, listRequest{Session: value})
			if e := asError(t, err); e.Code != transport.InvalidArgument || e.Remote {
				t.Errorf("cookie %q: %v, want a local invalid_argument", value, err)
			}
		}
	})
}
