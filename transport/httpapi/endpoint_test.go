package httpapi_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
)

func TestAccess(t *testing.T) {
	service := &auth.Principal{Subject: "orders", Kind: auth.KindService, Scopes: []string{"read"}}
	user := &auth.Principal{Subject: "u1", Kind: auth.KindUser, Scopes: []string{"read", "write"}}
	unknown := &auth.Principal{Subject: "x"}
	for _, tt := range []struct {
		name   string
		access transport.Access
		scopes []string
		caller *auth.Principal
		status int
	}{
		{"NobodyIsNotIn", transport.InternalOnly, nil, nil, 401},
		{"AServiceIsIn", transport.InternalOnly, nil, service, 204},
		{"AUserIsNoService", transport.InternalOnly, nil, user, 403},
		{"AnUnknownKindIsNoService", transport.InternalOnly, nil, unknown, 403},
		{"NobodyIsNotAuthenticated", transport.Authenticated, nil, nil, 401},
		{"AUserIsAuthenticated", transport.Authenticated, nil, user, 204},
		{"AnUnknownKindIsAuthenticated", transport.Authenticated, nil, unknown, 204},
		{"EveryScopeIsNeeded", transport.Authenticated, []string{"read", "write"}, service, 403},
		{"AllScopesAreEnough", transport.Authenticated, []string{"read", "write"}, user, 204},
		{"PublicIsPublic", transport.Public, nil, nil, 204},
		{"AnUnknownRuleIsTheStrictest", transport.Access(77), nil, user, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := httpapi.NewEndpoint[struct{}, struct{}]("GET /x",
				&httpapi.EndpointOptions{Access: tt.access, Scopes: tt.scopes})
			c := serve(e, func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
			ctx := t.Context()
			if tt.caller != nil {
				ctx = auth.NewContext(ctx, *tt.caller)
			}
			r, _ := http.NewRequestWithContext(ctx, "GET", "/x", nil)
			resp, _ := c.Do(r)
			if resp.StatusCode != tt.status {
				t.Errorf("status %d, want %d", resp.StatusCode, tt.status)
			}
			if challenge := resp.Header.Get("WWW-Authenticate"); (challenge == "Bearer") != (tt.status == 401) {
				t.Errorf("WWW-Authenticate %q at status %d", challenge, tt.status)
			}
		})
	}
}

func service(scopes ...string) *auth.Principal {
	return &auth.Principal{Subject: "orders", Kind: auth.KindService, Scopes: scopes}
}

