package sqlx

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/metrics"
)

// observer measures the operations of one pool.
type observer struct {
	dialect Dialect
	tracer  trace.Tracer
	red     *metrics.RED
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
	return &observer{dialect: d, tracer: tp.Tracer("github.com/mainstay-go/mainstay/sqlx"), red: red}, nil
}

// observation is one operation under way. It is a value: an operation outside a trace allocates nothing for it.
type observation struct {
	o         *observer
	ctx       context.Context //nolint:containedctx // of the operation, which it lives no longer than
	operation string
	start     time.Time
	span      trace.Span // nil outside a trace
}

// begin starts a span where ctx belongs to a trace. Polling for work, outside any, would be nothing but roots.
func (o *observer) begin(ctx context.Context, operation string) observation {
	obs := observation{o: o, ctx: ctx, operation: operation, start: time.Now()}
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return obs
	}
	obs.ctx, obs.span = o.tracer.Start(ctx, operation, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(
			semconv.DBSystemNameKey.String(o.dialect.String()),
			semconv.DBOperationName(operation),
		))
	return obs
}

func (obs observation) end(err error) {
	if errors.Is(err, driver.ErrSkip) {
		err = nil
	}
	kind := errorType(err)
	obs.o.red.Observe(obs.ctx, time.Since(obs.start), obs.o.dialect.String(), obs.operation, kind)
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

// errorType gives err one of few names: the code of the database (an SQLSTATE, a SQLite result code), "canceled",
// "timeout", "bad_connection", and "_OTHER" for the rest. "" is success.
func errorType(err error) string {
	if err == nil {
		return ""
	}
	if s := sqlState(err); s != "" {
		return s
	}
	if c, ok := sqliteCode(err); ok {
		return strconv.Itoa(c)
	}
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone):
		return "bad_connection"
	}
	return semconv.ErrorTypeOther.Value.AsString()
}

// operation returns the first word of a statement in capitals where it is one of a fixed list, else "OTHER", so that
// a metric label has few values whatever is sent.
func operation(query string) string {
	w := firstWord(query)
	for _, op := range [...]string{"SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "BEGIN", "COMMIT", "ROLLBACK",
		"SAVEPOINT", "RELEASE", "MERGE", "REPLACE", "CREATE", "ALTER", "DROP", "TRUNCATE", "COPY", "CALL", "LOCK",
		"EXPLAIN", "PRAGMA", "VACUUM", "ANALYZE", "LISTEN", "NOTIFY", "SHOW"} {
		if strings.EqualFold(w, op) {
			return op
		}
	}
	return otherOperation
}

const otherOperation = "OTHER"

// firstWord returns query's first run of ASCII letters, past blanks, comments and opening parentheses.
func firstWord(query string) string {
	for {
		query = strings.TrimLeft(query, " \t\r\n(;")
		var end string
		switch {
		case strings.HasPrefix(query, "--"):
			end = "\n"
		case strings.HasPrefix(query, "/*"):
			end = "*/"
		default:
			i := 0
			for i < len(query) && (query[i]|0x20 >= 'a' && query[i]|0x20 <= 'z') {
				i++
			}
			return query[:i]
		}
		_, rest, ok := strings.Cut(query[2:], end)
		if !ok {
			return ""
		}
		query = rest
	}
}
