package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"

	gojwt "github.com/golang-jwt/jwt/v5"
	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/auth"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// peersServer is what the kit's side does, from the parts that a Go team reaches for.
func peersServer(t telemetry) (func(context.Context, net.Listener) error, error) {
	measure := grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram(grpcprom.WithHistogramBuckets(
		[]float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10})))
	if err := t.metrics.Register(measure); err != nil {
		return nil, err
	}
	exemplar := grpcprom.WithExemplarFromContext(func(ctx context.Context) prometheus.Labels {
		if sc := trace.SpanContextFromContext(ctx); sc.IsSampled() {
			return prometheus.Labels{"trace_id": sc.TraceID().String()}
		}
		return nil
	})
	logger := toSlog(slog.New(slog.NewJSONHandler(t.logs, nil)))
	logs := []logging.Option{logging.WithLogOnEvents(logging.FinishCall), logging.WithFieldsFromContext(ids)}
	recovered := recovery.WithRecoveryHandler(func(any) error { return status.Error(codes.Internal, "internal error") })
	authenticate := authenticator(newParser())
	if t.fixed != "" {
		authenticate = comparer(t.fixed)
	}
	return plain(
		grpc.StatsHandler(otelgrpc.NewServerHandler(
			otelgrpc.WithTracerProvider(t.tracer), otelgrpc.WithPropagators(propagation.TraceContext{}))),
		grpc.ChainUnaryInterceptor(
			correlate,
			measure.UnaryServerInterceptor(exemplar),
			logging.UnaryServerInterceptor(logger, logs...),
			recovery.UnaryServerInterceptor(recovered),
			auth.UnaryServerInterceptor(authenticate),
		),
	), nil
}

type correlationKey struct{}

// correlate adopts the caller's ID, and tells it under which its call is logged.
func correlate(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	var id string
	if ids := metadata.ValueFromIncomingContext(ctx, "x-correlation-id"); len(ids) == 1 {
		id = ids[0]
	}
	if err := grpc.SetHeader(ctx, metadata.Pairs("x-correlation-id", id)); err != nil {
		return nil, err
	}
	return next(context.WithValue(ctx, correlationKey{}, id), req)
}

// ids are what joins a log line to its trace.
func ids(ctx context.Context) logging.Fields {
	sc := trace.SpanContextFromContext(ctx)
	id, _ := ctx.Value(correlationKey{}).(string)
	return logging.Fields{
		"correlation_id", id, "trace_id", sc.TraceID().String(), "span_id", sc.SpanID().String(),
	}
}

func toSlog(l *slog.Logger) logging.Logger {
	return logging.LoggerFunc(func(ctx context.Context, level logging.Level, msg string, fields ...any) {
		l.Log(ctx, slog.Level(level), msg, fields...)
	})
}

type claims struct {
	gojwt.RegisteredClaims
	Scope string `json:"scope"`
}

type claimsKey struct{}

func newParser() *gojwt.Parser {
	return gojwt.NewParser(
		gojwt.WithValidMethods([]string{gojwt.SigningMethodHS256.Alg()}),
		gojwt.WithIssuer(issuerName),
		gojwt.WithAudience(audience),
		gojwt.WithExpirationRequired(),
		gojwt.WithIssuedAt(),
		gojwt.WithLeeway(leeway))
}

var errUnknownKey = errors.New("unknown key")

// comparer lets one token in.
func comparer(fixed string) auth.AuthFunc {
	checkout := &claims{Scope: scope}
	return func(ctx context.Context) (context.Context, error) {
		token, err := auth.AuthFromMD(ctx, "bearer")
		if err != nil {
			return nil, err
		}
		if token != fixed {
			return nil, status.Error(codes.Unauthenticated, "valid credentials are required")
		}
		return context.WithValue(ctx, claimsKey{}, checkout), nil
	}
}

func authenticator(parser *gojwt.Parser) auth.AuthFunc {
	keys := map[string][]byte{keyID: []byte(secret)}
	find := func(t *gojwt.Token) (any, error) {
		id, _ := t.Header["kid"].(string)
		if key, ok := keys[id]; ok {
			return key, nil
		}
		return nil, errUnknownKey
	}
	return func(ctx context.Context) (context.Context, error) {
		token, err := auth.AuthFromMD(ctx, "bearer")
		if err != nil {
			return nil, err
		}
		var c claims
		if _, err := parser.ParseWithClaims(token, &c, find); err != nil {
			return nil, status.Error(codes.Unauthenticated, "valid credentials are required")
		}
		if !slices.Contains(strings.Fields(c.Scope), scope) {
			return nil, status.Error(codes.PermissionDenied, "the scope is missing")
		}
		return context.WithValue(ctx, claimsKey{}, &c), nil
	}
}
