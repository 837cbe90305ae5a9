package natspubsub_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
	"github.com/mainstay-go/mainstay/resilience"
)

const patience = 15 * time.Second

func newClient(b driver.Broker) *pubsub.Client {
	return pubsub.NewClient(b, &pubsub.Options{
		Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
}

// run runs s until the returned function is called.
func run(t *testing.T, s *pubsub.Subscription) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Ready():
	case err := <-ended:
		cancel()
		t.Fatalf("Run returned %v before it was ready", err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func open(t *testing.T, b *natspubsub.Broker, topic, name string, lease time.Duration) driver.Subscription {
	t.Helper()
	s, err := b.Subscribe(t.Context(), driver.SubscribeOptions{Topic: topic, Name: name, Lease: lease, MaxInFlight: 100})
	if err != nil {
		t.Fatalf("Subscribe: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func send(t *testing.T, b *natspubsub.Broker, topic string, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := b.Publish(t.Context(), topic, []driver.Message{{ID: id, Data: []byte(id)}}); err != nil {
			t.Fatalf("Publish(%q): %v", id, err)
		}
	}
}

// receive returns the next n deliveries' data, acknowledged.
func receive(t *testing.T, s driver.Subscription, n int) []string {
	t.Helper()
	got, err := tryReceive(t.Context(), s, n)
	if err != nil {
		t.Fatalf("received %v, then %v, want %d", got, err, n)
	}
	return got
}

// tryReceive is receive for a goroutine that may outlive its test.
func tryReceive(ctx context.Context, s driver.Subscription, n int) (got []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for len(got) < n {
		ds, err := s.Receive(ctx, n-len(got))
		if ctx.Err() != nil {
			return got, errors.Join(err, ctx.Err())
		}
		if err != nil {
			<-time.After(20 * time.Millisecond) // as pubsub backs off
		}
		for _, d := range ds {
			got = append(got, string(d.Data))
		}
		if err := s.Ack(ctx, ds); err != nil {
			return got, err
		}
	}
	return got, nil
}

func TestMessageOfAKilledProcessComesBackAfterItsLease(t *testing.T) {
	n := startServer(t)
	victim := connect(t, n.s.ClientURL())
	const lease = 600 * time.Millisecond
	begun := make(chan struct{}, 1)
	release := make(chan struct{})
	sub := newClient(natspubsub.New(jetStream(t, victim), nil)).Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error {
		begun <- struct{}{}
		<-release
		return nil
	}, &pubsub.SubscriptionOptions{Lease: lease, HandlerTimeout: -1})
	ended := make(chan error, 1)
	go func() { ended <- sub.Run(context.Background()) }()
	<-sub.Ready()
	survivor := natspubsub.New(jetStream(t, n.conn), nil)
	send(t, survivor, "orders", "1")
	<-begun
	<-time.After(3 * lease) // alive and slow: nobody else gets it
	other := open(t, survivor, "orders", "stock", lease)
	ctx, cancel := context.WithTimeout(t.Context(), 2*lease)
	defer cancel()
	if ds, err := other.Receive(ctx, 1); len(ds) > 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Receive = %v, %v while the handler works, want nothing", ds, err)
	}
	victim.Close() // as the server sees a process that is killed
	died := time.Now()
	if got := receive(t, other, 1); got[0] != "1" {
		t.Errorf("received %v, want the message", got)
	}
	if took := time.Since(died); took > 3*lease {
		t.Errorf("it came back after %v, want about the lease of %v", took, lease)
	}
	close(release)
	if err := <-ended; !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("Run = %v, want an error that says the connection is closed", err)
	}
}

