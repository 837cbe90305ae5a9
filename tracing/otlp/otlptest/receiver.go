package otlptest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// maxExport bounds the bytes of an export, as OpenTelemetry's exporters do.
const maxExport = 64 << 20

// Span is a span that a [Receiver] has taken. It is shared by all who ask for it: read it only.
type Span struct {
	*tracepb.Span
	// Resource holds the attributes of the resource that the span belongs to, such as service.name. Numbers and booleans
	// are written as fmt.Sprint does; of a list there is something to print, and nothing to compare with.
	Resource map[string]string
	// Scope is the name of the instrumentation scope, which is that of the tracer.
	Scope string
}

// Receiver takes spans over OTLP and keeps them. The zero value listens nowhere: it is for servers of the test's own,
// to which it is an http.Handler and, by [Receiver.Register], a gRPC service. Its methods are safe for concurrent use.
type Receiver struct {
	grpcURL, httpURL string
	close            func()

	mu      sync.Mutex
	answer  Answer
	header  http.Header // of the latest export
	spans   []Span
	changed chan struct{} // closed at the next export that is taken; nil where nobody waits
}

// NewReceiver returns a receiver that listens on two ports of 127.0.0.1, without TLS, until it is closed or the test
// ends.
func NewReceiver(tb testing.TB) *Receiver {
	tb.Helper()
	r := &Receiver{}
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("otlptest: %v", err)
	}
	overGRPC := grpc.NewServer(grpc.MaxRecvMsgSize(maxExport), grpc.WaitForHandlers(true))
	r.Register(overGRPC)
	served := make(chan error, 1)
	go func() { served <- overGRPC.Serve(l) }()

	// An export that hangs over HTTP learns by its context alone that the server is closed.
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	overHTTP := httptest.NewUnstartedServer(r)
	overHTTP.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	overHTTP.Start()

	r.grpcURL, r.httpURL = "http://"+l.Addr().String(), overHTTP.URL
	r.close = sync.OnceFunc(func() {
		cancel()
		overHTTP.CloseClientConnections()
		overHTTP.Close()
		overGRPC.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) { // closed before it served
			tb.Errorf("otlptest: grpc: %v", err)
		}
	})
	tb.Cleanup(r.Close)
	return r
}

// GRPCURL returns the URL for exporters over gRPC, such as "http://127.0.0.1:4317".
func (r *Receiver) GRPCURL() string { return r.grpcURL }

// HTTPURL returns the base URL for exporters over HTTP, such as "http://127.0.0.1:4318"; they append "/v1/traces".
func (r *Receiver) HTTPURL() string { return r.httpURL }

// Close makes it a collector that is down: exports under way are cut off, and nobody listens at its URLs any more. What
// it has taken stays. It returns when its goroutines have ended, and does nothing the second time.
func (r *Receiver) Close() {
	if r.close != nil {
		r.close()
	}
}

// Answer says what becomes of the exports that begin from now on: [Hang], what [Reject] returns, or a function of the
// test's own. Nil takes them, as at first.
func (r *Receiver) Answer(a Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = a
}

// Header returns the HTTP headers of the latest export, or its gRPC metadata under the same names as headers. It is
// there before the export's [Answer] is asked. Nil means that there was no export yet.
func (r *Receiver) Header() http.Header {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.header.Clone()
}

// Spans returns the spans of all exports that were taken, in the order in which they came.
func (r *Receiver) Spans() []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.spans)
}

// Wait returns the spans as soon as done is true of them: it asks at once, and after each export that is taken. When
// ctx ends before, it returns the spans there are, and an error that wraps that of ctx and names them.
func (r *Receiver) Wait(ctx context.Context, done func([]Span) bool) ([]Span, error) {
	for {
		spans, changed := r.watch()
		if done(spans) {
			return spans, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return spans, fmt.Errorf("otlptest: wait: %w with %d spans: %s", ctx.Err(), len(spans), names(spans))
		}
	}
}

// watch returns the spans, and a channel that is closed when there are more.
func (r *Receiver) watch() ([]Span, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return slices.Clone(r.spans), r.changed
}

func names(spans []Span) string {
	var s []string
	for _, span := range spans {
		s = append(s, span.Resource["service.name"]+": "+span.Name)
	}
	return strings.Join(s, ", ")
}

// take is what both protocols do with an export.
func (r *Receiver) take(
	ctx context.Context, req *collector.ExportTraceServiceRequest, header http.Header,
) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	r.header = header
	answer := r.answer
	r.mu.Unlock()
	res := &collector.ExportTraceServiceResponse{}
	if answer != nil {
		var err error
		if res, err = answer(ctx); err != nil {
			return nil, err
		}
	}
	r.keep(req.GetResourceSpans())
	return res, nil
}

func (r *Receiver) keep(all []*tracepb.ResourceSpans) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rs := range all {
		resource := attributes(rs.GetResource().GetAttributes())
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				r.spans = append(r.spans, Span{s, resource, ss.GetScope().GetName()})
			}
		}
	}
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

func attributes(kvs []*common.KeyValue) map[string]string {
	m := make(map[string]string, len(kvs))
	for _, kv := range kvs {
		m[kv.GetKey()] = text(kv.GetValue())
	}
	return m
}

func text(v *common.AnyValue) string {
	switch v := v.GetValue().(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_BoolValue:
		return fmt.Sprint(v.BoolValue)
	case *common.AnyValue_IntValue:
		return fmt.Sprint(v.IntValue)
	case *common.AnyValue_DoubleValue:
		return fmt.Sprint(v.DoubleValue)
	}
	return v.String()
}
