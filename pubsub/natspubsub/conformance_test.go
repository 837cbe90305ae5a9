package natspubsub_test

import (
	"testing"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
	"github.com/mainstay-go/mainstay/pubsub/pubsubtest"
)

func TestConformance(t *testing.T) {
	n := startServer(t)
	b := natspubsub.New(jetStream(t, n.conn), nil)
	pubsubtest.Run(t, pubsubtest.Harness{
		Broker: func(testing.TB) driver.Broker { return b },
		Stranger: func(t testing.TB, topic string, data []byte) {
			if err := n.conn.Publish(topic, data); err != nil {
				t.Fatal(err)
			}
		},
		Restart: func(testing.TB) {
			n.stop()
			n.start()
		},
		MaxBytes: int(n.conn.MaxPayload()),
	})
}

func TestConformanceOfARealServer(t *testing.T) {
	nc := connect(t, realServer(t))
	b := natspubsub.New(jetStream(t, nc), nil)
	pubsubtest.Run(t, pubsubtest.Harness{
		Broker: func(testing.TB) driver.Broker { return b },
		Stranger: func(t testing.TB, topic string, data []byte) {
			if err := nc.Publish(topic, data); err != nil {
				t.Fatal(err)
			}
		},
		MaxBytes: int(nc.MaxPayload()),
	})
}
