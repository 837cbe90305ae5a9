package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	golangjwt "github.com/golang-jwt/jwt/v5"

	"github.com/mainstay-go/mainstay/auth/jwt"
	"github.com/mainstay-go/mainstay/examples/shop/contract"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

const body = `{"customer_id":"alice","sku":"tea","quantity":2}`

// TestEdge shows what strangers get for what they send.
func TestEdge(t *testing.T) {
	s := openShop(t, options{})
	for name, c := range map[string]struct {
		body   string
		header http.Header
		status int
		says   string // in the answer
	}{
		"AnOrderWithoutAKeyNamesTheHeader": {body, nil, 400, "Idempotency-Key"},
		"AnEmptyKeyNamesTheHeader":         {body, http.Header{"Idempotency-Key": {""}}, 400, "Idempotency-Key"},
		"TwoKeysNameTheHeader":             {body, http.Header{"Idempotency-Key": {"a", "b"}}, 400, "Idempotency-Key"},
		"TenMegabytesAreTooMany":           {`{"sku":"` + strings.Repeat("x", 10<<20) + `"}`, key("big"), 413, "413"},
		"AnUnknownFieldIsIgnored":          {`{"gift":true,` + body[1:], key("unknown"), 201, `"status":"accepted"`},
		"NoJSONIsRefused":                  {`{"customer_id":`, key("cut"), 400, "not valid JSON"},
		"AnUnknownCustomerIsNamed":         {`{"customer_id":"nobody","sku":"tea","quantity":1}`, key("c"), 400, "customer_id"},
		"AnUnknownProductIsNamed":          {`{"customer_id":"alice","sku":"gold","quantity":1}`, key("p"), 400, "sku"},
		"TooManyAreRefused":                {`{"customer_id":"alice","sku":"tea","quantity":101}`, key("q"), 400, "quantity"},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.base()+"/orders", strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			for k, v := range c.header {
				req.Header[k] = v
			}
			status, answer := send(t, req)
			if status != c.status || !strings.Contains(answer, c.says) {
				t.Errorf("answer = %d %s, want %d with %q", status, answer, c.status, c.says)
			}
		})
	}
	t.Run("AnUnknownOrderIsNotFound", func(t *testing.T) {
		if status, answer := get(t, s.base()+"/orders/none"); status != 404 {
			t.Errorf("answer = %d %s, want 404", status, answer)
		}
	})
	t.Run("AStrictEndpointRefusesAnUnknownField", func(t *testing.T) {
		strict := httpapi.NewEndpoint[contract.PlaceOrderRequest, contract.Order]("POST /orders",
			&httpapi.EndpointOptions{Access: transport.Public, Strict: true})
		h := strict.Handler(func(context.Context, contract.PlaceOrderRequest) (contract.Order, error) {
			t.Error("the handler was called")
			return contract.Order{}, nil
		}, nil)
		req := httptest.NewRequest(http.MethodPost, "/orders", strings.NewReader(`{"gift":true,`+body[1:]))
		req.Header = http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {"k"}}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != 400 || !strings.Contains(w.Body.String(), "gift") {
			t.Errorf("answer = %d %s, want 400 that names the field", w.Code, w.Body)
		}
	})
}

func key(k string) http.Header { return http.Header{"Idempotency-Key": {k}} }

func TestIdempotencyKey(t *testing.T) {
	s := openShop(t, options{})
	t.Run("MakesOneOrderHoweverOftenItComes", func(t *testing.T) {
		var wg sync.WaitGroup
		ids := make(chan string, 20)
		for range cap(ids) {
			wg.Go(func() {
				o, err := contract.PlaceOrder.Call(t.Context(), s.caller(), order("same"))
				if err != nil {
					t.Errorf("place: %v", err)
				}
				ids <- o.ID
			})
		}
		wg.Wait()
		first := <-ids
		for range cap(ids) - 1 {
			if id := <-ids; id != first {
				t.Errorf("order = %q, want %q, the first", id, first)
			}
		}
	})
	t.Run("BelongsToOneOrder", func(t *testing.T) {
		s.place(t, order("mine"))
		other := order("mine")
		other.Quantity++
		_, err := contract.PlaceOrder.Call(t.Context(), s.caller(), other)
		if e := transport.AsError(err); e == nil || e.Code != transport.AlreadyExists {
			t.Errorf("another order under the same key = %v, want already_exists", err)
		}
	})
}

func TestInternalTokens(t *testing.T) {
	s := openShop(t, options{})
	good := func() (*jwt.IssuerOptions, string) {
		k, err := jwt.HS256("1", []byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		return &jwt.IssuerOptions{Issuer: "shop", Subject: "test", Key: k}, contract.UsersAudience
	}
	for name, c := range map[string]struct {
		status int
		make   func() string
	}{
		"OfAServiceIsLetIn": {200, func() string {
			o, audience := good()
			return token(t, o, audience)
		}},
		"None": {401, func() string { return "" }},
		"ForAnotherAudience": {401, func() string {
			o, _ := good()
			return token(t, o, contract.CatalogAudience)
		}},
		"OfAnotherSecret": {401, func() string {
			o, audience := good()
			k, err := jwt.HS256("1", []byte("another secret that is long enough to be one"))
			if err != nil {
				t.Fatal(err)
			}
			o.Key = k
			return token(t, o, audience)
		}},
		"OfAnotherIssuer": {401, func() string {
			o, audience := good()
			o.Issuer = "mall"
			return token(t, o, audience)
		}},
		"Expired": {401, func() string {
			return expired(t)
		}},
		"Garbage": {401, func() string { return "a.b.c" }},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.http["users"]+"/users/alice", nil)
			if err != nil {
				t.Fatal(err)
			}
			if tok := c.make(); tok != "" {
				req.Header.Set("Authorization", "Bearer "+tok)
			}
			status, answer := send(t, req)
			if status != c.status || status == 200 && !json.Valid([]byte(answer)) {
				t.Errorf("answer = %d %s, want %d", status, answer, c.status)
			}
		})
	}
}

// expired returns a token that was good an hour ago.
func expired(t *testing.T) string {
	t.Helper()
	hourAgo := time.Now().Add(-time.Hour)
	tok := golangjwt.NewWithClaims(golangjwt.SigningMethodHS256, golangjwt.MapClaims{
		"iss": "shop", "sub": "test", "aud": contract.UsersAudience, "jti": "1",
		"iat": hourAgo.Unix(), "exp": hourAgo.Add(5 * time.Minute).Unix(),
	})
	tok.Header["kid"] = "1"
	signed, err := tok.SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func token(t *testing.T, o *jwt.IssuerOptions, audience string) string {
	t.Helper()
	i, err := jwt.NewIssuer(o)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := i.Token(t.Context(), audience)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestServerWithoutVerifier(t *testing.T) {
	t.Run("DoesNotStart", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		err := httpserver.New(http.NewServeMux(), &httpserver.Options{Addr: "127.0.0.1:0"}).Run(ctx)
		if err == nil || errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			t.Errorf("Run = %v, want an error at once", err)
		}
	})
}