func TestTooLargeIsAPlainErrorAndNothingElse(t *testing.T) {
	n := startServer(t)
	var disconnects, errs atomic.Int32
	n.conn.SetDisconnectErrHandler(func(*nats.Conn, error) { disconnects.Add(1) })
	n.conn.SetErrorHandler(func(*nats.Conn, *nats.Subscription, error) { errs.Add(1) })
	client := newClient(natspubsub.New(jetStream(t, n.conn), nil))
	large := &pubsub.Message{Data: make([]byte, n.conn.MaxPayload()), Metadata: map[string]string{"pad": strings.Repeat("x", 200)}}
	err := client.Publish(t.Context(), "orders", large)
	var tooLarge *pubsub.TooLargeError
	if !errors.As(err, &tooLarge) || !resilience.IsPermanent(err) || tooLarge.Bytes <= tooLarge.Limit || int64(tooLarge.Limit) != n.conn.MaxPayload() {
		t.Errorf("Publish = %v, want a permanent *TooLargeError", err)
	}
	if err := client.Publish(t.Context(), "orders", &pubsub.Message{Data: make([]byte, n.conn.MaxPayload()/2)}); err != nil {
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
	m := driver.Message{ID: "1", Attributes: map[string]string{"ce-id": "1", "user": "Größe"}}
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
	b := natspubsub.New(jetStream(t, n.conn), &natspubsub.Options{Stream: func(_ string, c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 }})
	err := b.Publish(t.Context(), "orders", []driver.Message{{ID: "1", Data: make([]byte, 1000)}})
	var tooLarge *driver.TooLargeError
	if !errors.As(err, &tooLarge) || tooLarge.Limit != 1000 {
		t.Errorf("Publish = %v, want a *TooLargeError of 1000", err)
	}
}

func TestLastDeliveryIsNotDropped(t *testing.T) {
	n := startServer(t)
	js := jetStream(t, n.conn)
	b := natspubsub.New(js, nil)
	if err := b.Declare(t.Context(), []string{"orders", "orders.dead-letter.stock"}); err != nil {
		t.Fatal(err)
	}
	// Somebody made the consumer with a limit of the server's own.
	_, err := js.CreateConsumer(t.Context(), "orders", jetstream.ConsumerConfig{
		Durable: "stock-orders", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: "orders", MaxDeliver: 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	letters := make(chan *pubsub.Message, 10)
	client := newClient(b)
	run(t, client.Subscribe("orders.dead-letter.stock", "reader", func(_ context.Context, m *pubsub.Message) error {
		letters <- m
		return nil
	}, nil))

	const lease = 300 * time.Millisecond
	if err := client.Publish(t.Context(), "orders", &pubsub.Message{ID: "poison"}); err != nil {
		t.Fatal(err)
	}
	// Three processes die while they hold it.
	for attempt := 1; attempt <= 3; attempt++ {
		s := open(t, b, "orders", "stock", lease)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		ds, err := s.Receive(ctx, 1)
		cancel()
		if err != nil || ds[0].Attempt != attempt {
			t.Fatalf("delivery %d: %v, %v", attempt, ds, err)
		}
	}
	run(t, client.Subscribe("orders", "stock", func(context.Context, *pubsub.Message) error { return errors.New("boom") },
		&pubsub.SubscriptionOptions{Lease: lease, Retry: pubsub.Retry{MaxAttempts: 3, MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond}}))
	select {
	case m := <-letters:
		if m.ID != "poison" || m.DeadLetter.Attempts != 6 || m.DeadLetter.Position != "orders/1" {
			t.Errorf("dead letter %s %+v, want poison after 3 lost deliveries and 3 attempts", m.ID, m.DeadLetter)
		}
	case <-time.After(patience):
		t.Fatal("no dead letter: the server dropped the message")
	}
	select {
	case m := <-letters:
		t.Errorf("a second dead letter %v", m)
	case <-time.After(3 * lease):
	}
}

func TestStreams(t *testing.T) {
	n := startServer(t)
	js := jetStream(t, n.conn)
	t.Run("ThatHoldTheSubjectAreUsed", func(t *testing.T) {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVERYTHING", Subjects: []string{"shared.>"}}); err != nil {
			t.Fatal(err)
		}
		b := natspubsub.New(js, nil)
		one, two := open(t, b, "shared.one", "s", time.Minute), open(t, b, "shared.two", "s", time.Minute)
		// One ID under two topics is two messages.
		send(t, b, "shared.one", "1")
		send(t, b, "shared.two", "1")
		send(t, b, "shared.two", "2")
		if got := receive(t, one, 1); got[0] != "1" {
			t.Errorf("shared.one: %v", got)
		}
		if got := receive(t, two, 2); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("shared.two: %v", got)
		}
	})
	t.Run("AreMadeAsOptionsSay", func(t *testing.T) {
		b := natspubsub.New(js, &natspubsub.Options{Stream: func(topic string, c *jetstream.StreamConfig) {
			c.Name, c.Storage, c.Subjects = "MINE", jetstream.MemoryStorage, append(c.Subjects, "other")
		}})
		if err := b.Declare(t.Context(), []string{"mine", "mine", "other"}); err != nil {
			t.Fatal(err)
		}
		s, err := js.Stream(t.Context(), "MINE")
		if err != nil {
			t.Fatal(err)
		}
		if c := s.CachedInfo().Config; c.Storage != jetstream.MemoryStorage || !slices.Equal(c.Subjects, []string{"mine", "other"}) ||
			c.MaxAge != 7*24*time.Hour || c.Duplicates != 2*time.Minute {
			t.Errorf("stream %+v, want our changes and the other defaults", c)
		}
	})
	t.Run("OfACollidingNameAreRefused", func(t *testing.T) {
		b := natspubsub.New(js, nil)
		if err := b.Declare(t.Context(), []string{"a.b"}); err != nil {
			t.Fatal(err)
		}
		err := b.Declare(t.Context(), []string{"a_b"})
		if !resilience.IsPermanent(err) || !strings.Contains(err.Error(), `stream "a_b" exists`) {
			t.Errorf("Declare = %v, want a permanent error that names the stream", err)
		}
	})
	t.Run("WithoutTheTopicAreRefused", func(t *testing.T) {
		b := natspubsub.New(js, &natspubsub.Options{Stream: func(_ string, c *jetstream.StreamConfig) { c.Subjects = []string{"elsewhere"} }})
		if err := b.Declare(t.Context(), []string{"here"}); !resilience.IsPermanent(err) {
			t.Errorf("Declare = %v, want a permanent error", err)
		}
	})
	t.Run("AreMadeOnceByMany", func(t *testing.T) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := natspubsub.New(js, nil).Declare(t.Context(), []string{"raced"}); err != nil {
					t.Errorf("Declare: %v", err)
				}
			})
		}
		wg.Wait()
	})
	t.Run("DropASecondCopy", func(t *testing.T) {
		b := natspubsub.New(js, nil)
		s := open(t, b, "dedupe", "s", time.Minute)
		send(t, b, "dedupe", "1", "1", "2", "1")
		if got := receive(t, s, 2); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("received %v, want 1 and 2 once", got)
		}
	})
}

