package natspubsub_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
)

// dialer makes connections that can be made to die as they do when a server goes away under load: what is written is
// taken and lost, and only the reader hears of it.
type dialer struct {
	mu   sync.Mutex
	left int // bytes until the connection dies, where it is above zero
}

func (d *dialer) dieAfter(bytes int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = bytes
}

func (d *dialer) Dial(network, addr string) (net.Conn, error) {
	c, err := net.Dial(network, addr)
	if err != nil {
		return nil, err
	}
	return &mortalConn{Conn: c, d: d}, nil
}

type mortalConn struct {
	net.Conn
	d    *dialer
	dead bool
}

func (c *mortalConn) Write(p []byte) (int, error) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	if !c.dead && c.d.left > 0 {
		if c.d.left -= len(p); c.d.left <= 0 {
			c.dead = true
			c.Conn.Close()
		}
	}
	if c.dead {
		<-time.After(2 * time.Millisecond) // in which the reader gets to say so
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// The client keeps what is published while it reconnects, and sends it then: behind what got lost with the connection.
func TestPublishKeepsAKeysOrderWhenTheConnectionBreaks(t *testing.T) {
	n := startServer(t)
	d := &dialer{}
	nc, err := nats.Connect(n.s.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond),
		nats.ReconnectJitter(0, 0), nats.SetCustomDialer(d))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	b := natspubsub.New(jetStream(t, nc), nil)
	s := open(t, b, "orders", "stock", time.Minute)

	var ms []driver.Message
	var want []string
	for i := range 100 {
		id := fmt.Sprintf("%03d", i)
		// Large, so that each is written at once.
		ms = append(ms, driver.Message{ID: id, Key: "k", Data: append([]byte(id), make([]byte, 64<<10)...)})
		want = append(want, id)
	}
	d.dieAfter(20 * 64 << 10)
	failures := 0
	for late := time.Now().Add(patience); ; failures++ {
		if ms = publishRest(t, b, ms); len(ms) == 0 {
			break
		}
		if time.Now().After(late) {
			t.Fatalf("%d messages cannot be published", len(ms))
		}
		<-time.After(20 * time.Millisecond)
	}
	if failures == 0 {
		t.Error("no Publish failed, want one on the connection that breaks")
	}
	var got []string
	for _, data := range receive(t, s, len(want)) {
		got = append(got, data[:3])
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want them as published", got)
	}
}

// publishRest returns those of ms that may not be stored.
func publishRest(t *testing.T, b *natspubsub.Broker, ms []driver.Message) []driver.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := b.Publish(ctx, "orders", ms)
	if err == nil {
		return nil
	}
	partial, ok := errors.AsType[*driver.PublishError](err)
	if !ok {
		return ms
	}
	var rest []driver.Message
	for _, i := range partial.Indexes {
		rest = append(rest, ms[i])
	}
	return rest
}

// BenchmarkPublish has batches of 256 messages without a key, of 1,000 keys by turns, and of one.
func BenchmarkPublish(b *testing.B) {
	for _, keys := range []int{0, 1000, 1} {
		b.Run(fmt.Sprintf("Keys=%d", keys), func(b *testing.B) {
			n := startServer(b)
			broker := natspubsub.New(jetStream(b, n.conn), nil)
			ids := 0
			b.ReportAllocs()
			for b.Loop() {
				ms := make([]driver.Message, benchWindow)
				for i := range ms {
					ids++
					ms[i] = driver.Message{ID: fmt.Sprint(ids), Data: benchData}
					if keys > 0 {
						ms[i].Key = fmt.Sprint(ids * 7919 % keys)
					}
				}
				if err := broker.Publish(b.Context(), "orders", ms); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*benchWindow/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}