// statusFor asks c for /x, as that caller, nil for nobody.
func statusFor(t *testing.T, c local, caller *auth.Principal) int {
	t.Helper()
	ctx := t.Context()
	if caller != nil {
		ctx = auth.NewContext(ctx, *caller)
	}
	r, err := http.NewRequestWithContext(ctx, "GET", "/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// TestAccessOfStreams is that of endpoints, before the handler runs.
func TestAccessOfStreams(t *testing.T) {
	s := httpapi.NewStream[struct{}, int]("GET /x", &httpapi.StreamOptions{Scopes: []string{"read"}})
	ran := false
	mux := http.NewServeMux()
	httpapi.HandleStream(mux, s, func(context.Context, struct{}, func(int) error) error { ran = true; return nil })
	for _, tt := range []struct {
		caller *auth.Principal
		want   int
	}{{nil, 401}, {service(), 403}, {&auth.Principal{Kind: auth.KindUser, Scopes: []string{"read"}}, 403},
		{service("read"), 204}} {
		ran = false
		if got := statusFor(t, local{mux}, tt.caller); got != tt.want || ran != (tt.want == 204) {
			t.Errorf("%+v: status %d, the handler ran: %t, want %d", tt.caller, got, ran, tt.want)
		}
	}
}

// TestAccessIsToldToTheServer, which lets callers without a credential through to what is Public.
func TestAccessIsToldToTheServer(t *testing.T) {
	type told interface{ Access() transport.Access }
	for _, want := range []transport.Access{transport.InternalOnly, transport.Authenticated, transport.Public} {
		e := httpapi.NewEndpoint[struct{}, struct{}]("GET /x", &httpapi.EndpointOptions{Access: want}).Handler(nil, nil)
		s := httpapi.NewStream[struct{}, int]("GET /x", &httpapi.StreamOptions{Access: want}).Handler(nil, nil)
		for _, h := range []http.Handler{e, s} {
			if got := h.(told).Access(); got != want {
				t.Errorf("%T says %v, want %v", h, got, want)
			}
		}
	}
}

func TestNewEndpoint(t *testing.T) {
	t.Run("TakesEmbeddedStructs", func(t *testing.T) {
		e := httpapi.NewEndpoint[nested, nested]("POST /x", public)
		want := nested{Page{3}, Named{"n"}, "t"}
		var got nested
		c := serve(e, func(_ context.Context, r nested) (nested, error) { got = r; return r, nil })
		if _, err := e.Call(t.Context(), c, want); err != nil || got != want {
			t.Errorf("the handler saw %+v, %v, want %+v", got, err, want)
		}
	})
	for name, declare := range map[string]func(){
		"NoMethod":        func() { httpapi.NewEndpoint[struct{}, struct{}]("/x", nil) },
		"AHost":           func() { httpapi.NewEndpoint[struct{}, struct{}]("GET example.com/x", nil) },
		"ABrokenWildcard": func() { httpapi.NewEndpoint[struct{}, struct{}]("GET /{x", nil) },
		"NoStruct":        func() { httpapi.NewEndpoint[[]int, struct{}]("POST /x", nil) },
		"APointer":        func() { httpapi.NewEndpoint[*item, struct{}]("POST /x", nil) },
		"NoField":         func() { httpapi.NewEndpoint[struct{}, struct{}]("GET /{id}", nil) },
		"NoWildcard": func() {
			httpapi.NewEndpoint[struct {
				A string `path:"id"`
			}, struct{}]("GET /x", nil)
		},
		"ABodyOnGet": func() { httpapi.NewEndpoint[struct{ A string }, struct{}]("GET /x", nil) },
		"AMapParameter": func() {
			httpapi.NewEndpoint[struct {
				A map[string]string `query:"a"`
			}, struct{}]("GET /x", nil)
		},
		"AHeaderList": func() {
			httpapi.NewEndpoint[struct {
				A []string `header:"a"`
			}, struct{}]("GET /x", nil)
		},
		"TheHostHeader": func() {
			httpapi.NewEndpoint[struct {
				A string `header:"host"`
			}, struct{}]("GET /x", nil)
		},
		"TwoPlaces": func() {
			httpapi.NewEndpoint[struct {
				A string `header:"a" query:"a"`
			}, struct{}]("GET /x", nil)
		},
		"NoName": func() {
			httpapi.NewEndpoint[struct {
				A string `query:""`
			}, struct{}]("GET /x", nil)
		},
		"Unexported": func() {
			httpapi.NewEndpoint[struct {
				a string `query:"a"`
			}, struct{}]("GET /x", nil)
		},
		"ThereTwice": func() {
			httpapi.NewEndpoint[struct {
				A, B string `query:"a"`
			}, struct{}]("GET /x", nil)
		},
		"AnotherAPITag": func() {
			httpapi.NewEndpoint[struct {
				A string `api:"optional"`
			}, struct{}]("POST /x", nil)
		},
		"AnEmbeddedMix":     func() { httpapi.NewEndpoint[struct{ mixed }, struct{}]("POST /x", nil) },
		"AnEmbeddedPointer": func() { httpapi.NewEndpoint[struct{ *Page }, struct{}]("GET /x", nil) },
		"EmbeddedMethods": func() {
			httpapi.NewEndpoint[struct {
				Loud
				ID string `path:"id"`
			}, struct{}]("POST /{id}", nil)
		},
		"EmbeddedUnexported": func() {
			httpapi.NewEndpoint[struct {
				hidden
				B string
			}, struct{}]("POST /x", nil)
		},
		"AnErrorStatus": func() { httpapi.NewEndpoint[struct{}, struct{}]("GET /x", &httpapi.EndpointOptions{Status: 404}) },
	} {
		t.Run("Panics"+name, func(t *testing.T) {
			defer func() {
				v, ok := recover().(string)
				if !ok || !strings.HasPrefix(v, "httpapi: endpoint ") {
					t.Errorf("recovered %v, want a panic that names the endpoint", v)
				}
			}()
			declare()
		})
	}
}
