package tracing_test

import (
	"context"
	"fmt"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"

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

// Lost spans as a metric, to be scraped with the others.
func ExampleProvider_Lost() {
	tp, err := tracing.Setup(context.Background(), &tracing.Options{ServiceName: "orders"})
	if err != nil {
		fmt.Println(err)
		return
	}
	registry := prometheus.NewRegistry() // prometheus.DefaultRegisterer, in a service
	registry.MustRegister(prometheus.NewCounterFunc(
		prometheus.CounterOpts{Name: "tracing_spans_lost_total", Help: "Spans that were not exported."},
		func() float64 { return float64(tp.Lost()) },
	))

	families, err := registry.Gather()
	fmt.Println(families[0].GetName(), families[0].GetMetric()[0].GetCounter().GetValue(), err)
	// Output: tracing_spans_lost_total 0 <nil>
}

// The tenant goes along with a trace; the user, who is in the baggage too, stays here.
func ExampleProvider_Propagator() {
	tp, err := tracing.Setup(context.Background(), &tracing.Options{ServiceName: "orders", Baggage: []string{"tenant"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	bag, err := baggage.Parse("tenant=acme,user=42")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := baggage.ContextWithBaggage(context.Background(), bag)

	sent := propagation.MapCarrier{}
	tp.Propagator().Inject(ctx, sent) // httpclient and the others do this with their Options.Propagator
	fmt.Println(sent)
	// Output: map[baggage:tenant=acme]
}

// What a service in a cluster says of itself.
func ExampleDetector() {
	_, err := tracing.Setup(context.Background(), &tracing.Options{
		ServiceName: "orders",
		Detectors: []resource.Detector{
			tracing.Detector(resource.WithHost(), resource.WithContainer()),
			tracing.Detector(resource.WithAttributes(attribute.String("team", "shop"))),
			tracing.Kubernetes(),
		},
	})
	fmt.Println(err)
	// Output: <nil>
}
