package pubsub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/pubsub/driver"
)

// PublishError says which messages of a batch may not have been stored.
type PublishError = driver.PublishError

// TooLargeError says that a message, attributes included, exceeds what the broker takes. It is permanent.
type TooLargeError = driver.TooLargeError

// Options configures a [Client]. The zero value is ready.
type Options struct {
	// Source names this service in the messages it publishes (CloudEvents source, a URI reference such as "/orders").
	// Empty means "unknown_service", OpenTelemetry's name for a service without one.
	Source string
	// PublishTimeout bounds one call of Publish. Zero means 10s; negative means that the caller's context alone does.
	PublishTimeout time.Duration
	// Logger takes what subscriptions have to say. Nil means slog.Default().
	Logger *slog.Logger
	// TracerProvider makes the spans. Nil means otel.GetTracerProvider().
	TracerProvider trace.TracerProvider
	// Propagator carries the trace in messages. Nil means W3C trace context, without baggage.
	Propagator propagation.TextMapPropagator
	// Registerer takes the metrics. Nil means prometheus.DefaultRegisterer.
	Registerer prometheus.Registerer
}

// Client publishes to a broker and subscribes to its topics. It is a [Publisher], safe for concurrent use. It holds
// no connection of its own: close the broker's where you opened it, after every subscription's Run has returned.
type Client struct {
	broker         driver.Broker
	source         string
	publishTimeout time.Duration
	logger         *slog.Logger
	propagator     propagation.TextMapPropagator
	traceFields    []string
	observer       *observer
	err            error // why the client cannot be used, reported by its methods
}

// NewClient returns a client of b. What is wrong with o, such as a metric that the registerer holds in another shape,
// is reported by Declare, Publish, Ping and [Subscription.Run].
func NewClient(b driver.Broker, o *Options) *Client {
	if o == nil {
		o = &Options{}
	}
	tp := o.TracerProvider
	if tp == nil {
		tp = otel.GetTracerProvider()
	}
	c := &Client{
		broker:         b,
		source:         cmp.Or(o.Source, "unknown_service"),
		publishTimeout: cmp.Or(o.PublishTimeout, 10*time.Second),
		logger:         cmp.Or(o.Logger, slog.Default()),
		propagator:     propagatorOr(o.Propagator),
	}
	for _, f := range c.propagator.Fields() {
		c.traceFields = append(c.traceFields, strings.ToLower(f))
	}
	c.observer, c.err = newObserver(o.Registerer, tp, systemOf(b))
	if fault := textFault(c.source, maxNameLength); fault != "" {
		c.err = errors.Join(c.err, fmt.Errorf("pubsub: %w", &InvalidError{"Options.Source", fault}))
	}
	return c
}

func systemOf(b driver.Broker) string {
	if s, ok := b.(driver.System); ok {
		return s.System()
	}
	return ""
}

// Publish sends ms to topic and returns nil once the broker has stored all of them. It never changes ms.
//
// An error that matches *[InvalidError] means that nothing was sent. *[PublishError] names the messages that may not
// have been stored; any other error means that none was. Publish the same messages, with the same IDs, again, unless
// the error is permanent (resilience.IsPermanent).
func (c *Client) Publish(ctx context.Context, topic string, ms ...*Message) error {
	if c.err != nil {
		return c.err
	}
	if len(ms) == 0 {
		return nil
	}
	// Before anything is observed: what is no topic becomes no series.
	if err := checkTopic("topic", topic); err != nil {
		return fmt.Errorf("pubsub: publish: %w", err)
	}
	if c.publishTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.publishTimeout)
		defer cancel()
	}
	sending := c.observer.sending(ctx, topic, len(ms))
	batch, err := newPacker(ctx, c, topic, sending).pack(ctx, ms)
	if err == nil {
		err = c.broker.Publish(ctx, topic, batch)
	}
	sending.end(err)
	if err != nil {
		return fmt.Errorf("pubsub: publish %q: %w", topic, err)
	}
	return nil
}

// Declare creates the topics that are missing, where the broker knows topics at all. Those that exist are left as
// they are. Call it at start, before anything publishes.
func (c *Client) Declare(ctx context.Context, topics ...Named) error {
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.Name()
	}
	return c.declare(ctx, names)
}

func (c *Client) declare(ctx context.Context, names []string) error {
	if c.err != nil {
		return c.err
	}
	for _, n := range names {
		if err := checkTopic("topic", n); err != nil {
			return fmt.Errorf("pubsub: declare: %w", err)
		}
	}
	d, ok := c.broker.(driver.Declarer)
	if !ok || len(names) == 0 {
		return nil
	}
	if err := d.Declare(ctx, names); err != nil {
		return fmt.Errorf("pubsub: declare: %w", err)
	}
	return nil
}

// Ping returns nil when the broker answers now, or cannot say. It fits a readiness check.
func (c *Client) Ping(ctx context.Context) error {
	if c.err != nil {
		return c.err
	}
	p, ok := c.broker.(driver.Pinger)
	if !ok {
		return nil
	}
	if err := p.Ping(ctx); err != nil {
		return fmt.Errorf("pubsub: ping: %w", err)
	}
	return nil
}
