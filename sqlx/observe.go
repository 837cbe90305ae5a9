package sqlx

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/metrics"
)

// maxErrorTypes bounds the codes that failures are told apart by: PostgreSQL has some 260, a service meets a few, and
// whoever writes functions there may RAISE codes of their own.
const maxErrorTypes = 100

// observer measures the operations of one pool.
type observer struct {
	system    string
	tracer    trace.Tracer
	red       *metrics.RED
	kinds     *metrics.Values
	succeeded [operations]atomic.Pointer[metrics.Series] // nil until the operation does for the first time
	spans     [operations][]trace.SpanStartOption
}

func newObserver(d Dialect, opt Options) (*observer, error) {
	tp := opt.TracerProvider
	if tp == nil {
		tp = otel.GetTracerProvider()
	}
	red, err := metrics.NewRED(opt.Registerer, metrics.REDOptions{
		Name:   "db_client_operation_duration_seconds",
		Help:   "Duration of database operations, until the first row of a query.",
		Labels: []string{"db_system_name", "db_operation_name", "error_type"},
		// As the semantic conventions advise for this metric: finer than those of requests.
		Buckets: []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10},
	})
	if err != nil {
		return nil, err
	}
	kinds, err := metrics.NewValues(opt.Registerer, "error_type", maxErrorTypes)
	if err != nil {
		return nil, err
	}
	o := &observer{
		system: d.String(), tracer: tp.Tracer("github.com/mainstay-go/mainstay/sqlx"), red: red, kinds: kinds,
	}
	for _, kind := range []string{kindCanceled, kindTimeout, kindBadConnection, metrics.Other} {
		kinds.Label(kind) // these keep their names, whatever codes come
	}
	for op := range operations {
		o.spans[op] = []trace.SpanStartOption{
			trace.WithSpanKind(trace.SpanKindClient),
			trace.WithAttributes(semconv.DBSystemNameKey.String(o.system), semconv.DBOperationName(op.String())),
		}
	}
	return o, nil
}

// observation is one operation under way. It is a value: an operation outside a trace allocates nothing for it.
type observation struct {
	o         *observer
	ctx       context.Context //nolint:containedctx // of the operation, which it lives no longer than
	operation operation
	start     time.Time
	span      trace.Span // nil outside a trace
}

// begin starts a span where ctx belongs to a trace. Polling for work, outside any, would be nothing but roots.
func (o *observer) begin(ctx context.Context, op operation) observation {
	obs := observation{o: o, ctx: ctx, operation: op, start: time.Now()}
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return obs
	}
	obs.ctx, obs.span = o.tracer.Start(ctx, op.String(), o.spans[op]...)
	return obs
}

func (obs observation) end(err error) {
	if errors.Is(err, driver.ErrSkip) {
		err = nil
	}
	kind := errorType(err)
	obs.o.series(obs.operation, kind).Observe(obs.ctx, time.Since(obs.start))
	if obs.span == nil {
		return
	}
	if err != nil {
		// The kind alone: a driver's words may quote a value ("Key (email)=(…) already exists").
		obs.span.SetStatus(codes.Error, kind)
		obs.span.SetAttributes(attribute.String(string(semconv.ErrorTypeKey), kind))
	}
	obs.span.End()
}

// series returns that of op's failures of one kind, of its successes where kind is "".
func (o *observer) series(op operation, kind string) *metrics.Series {
	if kind != "" {
		return o.red.With(o.system, op.String(), o.kinds.Label(kind))
	}
	s := o.succeeded[op].Load()
	if s == nil {
		s = o.red.With(o.system, op.String(), "")
		o.succeeded[op].Store(s)
	}
	return s
}

// The kinds of error that are no code of the database's.
const (
	kindCanceled      = "canceled"
	kindTimeout       = "timeout"
	kindBadConnection = "bad_connection"
)

// errorType gives err one of few names: the code of the database (an SQLSTATE, a SQLite result code), "canceled",
// "timeout", "bad_connection", and "_OTHER" for the rest. "" is success.
func errorType(err error) string {
	if err == nil {
		return ""
	}
	if s := sqlState(err); wellFormedState(s) {
		return s
	}
	if c, ok := sqliteCode(err); ok {
		return strconv.Itoa(c)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return kindCanceled
	case errors.Is(err, context.DeadlineExceeded):
		return kindTimeout
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone):
		return kindBadConnection
	}
	return metrics.Other
}

// wellFormedState reports whether s is an SQLSTATE as the standard has it: five digits or capitals. Not every method of
// that name returns one.
func wellFormedState(s string) bool {
	if len(s) != 5 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}
