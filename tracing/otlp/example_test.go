package otlp_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/mainstay-go/mainstay/tracing"
	"github.com/mainstay-go/mainstay/tracing/otlp"
	"github.com/mainstay-go/mainstay/tracing/otlp/otlptest"
)

func Example() {
	collector := &otlptest.Receiver{} // stands in for the collector that you have
	server := httptest.NewServer(collector)
	defer server.Close()

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	exporter, err := otlp.NewHTTP(ctx, &otlp.Options{Endpoint: server.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	tp, err := tracing.Setup(ctx, &tracing.Options{ServiceName: "orders", Exporter: exporter})
	if err != nil {
		fmt.Println(err)
		return
	}

	_, span := tp.TracerProvider().Tracer("example").Start(ctx, "place order")
	span.End()

	stop()
	fmt.Println(tp.Run(ctx)) // usually one of the runners of mainstay.Run
	for _, s := range collector.Spans() {
		fmt.Println(s.Resource["service.name"]+":", s.Name)
	}
	// Output:
	// <nil>
	// orders: place order
}
