package httpclient

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

const scope = "github.com/mainstay-go/mainstay/transport/httpclient"

// ObserveOptions say where what is observed goes. The same fields are in [Options].
type ObserveOptions struct {
	// TracerProvider makes the spans. Nil means otel.GetTracerProvider().
	TracerProvider trace.TracerProvider
	// Propagator sends the trace along. Nil means W3C trace context.
	Propagator propagation.TextMapPropagator
	// Registerer gets the metrics. Nil means prometheus.DefaultRegisterer.
	Registerer prometheus.Registerer
}

// Observe returns a layer that makes each request one client span and one sample of
// http_client_request_duration_seconds, and sends the context's correlation ID and trace along: see the package
// comment. Where no span is to be made, because something else makes one, give it a TracerProvider that does nothing.
//
// It panics where Registerer holds another metric of one of its names: a mistake that start-up shows. Nil options are
// defaults, nil base of the layer is http.DefaultTransport.
func Observe(o *ObserveOptions) func(base http.RoundTripper) http.RoundTripper {
	if o == nil {
		o = &ObserveOptions{}
	}
	obs, err := newObserver(*o)
	if err != nil {
		panic("httpclient: " + err.Error())
	}
	return func(base http.RoundTripper) http.RoundTripper { return &pass{base: orDefault(base), observer: obs} }
}

// observer takes span and metrics of each attempt.
type observer struct {
	tracer     trace.Tracer
	options    []trace.SpanStartOption
	propagator propagation.TextMapPropagator
	peers      *peers
}

func newObserver(o ObserveOptions) (*observer, error) {
	p, err := newPeers(o.Registerer)
	if err != nil {
		return nil, err
	}
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	if o.Propagator == nil {
		o.Propagator = propagation.TraceContext{}
	}
	return &observer{
		tracer: o.TracerProvider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)),
		// Without attributes: most spans are not kept.
		options:    []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient)},
		propagator: o.Propagator,
		peers:      p,
	}, nil
}
