package otlp_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	pb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"

	"github.com/mainstay-go/mainstay/tracing"
	"github.com/mainstay-go/mainstay/tracing/otlp"
	"github.com/mainstay-go/mainstay/tracing/otlp/otlptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// setup traces a service into e.
func setup(t *testing.T, service string, e sdktrace.SpanExporter, timeout time.Duration) *tracing.Provider {
	t.Helper()
	p, err := tracing.Setup(t.Context(), &tracing.Options{
		ServiceName: service, Exporter: e, ShutdownTimeout: timeout, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// open returns an exporter of w.
func open(t *testing.T, w wire, o *otlp.Options) sdktrace.SpanExporter {
	t.Helper()
	e, err := w.open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// end makes n spans and ends them.
func end(p *tracing.Provider, n int) {
	tracer := p.TracerProvider().Tracer("test")
	for range n {
		_, s := tracer.Start(context.Background(), "work")
		s.End()
	}
}

// exportOne exports one span and shuts down.
func exportOne(t *testing.T, e sdktrace.SpanExporter) *tracing.Provider {
	t.Helper()
	p := setup(t, "orders", e, 0)
	end(p, 1)
	if err := p.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	return p
}

// stop runs p and stops it at once.
func stop(t *testing.T, p *tracing.Provider) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Run(ctx); err != nil {
		t.Errorf("Run: got %v, want nil", err)
	}
}

// each runs f over each wire, as a subtest.
func each(t *testing.T, f func(t *testing.T, w wire)) {
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) { f(t, w) })
	}
}

// TestExport follows one order through two services, each with its own exporter to one collector.
func TestExport(t *testing.T) {
	each(t, func(t *testing.T, w wire) {
		r := otlptest.NewReceiver(t)
		o := &otlp.Options{Endpoint: w.url(r)}
		orders, inventory := setup(t, "orders", open(t, w, o), 0), setup(t, "inventory", open(t, w, o), 0)
		traceID := placeOrder(t, orders, inventory)
		for _, p := range []*tracing.Provider{orders, inventory} {
			if err := p.Shutdown(t.Context()); err != nil || p.Lost() != 0 {
				t.Errorf("Shutdown: got %v, %d lost; want nil, 0", err, p.Lost())
			}
		}

		got := map[string]otlptest.Span{}
		for _, s := range r.Spans() {
			got[s.Name] = s
		}
		for name, want := range map[string]struct {
			service, parent string
			kind            pb.Span_SpanKind
		}{
			"POST /orders":    {"orders", "", pb.Span_SPAN_KIND_SERVER},
			"GET":             {"orders", "POST /orders", pb.Span_SPAN_KIND_CLIENT},
			"send orders":     {"orders", "POST /orders", pb.Span_SPAN_KIND_PRODUCER},
			"process orders":  {"inventory", "send orders", pb.Span_SPAN_KIND_CONSUMER},
			"update stock":    {"inventory", "process orders", pb.Span_SPAN_KIND_INTERNAL},
			"nothing of this": {},
		} {
			s, arrived := got[name]
			if want.service == "" {
				if arrived {
					t.Errorf("%s: got %v, want none", name, s)
				}
				continue
			}
			if !arrived {
				t.Errorf("%s: got none", name)
				continue
			}
			var parent []byte
			if want.parent != "" {
				parent = got[want.parent].SpanId
			}
			service := s.Resource["service.name"]
			if service != want.service || s.Scope != "shop" || s.Kind != want.kind || string(s.ParentSpanId) != string(parent) {
				t.Errorf("%s: got service %q, scope %q, %v, parent %x; want %q, shop, %v, %x",
					name, service, s.Scope, s.Kind, s.ParentSpanId, want.service, want.kind, parent)
			}
			if string(s.TraceId) != string(traceID[:]) {
				t.Errorf("%s: got trace %x, want %x", name, s.TraceId, traceID)
			}
		}
		if len(got) != 5 {
			t.Errorf("got %d spans, want 5", len(got))
		}
		checkDetails(t, got["update stock"], got["GET"])
	})
}

