package natspubsub_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

func TestTooLargeIsAPlainErrorAndNothingElse(t *testing.T) {
	n := startServer(t)
	var disconnects, errs atomic.Int32
	n.conn.SetDisconnectErrHandler(func(*nats.Conn, error) { disconnects.Add(1) })
	n.conn.SetErrorHandler(func(*nats.Conn, *nats.Subscription, error) { errs.Add(1) })
	client := newClient(natspubsub.New(jetStream(t, n.conn), nil))
	most := n.conn.MaxPayload()
	large := &pubsub.Message{Data: make([]byte, most), Metadata: map[string]string{"pad": strings.Repeat("x", 200)}}
	err := client.Publish(t.Context(), "orders", large)
	var tooLarge *pubsub.TooLargeError
	if !errors.As(err, &tooLarge) || !resilience.IsPermanent(err) ||
		tooLarge.Bytes <= tooLarge.Limit || int64(tooLarge.Limit) != most {
		t.Errorf("Publish = %v, want a permanent *TooLargeError", err)
	}
	if err := client.Publish(t.Context(), "orders", &pubsub.Message{Data: make([]byte, most/2)}); err != nil {
		t.Errorf("the next Publish = %v, want nil", err)
	}
	if d, e := disconnects.Load(), errs.Load(); d != 0 || e != 0 {
		t.Errorf("%d disconnects and %d asynchronous errors, want none", d, e)
	}
}

func TestSizeIsExact(t *testing.T) {
	n := startServer(t)
	b := natspubsub.New(jetStream(t, n.conn), nil)
	s := open(t, b, "orders", "stock", time.Minute)
	m := driver.Message{ID: "1", Attributes: driver.AttributesOf(map[string]string{"ce-id": "1", "user": "Größe"})}
	var tooLarge *driver.TooLargeError
	m.Data = make([]byte, n.conn.MaxPayload())
	if err := b.Publish(t.Context(), "orders", []driver.Message{m}); !errors.As(err, &tooLarge) {
		t.Fatalf("Publish = %v, want a *TooLargeError", err)
	}
	m.Data = m.Data[:len(m.Data)-(tooLarge.Bytes-tooLarge.Limit)]
	if err := b.Publish(t.Context(), "orders", []driver.Message{m}); err != nil {
		t.Errorf("Publish of exactly the limit = %v, want nil", err)
	}
	receive(t, s, 1)
}

func TestStreamsLimitCountsToo(t *testing.T) {
	n := startServer(t)
	b := natspubsub.New(jetStream(t, n.conn), &natspubsub.Options{
		Stream: func(_ string, c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 },
	})
	err := b.Publish(t.Context(), "orders", []driver.Message{{ID: "1", Data: make([]byte, 1000)}})
	var tooLarge *driver.TooLargeError
	if !errors.As(err, &tooLarge) || tooLarge.Limit != 1000 {
		t.Errorf("Publish = %v, want a *TooLargeError of 1000", err)
	}
}
