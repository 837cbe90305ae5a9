package natspubsub_test

import (
	"testing"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
	"github.com/mainstay-go/mainstay/pubsub/pubsubtest"
)

// abilities: Redeliver's delay is kept by package pubsub.
var abilities = pubsubtest.Abilities{Order: true, Start: true, Redeliver: true, Browse: true, Seek: true, Lag: true}

func TestConformance(t *testing.T) {
	n := startServer(t)
	b := natspubsub.New(jetStream(t, n.conn), nil)
	pubsubtest.Run(t, pubsubtest.Harness{
		Adapter:   "nats in process",
		Broker:    func(testing.TB) driver.Broker { return b },
		Abilities: abilities,
		Stranger: func(t testing.TB, topic string, data []byte) {
			if err := n.conn.Publish(topic, data); err != nil {
				t.Fatal(err)
			}
		},
		Restart: func(testing.TB) {
			n.stop()
			n.start()
		},
		Outage: func(testing.TB) func() {
			n.stop()
			return n.start
		},
		MaxBytes: int(n.conn.MaxPayload()),
	})
}

// Without a restart and strangers: what differs is the acknowledgement.
func TestConformanceWithConfirmedAcknowledgements(t *testing.T) {
	b := natspubsub.New(jetStream(t, startServer(t).conn), &natspubsub.Options{ConfirmAcks: true})
	pubsubtest.Run(t, pubsubtest.Harness{
		Adapter:   "nats in process, confirmed acknowledgements",
		Broker:    func(testing.TB) driver.Broker { return b },
		Abilities: abilities,
	})
}

func TestConformanceOfARealServer(t *testing.T) {
	nc := connect(t, realServer(t))
	b := natspubsub.New(jetStream(t, nc), nil)
	pubsubtest.Run(t, pubsubtest.Harness{
		Adapter:   "nats",
		Broker:    func(testing.TB) driver.Broker { return b },
		Abilities: abilities,
		Stranger: func(t testing.TB, topic string, data []byte) {
			if err := nc.Publish(topic, data); err != nil {
				t.Fatal(err)
			}
		},
		MaxBytes: int(nc.MaxPayload()),
	})
}