// placeOrder makes the spans of an order and returns their trace.
func placeOrder(t *testing.T, orders, inventory *tracing.Provider) trace.TraceID {
	tracer := orders.TracerProvider().Tracer("shop")
	ctx, server := tracer.Start(t.Context(), "POST /orders", trace.WithSpanKind(trace.SpanKindServer))
	_, client := tracer.Start(ctx, "GET", trace.WithSpanKind(trace.SpanKindClient))
	client.End()
	_, producer := tracer.Start(ctx, "send orders", trace.WithSpanKind(trace.SpanKindProducer))
	producer.End()
	server.End()

	remote := trace.ContextWithRemoteSpanContext(t.Context(), producer.SpanContext())
	tracer = inventory.TracerProvider().Tracer("shop")
	ctx, consumer := tracer.Start(remote, "process orders", trace.WithSpanKind(trace.SpanKindConsumer))
	_, stock := tracer.Start(ctx, "update stock", trace.WithAttributes(attribute.Int("items", 3)),
		trace.WithLinks(trace.Link{SpanContext: client.SpanContext()}))
	stock.AddEvent("sold out")
	stock.SetStatus(codes.Error, "no stock")
	stock.End()
	consumer.End()
	return server.SpanContext().TraceID()
}

// checkDetails checks what else a span holds: attributes, events, status, and a link to linked.
func checkDetails(t *testing.T, s, linked otlptest.Span) {
	t.Helper()
	if len(s.GetAttributes()) != 1 || s.Attributes[0].Key != "items" || s.Attributes[0].Value.GetIntValue() != 3 {
		t.Errorf("got attributes %v, want items 3", s.GetAttributes())
	}
	if len(s.GetEvents()) != 1 || s.Events[0].Name != "sold out" {
		t.Errorf("got events %v, want sold out", s.GetEvents())
	}
	if got := s.GetStatus(); got.GetCode() != pb.Status_STATUS_CODE_ERROR || got.GetMessage() != "no stock" {
		t.Errorf("got status %v, want an error, no stock", got)
	}
	if len(s.GetLinks()) != 1 || string(s.Links[0].SpanId) != string(linked.SpanId) {
		t.Errorf("got links %v, want one to %x", s.GetLinks(), linked.SpanId)
	}
}

func TestOptions(t *testing.T) {
	each(t, func(t *testing.T, w wire) {
		t.Run("TakeTheEnvironmentWhenNil", func(t *testing.T) {
			r := &otlptest.Receiver{}
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+w.serve(t, r, nil))
			t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20secret")
			t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
			exportOne(t, open(t, w, nil))
			headers := r.Header()
			if got := headers.Get("Api-Key"); got != "a secret" || len(r.Spans()) != 1 {
				t.Errorf("got key %q, %d spans; want %q, 1", got, len(r.Spans()), "a secret")
			}
			if got := headers.Get("Content-Encoding"); w.name == "HTTP" && got != "gzip" {
				t.Errorf("got encoding %q, want gzip", got)
			}
		})

		t.Run("WinOverTheEnvironment", func(t *testing.T) {
			r := &otlptest.Receiver{}
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://localhost:1")
			t.Setenv("OTEL_EXPORTER_OTLP_INSECURE", "false")
			t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=theirs,other=theirs")
			own := map[string]string{"Api-Key": "ours"}
			e := open(t, w, &otlp.Options{Endpoint: "http://" + w.serve(t, r, nil), Headers: own})
			own["Api-Key"] = "changed later"
			exportOne(t, e)
			headers := r.Header()
			if got := headers.Get("Api-Key"); got != "ours" || headers.Get("Other") != "" {
				t.Errorf("got key %q, other %q; want ours alone", got, headers.Get("Other"))
			}
		})

		t.Run("LeaveTLSToTheEnvironment", func(t *testing.T) {
			r := &otlptest.Receiver{}
			certificate, _ := authority()
			file := filepath.Join(t.TempDir(), "ca.pem")
			block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})
			if err := os.WriteFile(file, block, 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", file)
			exportOne(t, open(t, w, &otlp.Options{Endpoint: "https://" + w.serve(t, r, certificate)}))
			if got := len(r.Spans()); got != 1 {
				t.Errorf("got %d spans, want 1", got)
			}
		})

		t.Run("LeavePlainTextToTheEnvironment", func(t *testing.T) {
			r := &otlptest.Receiver{}
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://"+w.serve(t, r, nil))
			t.Setenv("OTEL_EXPORTER_OTLP_INSECURE", "true")
			exportOne(t, open(t, w, nil))
			if got := len(r.Spans()); got != 1 {
				t.Errorf("got %d spans, want 1", got)
			}
		})

		t.Run("SpeakTLS", func(t *testing.T) {
			r := &otlptest.Receiver{}
			certificate, trusting := authority()
			at := "https://" + w.serve(t, r, certificate)
			exportOne(t, open(t, w, &otlp.Options{Endpoint: at, TLS: trusting}))
			if got := len(r.Spans()); got != 1 {
				t.Errorf("got %d spans, want 1", got)
			}
		})

		for name, o := range map[string]otlp.Options{
			"NoScheme":    {Endpoint: "collector:4317"},
			"OtherScheme": {Endpoint: "ftp://collector:4317"},
			"NoHost":      {Endpoint: "http://:4317"},
			"NotAURL":     {Endpoint: "http://user:pass word@[::1"},
			"User":        {Endpoint: "https://user:password@collector:4317"},
			"Query":       {Endpoint: "https://collector:4317?key=password"},
			"Fragment":    {Endpoint: "https://collector:4317#x"},
			"PlainTLS":    {Endpoint: "http://collector:4317", TLS: &tls.Config{}},
		} {
			t.Run("Refuse/"+name, func(t *testing.T) {
				e, err := w.open(t.Context(), &o)
				if err == nil || e != nil || !strings.HasPrefix(err.Error(), "otlp: ") || strings.Contains(err.Error(), "pass") {
					t.Errorf("got %v, %v; want an error of this package that gives no password away", e, err)
				}
			})
		}
	})

	t.Run("Path/RefusedByGRPC", func(t *testing.T) {
		e, err := otlp.NewGRPC(t.Context(), &otlp.Options{Endpoint: "https://collector:4317/v1/traces"})
		if err == nil || e != nil {
			t.Errorf("got %v, %v; want an error", e, err)
		}
	})
	t.Run("Path/ExtendedByHTTP", func(t *testing.T) {
		for given, want := range map[string]string{"": "/v1/traces", "/": "/v1/traces", "/tenant/7": "/tenant/7/v1/traces"} {
			r, got := &otlptest.Receiver{}, ""
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				got = req.URL.Path
				r.ServeHTTP(w, req)
			}))
			exportOne(t, open(t, wires[1], &otlp.Options{Endpoint: server.URL + given}))
			server.Close()
			if got != want || len(r.Spans()) != 1 {
				t.Errorf("%q: got %q, %d spans; want %q, 1", given, got, len(r.Spans()), want)
			}
		}
	})
}

