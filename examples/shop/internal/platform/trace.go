package platform

import (
	"context"
	"errors"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/mainstay-go/mainstay/examples/shop/internal/spanfile"
	"github.com/mainstay-go/mainstay/tracing"
	"github.com/mainstay-go/mainstay/tracing/otlp"
)

// trace sets tracing up, and shows on /metrics what is lost of it.
func (p *Platform) trace(ctx context.Context, o *Options) error {
	exporter, err := p.exporter(ctx, o)
	if err != nil {
		return err
	}
	p.Tracing, err = tracing.Setup(ctx, &tracing.Options{
		ServiceName: p.Name, Exporter: exporter, Ratio: p.TraceRatio, ShutdownTimeout: o.FlushTimeout, Logger: p.Logger,
	})
	if err != nil {
		return err
	}
	p.onClose(func() error { // where it never ran
		ended, cancel := context.WithCancel(ctx)
		cancel()
		return p.Tracing.Run(ended)
	})
	return p.Registry.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "tracing_spans_lost_total",
		Help: "Spans that were to be exported and were not.",
	}, func() float64 { return float64(p.Tracing.Lost()) }))
}

// exporter returns what finished spans go to, nil for nothing.
func (p *Platform) exporter(ctx context.Context, o *Options) (sdktrace.SpanExporter, error) {
	addr, isGRPC := strings.CutPrefix(p.OTLP, "grpc://")
	switch {
	case o.Exporter != nil:
		return o.Exporter, nil
	case p.OTLP != "" && p.TraceFile != "":
		return nil, errors.New("-otlp and -trace-file: spans go to one of them")
	case isGRPC:
		return otlp.NewGRPC(ctx, &otlp.Options{Endpoint: "http://" + addr})
	case p.OTLP != "":
		return otlp.NewHTTP(ctx, &otlp.Options{Endpoint: p.OTLP})
	case p.TraceFile != "":
		return spanfile.Open(p.TraceFile)
	}
	return nil, nil
}
