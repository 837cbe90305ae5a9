package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/examples/shop/contract"
	"github.com/mainstay-go/mainstay/examples/shop/internal/natsd"
	"github.com/mainstay-go/mainstay/examples/shop/internal/platform"
	"github.com/mainstay-go/mainstay/examples/shop/internal/spanfile"
	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/natspubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/tracing"
	"github.com/mainstay-go/mainstay/transport/httpclient"
)

// stage is all that a demo is made of.
type stage struct {
	dir    string
	out    io.Writer
	orders int
	run    string // names this demo, where broker and databases outlive it
	fleet  fleet
	load   *load
	books  books
	dead   *deadLetters

	mu         sync.Mutex
	duplicates int // dropped by the services' inboxes, as far as their counters were read

	closers []func() error // in the order of their making
}

// newStage makes everything that the demo needs but the processes, which it does not start yet.
func newStage(ctx context.Context, o Options, dir string) (_ *stage, err error) {
	s := &stage{
		dir: dir, out: o.Out, orders: o.Orders, run: uuid.NewString()[:8],
		fleet: fleet{}, books: books{}, dead: &deadLetters{},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	broker := o.Broker
	if broker == "" {
		server, err := natsd.Start(filepath.Join(dir, "nats"))
		if err != nil {
			return nil, err
		}
		s.onClose(func() error { server.Stop(); return nil })
		broker = server.URL()
	}
	dbs, err := platform.Databases(ctx, o.DB, dir, o.Services)
	if err != nil {
		return nil, err
	}
	addrs, err := platform.FreeAddrs(3 * len(o.Services))
	if err != nil {
		return nil, err
	}
	s.hire(o.Services, broker, dbs, addrs)
	if err := s.openBooks(ctx, dbs); err != nil {
		return nil, err
	}
	if err := s.watchDeadLetters(ctx, broker); err != nil {
		return nil, err
	}
	return s, s.customers(ctx)
}

// hire makes the fleet: each service with three addresses, the broker, its own database, and its faults.
func (s *stage) hire(services []string, broker string, dbs map[string]string, addrs []string) {
	http, grpc, admin := map[string]string{}, map[string]string{}, map[string]string{}
	for i, name := range services {
		http[name], grpc[name], admin[name] = addrs[3*i], addrs[3*i+1], addrs[3*i+2]
	}
	for _, name := range services {
		c := &child{name: name, admin: admin[name], dir: s.dir}
		c.args = []string{
			"-http", http[name], "-grpc", grpc[name], "-admin", admin[name],
			"-broker", broker, "-db", dbs[name],
			"-users-url", "http://" + http["users"], "-catalog-addr", grpc["catalog"],
			"-trace-file", c.spanFile(),
			"-lease", "2s", // what a killed process held comes back within this
			"-duplicate", "0.1",
		}
		if name == "inventory" {
			c.args = append(c.args, "-poison", Mallory)
		}
		s.fleet[name] = c
	}
	s.load = &load{orders: s.orders, address: http["orders"], run: s.run}
}

// openBooks opens the services' databases.
func (s *stage) openBooks(ctx context.Context, dbs map[string]string) error {
	for name, db := range dbs {
		dialect, dsn, err := platform.Database(db)
		if err != nil {
			return err
		}
		s.books[name], err = sqlx.Open(ctx, dialect, dsn, &sqlx.Options{Registerer: prometheus.NewRegistry()})
		if err != nil {
			return err
		}
		s.onClose(s.books[name].Close)
	}
	return nil
}

// watchDeadLetters subscribes to what inventory cannot handle.
func (s *stage) watchDeadLetters(ctx context.Context, url string) error {
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}
	s.onClose(func() error { nc.Close(); return nil })
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	client := pubsub.NewClient(natspubsub.New(js, nil), &pubsub.Options{Registerer: prometheus.NewRegistry()})
	topic := contract.OrderCreated.Name() + ".dead-letter.inventory"
	sub := client.Subscribe(topic, "demo-"+s.run, s.dead.handle, &pubsub.SubscriptionOptions{
		DeadLetter: "demo.dead-letter", // one for all demos on this broker
	})
	runCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- sub.Run(runCtx) }()
	s.onClose(func() error { stop(); return <-ended })
	select {
	case <-sub.Ready():
		return nil
	case err := <-ended:
		ended <- err
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// customers gives the load its client, its spans a file, and tells it what to do in the middle.
func (s *stage) customers(ctx context.Context) error {
	spans, err := spanfile.Open(filepath.Join(s.dir, "customer.spans"))
	if err != nil {
		return err
	}
	tp, err := tracing.Setup(ctx, &tracing.Options{ServiceName: "customer", Exporter: spans})
	if err != nil {
		return err
	}
	s.load.flush = tp.Shutdown
	s.load.tracer = tp.TracerProvider().Tracer("demo")
	s.load.client = httpclient.New("http://"+s.load.address, &httpclient.Options{
		Policy: patience(), TracerProvider: tp.TracerProvider(), Registerer: prometheus.NewRegistry(),
	})
	s.load.when = map[int]func(context.Context) error{
		s.orders / 3: func(ctx context.Context) error {
			// Its counters end with it.
			if err := s.countDuplicates(ctx, "inventory"); err != nil {
				return err
			}
			return s.fleet.crash(ctx, "inventory")
		},
		s.orders * 2 / 3: func(ctx context.Context) error {
			if err := s.countDuplicates(ctx, "orders"); err != nil {
				return err
			}
			return s.fleet.crash(ctx, "orders")
		},
	}
	return nil
}

// countDuplicates adds what the service has dropped so far.
func (s *stage) countDuplicates(ctx context.Context, name string) error {
	n, err := scrape(ctx, s.fleet[name].admin, "mainstay_inbox_duplicates_total")
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.duplicates += n
	return nil
}

// story tells of the last order accepted, which came after both crashes.
func (s *stage) story(ctx context.Context) error {
	if err := s.load.flush(ctx); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(s.dir, "*.spans"))
	if err != nil {
		return err
	}
	last := s.load.last
	spans, err := spanfile.Read(func(s spanfile.Span) bool { return s.TraceID == last.traceID }, files...)
	if err != nil {
		return err
	}
	if len(spans) == 0 {
		return fmt.Errorf("no span of trace %s", last.traceID)
	}
	s.say("The story of the order that was accepted last: what the killed processes had held was taken over first.\n\n"+
		"  order        %s\n  trace        %s\n  correlation  %s\n", last.orderID, last.traceID, last.correlationID)
	return tell(s.out, spans)
}

func (s *stage) onClose(f func() error) { s.closers = append(s.closers, f) }

// close ends the processes that still run, and then what they used.
func (s *stage) close() error {
	s.fleet.killAll()
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, s.closers[i]())
	}
	s.closers = nil
	return errors.Join(errs...)
}
