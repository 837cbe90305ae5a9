package main

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/mainstay-go/mainstay/examples/shop/internal/spanfile"
	"github.com/mainstay-go/mainstay/tracing/otlp/otlptest"
)

// overOTLP names a receiver as -otlp does, by protocol.
var overOTLP = map[string]func(*otlptest.Receiver) string{
	"GRPC": func(r *otlptest.Receiver) string { return "grpc" + strings.TrimPrefix(r.GRPCURL(), "http") },
	"HTTP": func(r *otlptest.Receiver) string { return r.HTTPURL() },
}

// TestOrderOverOTLP follows one order by what arrives at a collector.
func TestOrderOverOTLP(t *testing.T) {
	for name, url := range overOTLP {
		t.Run(name, func(t *testing.T) {
			r := otlptest.NewReceiver(t)
			s := openShop(t, options{otlp: url(r)})
			s.completeOrder(t)
			s.stop() // spans are flushed then
			if lost := s.logs.linesWith("spans were lost"); len(lost) > 0 {
				t.Errorf("got lines %q, want no loss", lost)
			}
			checkTrail(t, received(r))
			checkResources(t, r.Spans())
		})
	}
}

// received returns what has arrived at r in the terms of files.
func received(r *otlptest.Receiver) []spanfile.Span {
	var spans []spanfile.Span
	for _, s := range r.Spans() {
		out := spanfile.Span{
			TraceID: hex.EncodeToString(s.TraceId), SpanID: hex.EncodeToString(s.SpanId),
			ParentID: hex.EncodeToString(s.ParentSpanId), Service: s.Resource["service.name"], Name: s.Name,
			Kind:  strings.ToLower(strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_")),
			Start: time.Unix(0, int64(s.StartTimeUnixNano)), //nolint:gosec // until 2262
			Attrs: map[string]string{},
		}
		for _, a := range s.Attributes {
			out.Attrs[a.Key] = text(a.Value)
		}
		for _, l := range s.Links {
			out.Links = append(out.Links, hex.EncodeToString(l.SpanId))
		}
		if s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR {
			out.Error = "error: " + s.Status.GetMessage()
		}
		spans = append(spans, out)
	}
	return spans
}

func text(v *commonpb.AnyValue) string {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return v.StringValue
	case *commonpb.AnyValue_IntValue:
		return fmt.Sprint(v.IntValue)
	}
	return v.String()
}

// checkResources wants each service to say who it is, in every span, and which of the kit's packages made it.
func checkResources(t *testing.T, spans []otlptest.Span) {
	t.Helper()
	seen := map[string]bool{}
	for _, s := range spans {
		seen[s.Resource["service.name"]] = true
		if s.Resource["telemetry.sdk.name"] != "opentelemetry" || s.Resource["telemetry.sdk.language"] != "go" {
			t.Errorf("span %q: resource = %v, want that of OpenTelemetry for Go", s.Name, s.Resource)
		}
		if !strings.HasPrefix(s.Scope, "github.com/mainstay-go/mainstay/") {
			t.Errorf("span %q: scope = %q, want a package of the kit", s.Name, s.Scope)
		}
	}
	for _, name := range names() {
		if !seen[name] {
			t.Errorf("no span of %s, want one of each service", name)
		}
		delete(seen, name)
	}
	for name := range seen {
		t.Errorf("a span of %q, want services of the shop alone", name)
	}
}
