package main

import (
	"context"
	"net/http"

	"github.com/go-kratos/kratos/v2/log"
	kratosjwt "github.com/go-kratos/kratos/v2/middleware/auth/jwt"
	"github.com/go-kratos/kratos/v2/middleware/logging"
	"github.com/go-kratos/kratos/v2/middleware/metrics"
	"github.com/go-kratos/kratos/v2/middleware/recovery"
	"github.com/go-kratos/kratos/v2/middleware/tracing"
	khttp "github.com/go-kratos/kratos/v2/transport/http"
	gojwt "github.com/golang-jwt/jwt/v5"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

type getUserRequest struct {
	ID string `json:"id"`
}

type user struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// kratosStack has the middlewares of kratos for what the others do, in the order of its documentation. It carries no
// correlation ID, checks neither issuer nor audience, and binds and encodes, as its generated code does.
func kratosStack(t telemetry) (http.Handler, error) {
	meter := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())).Meter("kratos")
	requests, err := metrics.DefaultRequestsCounter(meter, metrics.DefaultServerRequestsCounterName)
	if err != nil {
		return nil, err
	}
	seconds, err := metrics.DefaultSecondsHistogram(meter, metrics.DefaultServerSecondsHistogramName)
	if err != nil {
		return nil, err
	}
	logger := log.With(log.NewStdLogger(t.logs), "ts", log.DefaultTimestamp,
		"trace_id", tracing.TraceID(), "span_id", tracing.SpanID())
	key := func(*gojwt.Token) (any, error) { return []byte(secret), nil }
	srv := khttp.NewServer(khttp.Middleware(
		recovery.Recovery(),
		tracing.Server(tracing.WithTracerProvider(t.tracer), tracing.WithPropagator(propagation.TraceContext{})),
		logging.Server(logger),
		metrics.Server(metrics.WithRequests(requests), metrics.WithSeconds(seconds)),
		kratosjwt.Server(key, kratosjwt.WithClaims(func() gojwt.Claims { return &claims{} })),
	))
	srv.Route("/").GET(userPattern, func(ctx khttp.Context) error {
		var in getUserRequest
		if err := ctx.BindVars(&in); err != nil {
			return err
		}
		khttp.SetOperation(ctx, "/users.v1.Users/GetUser")
		h := ctx.Middleware(func(_ context.Context, req any) (any, error) {
			return &user{ID: req.(*getUserRequest).ID, Name: "Ada"}, nil
		})
		out, err := h(ctx, &in)
		if err != nil {
			return err
		}
		return ctx.Result(http.StatusOK, out)
	})
	return srv, nil
}