func TestConsumersOfCollidingNamesAreRefused(t *testing.T) {
	n := startServer(t)
	b := natspubsub.New(jetStream(t, n.conn), nil)
	open(t, b, "orders", "a.b", time.Minute)
	_, err := b.Subscribe(t.Context(), driver.SubscribeOptions{Topic: "orders", Name: "a_b", Lease: time.Minute, MaxInFlight: 1})
	if !resilience.IsPermanent(err) || !strings.Contains(err.Error(), `belongs to subscription "a.b"`) {
		t.Errorf("Subscribe = %v, want a permanent error that names the owner", err)
	}
}

func TestLeaseOfAnExistingConsumerIsUpdated(t *testing.T) {
	n := startServer(t)
	js := jetStream(t, n.conn)
	b := natspubsub.New(js, nil)
	open(t, b, "orders", "stock", time.Minute)
	open(t, b, "orders", "stock", time.Hour)
	c, err := js.Consumer(t.Context(), "orders", "stock-orders")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.CachedInfo().Config.AckWait; got != time.Hour {
		t.Errorf("AckWait = %v, want 1h", got)
	}
}

func TestWhatIsDeletedIsMadeAgain(t *testing.T) {
	n := startServer(t)
	js := jetStream(t, n.conn)
	b := natspubsub.New(js, nil)
	for what, remove := range map[string]func(topic string) error{
		"consumer": func(topic string) error { return js.DeleteConsumer(t.Context(), topic, "stock-"+topic) },
		"stream":   func(topic string) error { return js.DeleteStream(t.Context(), topic) },
	} {
		for _, when := range []string{"waiting", "idle"} {
			t.Run(what+"/"+when, func(t *testing.T) {
				topic := what + "-" + when
				s := open(t, b, topic, "stock", time.Minute)
				send(t, b, topic, "1", "2")
				receive(t, s, 2)
				received := make(chan []string, 1)
				if when == "waiting" {
					var wg sync.WaitGroup
					defer wg.Wait()
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					wg.Go(func() {
						got, err := tryReceive(ctx, s, 2)
						if err != nil {
							t.Errorf("received %v, then %v", got, err)
						}
						received <- got
					})
					<-time.After(100 * time.Millisecond) // most likely; either order has to work
				}
				if err := remove(topic); err != nil {
					t.Fatal(err)
				}
				// The first publish may find out that the stream is gone, or be swallowed by one that is going; the
				// next one makes it again.
				if err := b.Publish(t.Context(), topic, []driver.Message{{ID: "3", Data: []byte("3")}}); err != nil {
					var unsure *driver.PublishError
					if !errors.Is(err, jetstream.ErrNoStreamResponse) && !errors.As(err, &unsure) {
						t.Fatal(err)
					}
					send(t, b, topic, "3")
				}
				send(t, b, topic, "4")
				if when == "idle" {
					received <- receive(t, s, 2)
				}
				if got := <-received; !slices.Equal(got, []string{"3", "4"}) {
					t.Errorf("received %v, want 3 and 4, nothing lost and nothing twice", got)
				}
			})
		}
	}
}

