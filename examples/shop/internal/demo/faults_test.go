package demo

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/mainstay-go/mainstay/examples/shop/contract"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
)

func TestPoison(t *testing.T) {
	t.Run("SpoilsMallorysOrdersAlone", func(t *testing.T) {
		for customer, readable := range map[string]bool{Mallory: false, "alice": true} {
			if got := json.Valid(receive(t, contract.OrderCreated.Name(), customer)); got != readable {
				t.Errorf("order of %s readable = %t, want %t", customer, got, readable)
			}
		}
	})
	t.Run("LeavesOtherTopicsAlone", func(t *testing.T) {
		if !json.Valid(receive(t, contract.StockReserved.Name(), Mallory)) {
			t.Error("stock.reserved of mallory is not readable, want it is")
		}
	})
}

// receive returns the body of customer's event as it comes out of a broker with the fault in it.
func receive(t *testing.T, topic, customer string) []byte {
	t.Helper()
	b := (&Faults{poison: Mallory}).Wrap(&mempubsub.Broker{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if d, ok := b.(driver.Declarer); ok {
		if err := d.Declare(ctx, []string{topic}); err != nil {
			t.Fatal(err)
		}
	}
	sub, err := b.Subscribe(ctx, driver.SubscribeOptions{Topic: topic, Name: "s", Lease: 1e10, MaxInFlight: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close(ctx)
	data, err := json.Marshal(contract.OrderCreatedEvent{CustomerID: customer})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Publish(ctx, topic, []driver.Message{{ID: "1", Data: data}}); err != nil {
		t.Fatal(err)
	}
	ds, err := sub.Receive(ctx, 1)
	if err != nil || len(ds) != 1 {
		t.Fatalf("Receive = %d deliveries, %v, want 1", len(ds), err)
	}
	return ds[0].Data
}
