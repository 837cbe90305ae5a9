package httpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/mainstay-go/mainstay/metrics"
)

const (
	scope = "github.com/mainstay-go/mainstay/transport/httpclient"
	// maxServers bounds the server_address label, for a transport under a client that goes anywhere.
	maxServers = 100
)

// observer takes span and metrics of each attempt.
type observer struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
	red        *metrics.RED
	servers    *metrics.Values
}

func newObserver(o TransportOptions) (*observer, error) {
	red, err := metrics.NewRED(o.Registerer, metrics.REDOptions{
		Name:   "http_client_request_duration_seconds",
		Help:   "Duration of HTTP client requests.",
		Labels: []string{"http_request_method", "server_address", "http_response_status_code", "error_type"},
	})
	if err != nil {
		return nil, err
	}
	servers, err := metrics.NewValues(o.Registerer, "server_address", maxServers)
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
		tracer:     o.TracerProvider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)),
		propagator: o.Propagator,
		red:        red,
		servers:    servers,
	}, nil
}

// attempt is one request on its way.
type attempt struct {
	span   trace.Span
	start  time.Time
	method string
	server string
}

// begin returns the context of the attempt alone, too.
func (o *observer) begin(r *http.Request) (context.Context, *attempt) {
	a := &attempt{start: time.Now(), method: methodLabel(r.Method), server: r.URL.Hostname()}
	name := a.method
	if name == metrics.Other {
		name = "HTTP"
	}
	attrs := []attribute.KeyValue{
		semconv.HTTPRequestMethodKey.String(a.method), semconv.ServerAddress(a.server), semconv.ServerPort(port(r)),
		semconv.URLFull(r.URL.Scheme + "://" + r.URL.Host + r.URL.EscapedPath()),
	}
	if a.method != r.Method && r.Method != "" {
		attrs = append(attrs, semconv.HTTPRequestMethodOriginal(r.Method))
	}
	if n := resends(r.Context()); n > 0 {
		attrs = append(attrs, semconv.HTTPRequestResendCount(n))
	}
	ctx, span := o.tracer.Start(r.Context(), name,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...))
	a.span = span
	return ctx, a
}

func (o *observer) end(ctx context.Context, a *attempt, resp *http.Response, err error) {
	took := time.Since(a.start)
	defer a.span.End()
	var status, failure string
	if err != nil {
		failure = errorType(ctx, err)
	} else {
		status = strconv.Itoa(resp.StatusCode)
		a.span.SetAttributes(semconv.HTTPResponseStatusCode(resp.StatusCode))
		if resp.StatusCode >= 400 {
			failure = status
		}
	}
	o.red.Observe(ctx, took, a.method, o.servers.Label(a.server), status, failure)
	if failure == "" {
		return
	}
	a.span.SetAttributes(semconv.ErrorTypeKey.String(failure))
	switch {
	case failure == errCanceled: // the caller's own wish
	case err != nil:
		a.span.SetStatus(codes.Error, err.Error())
	default:
		a.span.SetStatus(codes.Error, "")
	}
}

// The values of error_type beside the status codes.
const (
	errCanceled = "canceled"
	errTimeout  = "timeout"
	errDNS      = "dns"
	errConnect  = "connect"
	errTLS      = "tls"
)

// errorType classifies an attempt that got no response. The context's cause decides before the error: a
// transport may say "canceled" of both a caller that left and a time-out of ours.
func errorType(ctx context.Context, err error) string {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	var dns *net.DNSError
	var op *net.OpError
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.Canceled):
		return errCanceled
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return errTimeout
	case errors.As(err, &dns):
		return errDNS
	case errors.As(err, &verify), errors.As(err, &record):
		return errTLS
	case errors.As(err, &op) && op.Op == "dial":
		return errConnect
	}
	return metrics.Other
}

func methodLabel(m string) string {
	switch m {
	case "":
		return http.MethodGet
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return m
	}
	return metrics.Other
}

func port(r *http.Request) int {
	if n, err := strconv.Atoi(r.URL.Port()); err == nil {
		return n
	}
	if r.URL.Scheme == "https" {
		return 443
	}
	return 80
}
