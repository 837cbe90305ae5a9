package natspubsub_test

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
)

// unpin takes the pin from whoever has it.
func unpin(t *testing.T, n *natsServer) {
	t.Helper()
	s, err := jetStream(t, n.conn).Stream(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.UnpinConsumer(t.Context(), "stock-orders", "mainstay"); err != nil {
		t.Fatal(err)
	}
}

// pinned returns who is pinned.
func pinned(t *testing.T, js jetstream.JetStream) string {
	t.Helper()
	c, err := js.Consumer(t.Context(), "orders", "stock-orders")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range c.CachedInfo().PriorityGroups {
		return g.PinnedClientID
	}
	return ""
}

// What one receives while it takes over, and loses with its pin before it has handed it out, nobody else knows of.
func TestWhatIsLostWhileTakingOverComesAtOnce(t *testing.T) {
	n := startServer(t)
	one := openReplica(t, n, time.Hour)
	b := natspubsub.New(jetStream(t, n.conn), nil)
	send(t, b, "orders", "1", "2")
	one.hold(t, 2) // for an hour, so that whoever takes over waits for them a moment
	js := jetStream(t, n.conn)
	first := pinned(t, js)

	two := openReplica(t, n, time.Hour)
	received := make(chan string, 10)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var receiving sync.WaitGroup
	defer receiving.Wait()
	receiving.Go(func() {
		for ctx.Err() == nil {
			ds, err := two.Receive(ctx, 10)
			if err != nil {
				continue
			}
			for _, d := range ds {
				received <- string(d.Data)
			}
		}
	})
	defer cancel() // before the wait
	unpin(t, n)
	send(t, b, "orders", "3")
	until(t, "another is pinned", func() bool { id := pinned(t, js); return id != "" && id != first })
	unpin(t, n)
	send(t, b, "orders", "4")
	var got []string
	for !slices.Contains(got, "3") || !slices.Contains(got, "4") {
		select {
		case id := <-received:
			got = append(got, id)
		case <-ctx.Done():
			t.Fatalf("received %v, want 3 and 4", got)
		}
	}
}

// The server may give out what is new before it gives out again what the process before had.
func TestWhatIsGivenBackLateGoesBeforeWhatIsNew(t *testing.T) {
	want := []string{"1", "2", "3", "4"}
	var got []string
	for range 10 { // on a machine that is too slow to give back in time, once is enough
		if got = giveBackLate(t); slices.Equal(got, want) {
			return
		}
	}
	t.Errorf("the second received %v, want %v", got, want)
}

func giveBackLate(t *testing.T) []string {
	n := startServer(t)
	one := openReplica(t, n, time.Hour)
	b := natspubsub.New(jetStream(t, n.conn), nil)
	send(t, b, "orders", "1", "2")
	_, ds := one.hold(t, 2)
	two := openReplica(t, n, time.Hour)
	js := jetStream(t, n.conn)
	first := pinned(t, js)
	taken := make(chan []string, 1)
	go func() {
		got, _ := tryReceive(t.Context(), two, 4)
		taken <- got
	}()
	unpin(t, n)
	err := b.Publish(t.Context(), "orders", []driver.Message{{ID: "3", Data: []byte("3")}, {ID: "4", Data: []byte("4")}})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "another is pinned", func() bool { id := pinned(t, js); return id != "" && id != first })
	<-time.After(50 * time.Millisecond) // in which what is new arrives
	if err := one.Release(t.Context(), ds, 0); err != nil {
		t.Fatal(err)
	}
	return <-taken
}

// freezer dials connections that can be made to stand still: their server hears nothing any more, not even an end.
type freezer struct{ frozen, thawed chan struct{} }

func (f freezer) Dial(network, addr string) (net.Conn, error) {
	c, err := net.Dial(network, addr)
	if err != nil {
		return nil, err
	}
	return &frozenConn{Conn: c, f: f}, nil
}

type frozenConn struct {
	net.Conn
	f freezer
}

func (c *frozenConn) wait() {
	select {
	case <-c.f.frozen:
		<-c.f.thawed
	default:
	}
}

func (c *frozenConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.wait()
	return n, err
}

func (c *frozenConn) Write(p []byte) (int, error) {
	c.wait()
	return c.Conn.Write(p)
}

// The request of a process that stands still outlives it. What it is given goes before what follows all the same.
func TestWhatAFrozenOneIsGivenGoesFirst(t *testing.T) {
	n := startServer(t)
	const lease = 2 * time.Second
	f := freezer{make(chan struct{}), make(chan struct{})}
	conn, err := nats.Connect(n.s.ClientURL(), nats.SetCustomDialer(f))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s, err := natspubsub.New(jetStream(t, conn), nil).Subscribe(t.Context(), driver.SubscribeOptions{
		Topic: "orders", Name: "stock", Lease: lease, MaxInFlight: 100, Ordered: true,
		Revoke: func([]*driver.Delivery) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	b := natspubsub.New(jetStream(t, n.conn), nil)
	one := &replica{Subscription: s}
	send(t, b, "orders", "1")
	_, ds := one.hold(t, 1)
	if err := one.Ack(t.Context(), ds); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	waiting.Go(func() { _, _ = one.Receive(ctx, 10) })
	js := jetStream(t, n.conn)
	c, err := js.Consumer(t.Context(), "orders", "stock-orders")
	if err != nil {
		t.Fatal(err)
	}
	until(t, "its request is open", func() bool {
		info, err := c.Info(t.Context())
		return err == nil && info.NumWaiting > 0
	})
	close(f.frozen)
	defer func() {
		close(f.thawed)
		cancel()
		waiting.Wait()
		_ = s.Close(context.Background())
	}()

	two := openReplica(t, n, lease)
	taken := make(chan []string, 1)
	go func() {
		got, _ := tryReceive(t.Context(), two, 2)
		taken <- got
	}()
	<-time.After(lease + lease/2) // a lease that begins now lasts beyond the pin, which has half of one left
	send(t, b, "orders", "2")
	<-time.After(lease/2 + lease/10)
	send(t, b, "orders", "3")
	if got, want := <-taken, []string{"2", "3"}; !slices.Equal(got, want) {
		t.Errorf("the second received %v, want %v", got, want)
	}
}
