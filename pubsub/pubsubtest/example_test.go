package pubsubtest_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/pubsub/pubsubtest"
)

func ExampleNewFaulty() {
	broker := pubsubtest.NewFaulty(&mempubsub.Broker{}, pubsubtest.FaultOptions{
		FailFirst: map[string]int{"orders": 1},
	})
	for range 2 {
		err := broker.Publish(context.Background(), "orders", []driver.Message{{ID: "1"}})
		fmt.Println(errors.Is(err, pubsubtest.ErrInjected))
	}
	fmt.Println(broker.Faults().FailedPublishes, "publish failed on purpose")
	// Output:
	// true
	// false
	// 1 publish failed on purpose
}
