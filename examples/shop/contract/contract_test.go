package contract_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/examples/shop/contract"
	"github.com/mainstay-go/mainstay/transport"
)

// direct calls a handler without a network.
type direct struct{ http.Handler }

func (d direct) Do(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

func serve(f func(context.Context, contract.PlaceOrderRequest) (contract.Order, error)) direct {
	return direct{contract.PlaceOrder.Handler(f, nil)}
}

func accept(_ context.Context, r contract.PlaceOrderRequest) (contract.Order, error) {
	return contract.Order{ID: "o-1", CustomerID: r.CustomerID, SKU: r.SKU, Quantity: r.Quantity}, nil
}

func TestPlaceOrder(t *testing.T) {
	good := contract.PlaceOrderRequest{IdempotencyKey: "k", CustomerID: "alice", SKU: "tea", Quantity: 2}
	t.Run("ReachesTheHandlerAsItWasCalled", func(t *testing.T) {
		var got contract.PlaceOrderRequest
		keep := func(ctx context.Context, r contract.PlaceOrderRequest) (contract.Order, error) {
			got = r
			return accept(ctx, r)
		}
		_, err := contract.PlaceOrder.Call(t.Context(), serve(keep), good)
		if err != nil || got != good {
			t.Errorf("handler got %+v, Call error %v, want %+v, nil", got, err, good)
		}
	})
	for field, spoil := range map[string]func(*contract.PlaceOrderRequest){
		"Idempotency-Key": func(r *contract.PlaceOrderRequest) { r.IdempotencyKey = "" },
		"/customer_id":    func(r *contract.PlaceOrderRequest) { r.CustomerID = "" },
		"/sku":            func(r *contract.PlaceOrderRequest) { r.SKU = "" },
		"/quantity":       func(r *contract.PlaceOrderRequest) { r.Quantity = 0 },
	} {
		t.Run("Needs/"+strings.TrimPrefix(field, "/"), func(t *testing.T) {
			bad := good
			spoil(&bad)
			wantViolation(t, bad, field)
		})
	}
	t.Run("BoundsTheKey", func(t *testing.T) {
		long := good
		long.IdempotencyKey = strings.Repeat("k", 201)
		wantViolation(t, long, "Idempotency-Key")
	})
	t.Run("BoundsTheNames", func(t *testing.T) {
		long := good
		long.CustomerID = strings.Repeat("c", 100)
		long.SKU = strings.Repeat("s", 100)
		if _, err := contract.PlaceOrder.Call(t.Context(), serve(accept), long); err != nil {
			t.Errorf("Call with the longest names = %v, want nil", err)
		}
		customer, sku := long, long
		customer.CustomerID += "c"
		wantViolation(t, customer, "/customer_id")
		sku.SKU += "s"
		wantViolation(t, sku, "/sku")
	})
	for _, n := range []int{-1, 101} {
		t.Run(fmt.Sprint("RefusesQuantity/", n), func(t *testing.T) {
			bad := good
			bad.Quantity = n
			wantViolation(t, bad, "/quantity")
		})
	}
}

// wantViolation calls with req and wants the one violation of field back.
func wantViolation(t *testing.T, req contract.PlaceOrderRequest, field string) {
	t.Helper()
	_, err := contract.PlaceOrder.Call(t.Context(), serve(accept), req)
	var e *transport.Error
	if !errors.As(err, &e) || e.Code != transport.InvalidArgument || len(e.Fields) != 1 || e.Fields[0].Field != field {
		t.Errorf("Call = %v, want invalid_argument for %s alone", err, field)
	}
}

func TestTopics(t *testing.T) {
	t.Run("AreKeyedByTheOrder", func(t *testing.T) {
		created, err1 := contract.OrderCreated.Message(contract.OrderCreatedEvent{OrderID: "o-1"})
		reserved, err2 := contract.StockReserved.Message(contract.StockReservedEvent{OrderID: "o-1"})
		charged, err3 := contract.PaymentCharged.Message(contract.PaymentChargedEvent{OrderID: "o-1"})
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		if created.Key != "o-1" || reserved.Key != "o-1" || charged.Key != "o-1" {
			t.Errorf("keys = %q, %q, %q, want o-1 each", created.Key, reserved.Key, charged.Key)
		}
	})
}
