package grpcclient

import (
	"sync/atomic"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"

	"github.com/mainstay-go/mainstay/metrics"
	"github.com/mainstay-go/mainstay/transport/internal/rpc"
)

// method is what the calls of one method have in common.
type method struct {
	label    string
	start    []trace.SpanStartOption
	series   [codes.Unauthenticated + 1]atomic.Pointer[metrics.Series] // by code, of those that came up
	messages atomic.Pointer[messages]                                  // of a method that streams, once it did
}

func newMethod(label string) *method {
	return &method{label: label, start: []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(semconv.RPCSystemNameGRPC, semconv.RPCMethod(label)),
	}}
}

// method returns the method of a full name.
func (o *observer) method(full string) *method {
	if m, ok := o.methods.Load(full); ok {
		return m.(*method)
	}
	label := o.labels.Label(rpc.Method(full))
	if label == rpc.Other || label == metrics.Overflow {
		return o.other
	}
	m, _ := o.methods.LoadOrStore(full, newMethod(label))
	return m.(*method)
}

// seriesOf returns the series of a method's calls that end with code, which is made when one first does: most methods
// use few codes.
func (o *observer) seriesOf(m *method, code codes.Code) *metrics.Series {
	p := &m.series[rpc.Known(code)]
	if s := p.Load(); s != nil {
		return s
	}
	s := o.red.With(m.label, rpc.CodeName(code))
	p.Store(s) // the same one, whoever was first
	return s
}