func TestNothingIsLostWhenReceiveIsCutShort(t *testing.T) {
	n := startServer(t)
	b := natspubsub.New(jetStream(t, n.conn), nil)
	s := open(t, b, "orders", "stock", time.Hour)
	const total = 500
	published := make(chan struct{})
	go func() {
		defer close(published)
		for i := range total {
			send(t, b, "orders", fmt.Sprint(i))
		}
	}()
	late := time.Now().Add(patience)
	seen := map[string]bool{}
	for len(seen) < total && time.Now().Before(late) {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Microsecond)
		ds, err := s.Receive(ctx, 7)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		for _, d := range ds {
			// The server may count a delivery to an inbox that was just given up; it gives the message out again at
			// once.
			if seen[string(d.Data)] {
				t.Errorf("%s came twice", d.Data)
			}
			seen[string(d.Data)] = true
		}
		if err := s.Ack(t.Context(), ds); err != nil {
			t.Fatal(err)
		}
	}
	<-published
	if len(seen) != total {
		t.Errorf("received %d, want %d: what Receive leaves behind must not wait for the end of its lease", len(seen), total)
	}
}

func TestWhatArrivesSoonIsHandedOutAtOnce(t *testing.T) {
	b := natspubsub.New(jetStream(t, startServer(t).conn), nil)
	s := open(t, b, "soon", "s", time.Minute)
	const rounds = 20
	begin := time.Now()
	for i := range rounds {
		send(t, b, "soon", fmt.Sprint(i))
		ds, err := s.Receive(t.Context(), 10) // more than there are
		if err != nil || len(ds) != 1 {
			t.Fatalf("Receive = %d messages, %v, want 1, nil", len(ds), err)
		}
		if err := s.Ack(t.Context(), ds); err != nil {
			t.Fatal(err)
		}
	}
	// Twenty pauses of an idle subscription would be two seconds.
	if took := time.Since(begin); took > time.Second {
		t.Errorf("%d messages, one at a time, took %v, want less than 1s", rounds, took)
	}
}

func TestStoppingSubscriptionTakesNothingFromOthers(t *testing.T) {
	n := startServer(t)
	b := natspubsub.New(jetStream(t, n.conn), nil)
	stopping, other := open(t, b, "orders", "stock", time.Hour), open(t, b, "orders", "stock", time.Hour)
	for i := range 5 {
		// It waits, is told to end, and stays open for its handlers.
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if ds, err := stopping.Receive(ctx, 10); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Receive = %v, %v, want its context's error", ds, err)
		}
		cancel()
		id := fmt.Sprint(i)
		send(t, b, "orders", id)
		if got := receive(t, other, 1); got[0] != id {
			t.Errorf("the other received %v, want %s", got, id)
		}
	}
}

