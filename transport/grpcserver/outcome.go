package grpcserver

import (
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/mainstay-go/mainstay/metrics"
	"github.com/mainstay-go/mainstay/transport/internal/rpc"
)

// method is what the calls of one method have in common.
type method struct {
	label    string
	rule     Rule
	info     *grpc.UnaryServerInfo // of one that a Server has
	active   prometheus.Gauge
	start    []trace.SpanStartOption
	outcomes [codes.Unauthenticated + 1]atomic.Pointer[outcome] // by code, of those that came up
	messages atomic.Pointer[messages]                           // of a method that streams, once it did
}

func (o *observer) newMethod(label string) *method {
	return &method{
		label:  label,
		active: o.red.InFlight(label),
		// Here, and not later, because samplers see them.
		start: []trace.SpanStartOption{
			trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(semconv.RPCSystemNameGRPC, semconv.RPCMethod(label)),
		},
	}
}

// method returns the method of a full name that is registered with the server.
func (o *observer) method(full string) *method {
	if m, ok := o.methods.Load(full); ok {
		return m.(*method)
	}
	m, _ := o.methods.LoadOrStore(full, o.newMethod(rpc.Method(full)))
	return m.(*method)
}

// outcome is what the calls of one method that end with one code share.
type outcome struct {
	code   string // its name
	failed bool   // the server is at fault
	level  slog.Level
	series *metrics.Series
	log    slog.Handler  // has method and code as attributes
	count  atomic.Uint64 // of the calls, where the access log is thinned out
}

// outcomeOf returns the outcome of a method and a code, which is made when a call first ends so: most methods use few
// codes.
func (o *observer) outcomeOf(m *method, code codes.Code) *outcome {
	p := &m.outcomes[rpc.Known(code)]
	if out := p.Load(); out != nil {
		return out
	}
	out := &outcome{code: rpc.CodeName(code), failed: isFailure(code)}
	if out.failed {
		out.level = slog.LevelError
	}
	out.series = o.red.With(m.label, out.code)
	out.log = o.handler.WithAttrs([]slog.Attr{slog.String("method", m.label), slog.String("code", out.code)})
	if !p.CompareAndSwap(nil, out) {
		return p.Load() // somebody else was first, and counts there
	}
	return out
}
