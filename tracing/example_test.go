package tracing_test

import (
	"context"
	"fmt"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/mainstay-go/mainstay/tracing"
)

// names is an exporter that keeps the names of spans.
type names []string

func (n *names) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	for _, s := range spans {
		*n = append(*n, s.Name())
	}
	return nil
}

func (n *names) Shutdown(context.Context) error { return nil }

func ExampleSetup() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	exported := &names{}
	tp, err := tracing.Setup(ctx, &tracing.Options{
		ServiceName: "orders",
		Environment: "staging",
		Exporter:    exported, // an OTLP exporter, in a service
		Ratio:       1,
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	_, span := tp.TracerProvider().Tracer("example").Start(ctx, "place order")
	span.End()

	stop()
	fmt.Println(tp.Run(ctx)) // usually one of the runners of mainstay.Run
	fmt.Println(*exported)
	// Output:
	// <nil>
	// [place order]
}