func TestIdleSubscriptionsAskSeldom(t *testing.T) {
	n := startServer(t)
	js := jetStream(t, n.conn)
	b := natspubsub.New(js, nil)
	var asked atomic.Int32
	watch, err := n.conn.Subscribe("$JS.API.CONSUMER.MSG.NEXT.>", func(*nats.Msg) { asked.Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Unsubscribe()
	subs := []driver.Subscription{open(t, b, "orders", "stock", time.Minute), open(t, b, "orders", "stock", time.Minute)}
	// A consumer that is paused has messages and gives none.
	if _, err := js.PauseConsumer(t.Context(), "orders", "stock-orders", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	send(t, b, "orders", "1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, s := range subs {
		wg.Go(func() {
			if ds, err := s.Receive(ctx, 10); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Receive = %v, %v, want its context's error", ds, err)
			}
		})
	}
	wg.Wait()
	if got := asked.Load(); got < 1 || got > 25 {
		t.Errorf("%d requests in a second of two idle subscriptions, want a few", got)
	}
}

func TestServerThatIsDownAtTheStart(t *testing.T) {
	n := startServer(t)
	url := n.s.ClientURL()
	n.stop()
	nc, err := nats.Connect(url, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	b := natspubsub.New(jetStream(t, nc), nil)
	client := newClient(b)
	if err := client.Ping(t.Context()); !errors.Is(err, nats.ErrDisconnected) {
		t.Errorf("Ping = %v, want ErrDisconnected", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := client.Publish(ctx, "orders", &pubsub.Message{}); err == nil {
		t.Error("Publish = nil while the server is down")
	}
	handled := make(chan string, 10)
	sub := client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
		handled <- m.ID
		return nil
	}, nil)
	runCtx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sub.Run(runCtx) }()
	select {
	case <-sub.Ready():
		t.Error("ready while the server is down")
	case <-time.After(200 * time.Millisecond):
	}
	n.start()
	select {
	case <-sub.Ready():
	case <-time.After(patience):
		t.Fatal("not ready though the server is up")
	}
	if err := client.Ping(t.Context()); err != nil {
		t.Errorf("Ping = %v, want nil", err)
	}
	if err := client.Publish(t.Context(), "orders", &pubsub.Message{ID: "1"}); err != nil {
		t.Fatal(err)
	}
	if got := <-handled; got != "1" {
		t.Errorf("handled %q, want 1", got)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run = %v, want nil", err)
	}
}

func TestLostConnection(t *testing.T) {
	t.Run("EndsReceive", func(t *testing.T) {
		n := startServer(t)
		s := open(t, natspubsub.New(jetStream(t, n.conn), nil), "orders", "stock", time.Minute)
		n.stop()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if ds, err := s.Receive(ctx, 1); !errors.Is(err, nats.ErrDisconnected) || resilience.IsPermanent(err) {
			t.Errorf("Receive = %v, %v, want ErrDisconnected, to be tried again", ds, err)
		}
	})
	t.Run("ThatIsBackAtOnceCostsNoWait", func(t *testing.T) {
		n := startServer(t)
		b := natspubsub.New(jetStream(t, n.conn), nil)
		s := open(t, b, "orders", "stock", time.Minute)
		received := make(chan time.Time, 1)
		go func() {
			receive(t, s, 1)
			received <- time.Now()
		}()
		<-time.After(100 * time.Millisecond) // the request is at the server, most likely
		n.stop()
		n.start()
		began := time.Now()
		for n.conn.Stats().Reconnects == 0 {
			<-time.After(5 * time.Millisecond)
		}
		send(t, b, "orders", "1")
		if took := (<-received).Sub(began); took > 3*time.Second {
			t.Errorf("the message arrived after %v, want well before the lost request would have ended", took)
		}
	})
}

func TestRestartInTheMiddleLosesNothing(t *testing.T) {
	n := startServer(t)
	client := newClient(natspubsub.New(jetStream(t, n.conn), nil))
	var mu sync.Mutex
	handled := map[string]bool{}
	all := make(chan struct{})
	const total = 300
	run(t, client.Subscribe("orders", "stock", func(_ context.Context, m *pubsub.Message) error {
		mu.Lock()
		defer mu.Unlock()
		if handled[m.ID] = true; len(handled) == total {
			close(all)
			handled["closed"] = true
		}
		return nil
	}, &pubsub.SubscriptionOptions{Lease: time.Second}))
	for i := range total {
		if i == total/2 {
			n.stop()
			n.start()
		}
		m := &pubsub.Message{ID: fmt.Sprint(i)}
		for late := time.Now().Add(patience); ; {
			if err := client.Publish(t.Context(), "orders", m); err == nil {
				break
			} else if time.Now().After(late) {
				t.Fatalf("Publish: %v", err)
			}
			<-time.After(20 * time.Millisecond)
		}
	}
	select {
	case <-all:
	case <-time.After(patience):
		mu.Lock()
		defer mu.Unlock()
		t.Errorf("%d handled, want %d", len(handled), total)
	}
}