// TestCollectorDown has a collector that is not there, and one that never answers: where anything waited for that one,
// the test would not end.
func TestCollectorDown(t *testing.T) {
	const room = 2048 // that package tracing has for spans

	each(t, func(t *testing.T, w wire) {
		t.Run("Refuses", func(t *testing.T) {
			r := otlptest.NewReceiver(t)
			r.Close()
			p := setup(t, "orders", open(t, w, &otlp.Options{Endpoint: w.url(r)}), 10*time.Millisecond)
			end(p, 2*room)
			stop(t, p)
			if got := p.Lost(); got != 2*room {
				t.Errorf("got %d lost, want %d", got, 2*room)
			}
		})

		t.Run("Hangs", func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000") // so that the stop alone ends an export
			entered, left := make(chan struct{}, 8), make(chan struct{}, 8)
			r := &otlptest.Receiver{}
			r.Answer(func(ctx context.Context) (*collector.ExportTraceServiceResponse, error) {
				entered <- struct{}{}
				defer func() { left <- struct{}{} }()
				return otlptest.Hang(ctx)
			})
			p := setup(t, "orders", open(t, w, &otlp.Options{Endpoint: "http://" + w.serve(t, r, nil)}), 10*time.Millisecond)
			end(p, room/2) // more than the batch that is exported at once
			<-entered
			end(p, room)
			if got := p.Lost(); got != room/2 {
				t.Errorf("got %d lost while it hangs, want the %d there is no room for", got, room/2)
			}
			stop(t, p)
			if got := p.Lost(); got != room+room/2 {
				t.Errorf("got %d lost after the stop, want all %d", got, room+room/2)
			}
			<-left // the call was cancelled, not abandoned
			if n := len(entered); n != 0 {
				t.Errorf("got %d more exports during the stop, want none after its time is up", n)
			}
		})
	})
}

// TestPartialSuccess holds what the package comment says of Lost.
func TestPartialSuccess(t *testing.T) {
	each(t, func(t *testing.T, w wire) {
		r := &otlptest.Receiver{}
		r.Answer(func(context.Context) (*collector.ExportTraceServiceResponse, error) {
			return &collector.ExportTraceServiceResponse{
				PartialSuccess: &collector.ExportTracePartialSuccess{RejectedSpans: 1, ErrorMessage: "too long"},
			}, nil
		})
		p := setup(t, "orders", open(t, w, &otlp.Options{Endpoint: "http://" + w.serve(t, r, nil)}), 0)
		end(p, 3)
		if err := p.Shutdown(t.Context()); err != nil || p.Lost() != 3 {
			t.Errorf("got %v, %d lost; want nil, 3", err, p.Lost())
		}
	})
}
