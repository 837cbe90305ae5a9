package grpcclient_test

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport/grpcclient"
)

// BenchmarkIntercept is the cost of the interceptor for one unary call, without the wire.
func BenchmarkIntercept(b *testing.B) {
	for name, o := range map[string]*grpcclient.Options{
		"Bare":   {},
		"Token":  {TokenSource: source, Audience: "catalog"},
		"Policy": {Policy: resilience.New("catalog", nil)},
	} {
		b.Run(name, func(b *testing.B) {
			o.Registerer = prometheus.NewRegistry()
			kit, err := grpcclient.Intercept(o)
			if err != nil {
				b.Fatal(err)
			}
			ctx := correlation.NewContext(b.Context(), "c-1")
			invoke := func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error { return nil }
			b.ReportAllocs()
			for b.Loop() {
				if err := kit.Unary(ctx, "/"+unaryMethod, nil, nil, nil, invoke); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
