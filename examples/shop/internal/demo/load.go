package demo

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/mainstay-go/mainstay/examples/shop/contract"
	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport/httpclient"
)

// clients is how many customers order at once.
const clients = 12

// load places orders over HTTP as customers do.
type load struct {
	address string // of orders
	client  *httpclient.Client
	tracer  trace.Tracer
	flush   func(context.Context) error // of the tracer's spans
	orders  int
	run     string // makes the keys of this demo its own, where the databases have seen another
	// when holds what happens as soon as so many orders have been accepted; the customers go on meanwhile.
	when map[int]func(context.Context) error

	mu       sync.Mutex
	accepted map[string]contract.Order // by Idempotency-Key
	last     tale                      // of the order accepted last, Mallory's apart
}

// tale is what one order's story is found by.
type tale struct{ orderID, traceID, correlationID string }

// patience is the customers' policy: they ask again, under the same key, until they have an answer.
func patience() *resilience.Policy {
	return resilience.New("orders", &resilience.Options{
		Timeout:        30 * time.Second,
		AttemptTimeout: 5 * time.Second,
		Retry: resilience.RetryOptions{
			MaxAttempts: 200, MinBackoff: 20 * time.Millisecond, MaxBackoff: 300 * time.Millisecond,
			MaxRatio: -1, // a dozen customers who do nothing but ask again
		},
		Breaker: resilience.BreakerOptions{ConsecutiveFailures: -1},
	})
}

// placeAll places all orders and returns when each has its answer and all of when is done.
func (l *load) placeAll(ctx context.Context) error {
	l.accepted = make(map[string]contract.Order, l.orders)
	g, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range clients {
		g.Go(func() error {
			for {
				n := int(next.Add(1)) - 1
				if n >= l.orders {
					return nil
				}
				if err := l.place(ctx, g, n); err != nil {
					return fmt.Errorf("order %d: %w", n, err)
				}
			}
		})
	}
	return g.Wait()
}

func (l *load) place(ctx context.Context, g *errgroup.Group, n int) error {
	req := request(l.run, n)
	orderCtx, correlationID := correlation.Ensure(ctx)
	orderCtx, span := l.tracer.Start(orderCtx, "place an order")
	defer span.End()
	order, err := contract.PlaceOrder.Call(orderCtx, l.client, req)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted[req.IdempotencyKey] = order
	if req.CustomerID != Mallory {
		l.last = tale{order.ID, span.SpanContext().TraceID().String(), correlationID}
	}
	if f := l.when[len(l.accepted)]; f != nil {
		g.Go(func() error { return f(ctx) })
	}
	return nil
}

// request is the nth order of a run. One in a hundred is Mallory's.
func request(run string, n int) contract.PlaceOrderRequest {
	customers := [...]string{"alice", "bob", "carol", "dave"}
	skus := [...]string{"tea", "coffee", "mug"}
	customer := customers[n%len(customers)]
	if n%100 == 50 {
		customer = Mallory
	}
	return contract.PlaceOrderRequest{
		IdempotencyKey: fmt.Sprintf("demo-%s-%04d", run, n),
		CustomerID:     customer, SKU: skus[n%len(skus)], Quantity: 1 + n%3,
	}
}
