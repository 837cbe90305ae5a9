package otlp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc/credentials"
)

// Options says where the spans go. A field that is set wins over its environment variables, which the package comment
// lists.
type Options struct {
	// Endpoint is the collector's URL, such as "https://collector.internal:4317": http, without TLS, or https. A port
	// left out is 443, or 80 for NewHTTP and http. NewHTTP appends "/v1/traces" to its path; NewGRPC refuses a path.
	// "" means the environment's, or https on localhost, port 4317 for NewGRPC and 4318 for NewHTTP.
	Endpoint string
	// Headers go with each export, as gRPC metadata or HTTP headers, such as a vendor's key. They replace the
	// environment's altogether. Empty means the environment's, or none.
	Headers map[string]string
	// TLS is for collectors with a private authority, and for client certificates. Nil means the environment's, or the
	// system's authorities. It is an error beside an Endpoint without TLS.
	TLS *tls.Config
}

// NewGRPC returns an exporter over gRPC. It does not connect before the first export, so that a collector that is not
// there yet fails no start; an error is one of the options, or of ctx.
func NewGRPC(ctx context.Context, o *Options) (sdktrace.SpanExporter, error) {
	if o == nil {
		o = &Options{}
	}
	u, err := o.endpoint()
	if err != nil {
		return nil, err
	}
	var options []otlptracegrpc.Option
	if u != nil {
		if strings.Trim(u.Path, "/") != "" {
			return nil, errors.New("otlp: Options.Endpoint has a path, which gRPC has no use for")
		}
		options = append(options, otlptracegrpc.WithEndpointURL(u.String()))
	}
	if len(o.Headers) > 0 {
		options = append(options, otlptracegrpc.WithHeaders(o.Headers))
	}
	if o.TLS != nil {
		options = append(options, otlptracegrpc.WithTLSCredentials(credentials.NewTLS(o.TLS)))
	}
	e, err := otlptracegrpc.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("otlp: grpc: %w", err)
	}
	return e, nil
}

// NewHTTP returns an exporter over HTTP, in protobuf unless the environment says JSON. It does not connect before the
// first export, so that a collector that is not there yet fails no start; an error is one of the options, or of ctx.
func NewHTTP(ctx context.Context, o *Options) (sdktrace.SpanExporter, error) {
	if o == nil {
		o = &Options{}
	}
	u, err := o.endpoint()
	if err != nil {
		return nil, err
	}
	var options []otlptracehttp.Option
	if u != nil {
		options = append(options, otlptracehttp.WithEndpointURL(u.JoinPath("v1", "traces").String()))
	}
	if len(o.Headers) > 0 {
		options = append(options, otlptracehttp.WithHeaders(maps.Clone(o.Headers)))
	}
	if o.TLS != nil {
		options = append(options, otlptracehttp.WithTLSClientConfig(o.TLS))
	}
	e, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("otlp: http: %w", err)
	}
	return e, nil
}

// endpoint returns the parsed Endpoint, nil for none. The exporters would log a bad one and go to localhost. No error
// repeats it, since it may hold a password where none belongs.
func (o *Options) endpoint() (*url.URL, error) {
	if o.Endpoint == "" {
		return nil, nil
	}
	u, err := url.Parse(o.Endpoint)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, errors.New("otlp: Options.Endpoint is not like http://host:port or https://host:port")
	case u.User != nil, u.RawQuery != "", u.Fragment != "":
		return nil, errors.New("otlp: Options.Endpoint has a user, query or fragment")
	case u.Scheme == "http" && o.TLS != nil:
		return nil, errors.New("otlp: Options.Endpoint is http beside Options.TLS")
	}
	return u, nil
}
