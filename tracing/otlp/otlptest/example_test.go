package otlptest_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/mainstay-go/mainstay/tracing/otlp"
	"github.com/mainstay-go/mainstay/tracing/otlp/otlptest"
)

// A test has NewReceiver(t), which listens by itself; an example has no t.
func Example() {
	r := &otlptest.Receiver{}
	server := httptest.NewServer(r)
	defer server.Close()

	ctx := context.Background()
	exporter, err := otlp.NewHTTP(ctx, &otlp.Options{Endpoint: server.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := exporter.ExportSpans(ctx, spans("place order")); err != nil {
		fmt.Println(err)
		return
	}
	for _, s := range r.Spans() {
		fmt.Println(s.Resource["service.name"]+":", s.Name)
	}
	fmt.Println(exporter.Shutdown(ctx))
	// Output:
	// orders: place order
	// <nil>
}
