package otlptest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/tracing/otlp"
	"github.com/mainstay-go/mainstay/tracing/otlp/otlptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what takes no time on a machine that is not busy.
const patience = 30 * time.Second

// wire is a way to a receiver.
type wire struct {
	name string
	open func(context.Context, *otlp.Options) (sdktrace.SpanExporter, error)
	url  func(*otlptest.Receiver) string
}

// each runs f over each wire, as a subtest with a receiver of its own and an exporter to it.
func each(t *testing.T, f func(t *testing.T, r *otlptest.Receiver, e sdktrace.SpanExporter)) {
	for _, w := range []wire{
		{"GRPC", otlp.NewGRPC, (*otlptest.Receiver).GRPCURL}, {"HTTP", otlp.NewHTTP, (*otlptest.Receiver).HTTPURL},
	} {
		t.Run(w.name, func(t *testing.T) {
			r := otlptest.NewReceiver(t)
			o := &otlp.Options{Endpoint: w.url(r), Headers: map[string]string{"Api-Key": "secret"}}
			e, err := w.open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := e.Shutdown(context.WithoutCancel(t.Context())); err != nil {
					t.Errorf("Shutdown: %v", err)
				}
			})
			f(t, r, e)
		})
	}
}

// spans returns one span a name, of the service orders.
func spans(names ...string) []sdktrace.ReadOnlySpan {
	var stubs tracetest.SpanStubs
	for _, name := range names {
		stubs = append(stubs, tracetest.SpanStub{
			Name: name,
			Resource: resource.NewSchemaless(attribute.String("service.name", "orders"), attribute.Int("process.pid", 7),
				attribute.Bool("spot", true), attribute.Float64("share", 0.5), attribute.StringSlice("args", []string{"a"})),
		})
	}
	return stubs.Snapshots()
}

func export(t *testing.T, e sdktrace.SpanExporter, names ...string) {
	t.Helper()
	if err := e.ExportSpans(t.Context(), spans(names...)); err != nil {
		t.Fatalf("export: %v", err)
	}
}

func TestReceiver(t *testing.T) {
	each(t, func(t *testing.T, r *otlptest.Receiver, e sdktrace.SpanExporter) {
		if got := r.Header(); got != nil {
			t.Errorf("header: got %v before the first export, want nil", got)
		}
		export(t, e, "first")
		export(t, e, "second")
		got := r.Spans()
		if len(got) != 2 || got[0].Name != "first" || got[1].Name != "second" {
			t.Fatalf("got %v, want first and second", got)
		}
		for key, want := range map[string]string{
			"service.name": "orders", "process.pid": "7", "spot": "true", "share": "0.5",
		} {
			if got := got[0].Resource[key]; got != want {
				t.Errorf("resource: got %s %q, want %q", key, got, want)
			}
		}
		if got[0].Resource["args"] == "" {
			t.Errorf("resource: got %v, want args in it", got[0].Resource)
		}
		if got := r.Header().Get("Api-Key"); got != "secret" {
			t.Errorf("header: got %q, want secret", got)
		}
	})
}

func TestWait(t *testing.T) {
	each(t, func(t *testing.T, r *otlptest.Receiver, e sdktrace.SpanExporter) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				got, err := r.Wait(ctx, func(s []otlptest.Span) bool { return len(s) == 2 })
				if err != nil || len(got) != 2 {
					t.Errorf("got %d spans, %v; want 2, nil", len(got), err)
				}
			})
		}
		export(t, e, "first")
		export(t, e, "second")
		wg.Wait()
	})

	t.Run("EndsWithItsContext", func(t *testing.T) {
		r, ctx := &otlptest.Receiver{}, t.Context()
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := r.Wait(ctx, func([]otlptest.Span) bool { return true }); err != nil {
			t.Errorf("nothing to wait for: got %v, want nil", err)
		}
		got, err := r.Wait(ctx, func([]otlptest.Span) bool { return false })
		if !errors.Is(err, context.Canceled) || len(got) != 0 {
			t.Errorf("got %v, %v; want none, canceled", got, err)
		}
	})
}

func TestClose(t *testing.T) {
	each(t, func(t *testing.T, r *otlptest.Receiver, e sdktrace.SpanExporter) {
		export(t, e, "before")
		r.Close()
		r.Close()
		// A time-out stands in for a patience that the exporters have with a collector that is down.
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := e.ExportSpans(ctx, spans("after")); err == nil {
			t.Error("export: got nil, want an error")
		}
		if got := r.Spans(); len(got) != 1 {
			t.Errorf("got %v, want what came before", got)
		}
	})
}

func TestHang(t *testing.T) {
	each(t, func(t *testing.T, r *otlptest.Receiver, e sdktrace.SpanExporter) {
		r.Answer(otlptest.Hang)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := e.ExportSpans(ctx, spans("hangs")); err == nil {
			t.Error("export: got nil, want an error")
		}
		r.Answer(nil)
		export(t, e, "passes")
		if got := r.Spans(); len(got) != 1 || got[0].Name != "passes" {
			t.Errorf("got %v, want what did not hang", got)
		}
	})

	t.Run("IsEndedByClose", func(t *testing.T) {
		each(t, func(t *testing.T, r *otlptest.Receiver, e sdktrace.SpanExporter) {
			arrived := make(chan struct{}, 8)
			r.Answer(func(ctx context.Context) (*collector.ExportTraceServiceResponse, error) {
				arrived <- struct{}{}
				return otlptest.Hang(ctx)
			})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			done := make(chan error)
			go func() { done <- e.ExportSpans(ctx, spans("hangs")) }()
			select {
			case <-arrived:
			case <-ctx.Done():
				t.Error("the export does not arrive")
			}
			r.Close()
			cancel() // over gRPC the exporter would look for the collector again
			if err := <-done; err == nil {
				t.Error("export: got nil, want an error")
			}
		})
	})
}

func TestReject(t *testing.T) {
	each(t, func(t *testing.T, r *otlptest.Receiver, e sdktrace.SpanExporter) {
		r.Answer(otlptest.Reject(codes.PermissionDenied))
		err := e.ExportSpans(t.Context(), spans("refused"))
		if err == nil || len(r.Spans()) != 0 {
			t.Errorf("got %v, %d spans; want an error, 0", err, len(r.Spans()))
		}
		if code := status.Code(err); strings.HasSuffix(t.Name(), "GRPC") && code != codes.PermissionDenied {
			t.Errorf("got code %v of %v, want PermissionDenied", code, err)
		}
	})
}

// TestServeHTTP has what an exporter would not send.
func TestServeHTTP(t *testing.T) {
	var zip bytes.Buffer
	z := gzip.NewWriter(&zip)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		method, path, contentType, encoding, body string
		answer                                    otlptest.Answer
		want                                      int
	}{
		"Takes":       {"POST", "/v1/traces", "application/x-protobuf", "", "", nil, 200},
		"TakesGzip":   {"POST", "/v1/traces", "application/x-protobuf", "gzip", zip.String(), nil, 200},
		"NotGzip":     {"POST", "/v1/traces", "application/x-protobuf", "gzip", "x", nil, 400},
		"NotProtobuf": {"POST", "/v1/traces", "application/x-protobuf", "", "x", nil, 400},
		"JSON":        {"POST", "/v1/traces", "application/json", "", "{}", nil, 415},
		"OtherPath":   {"POST", "/v1/metrics", "application/x-protobuf", "", "", nil, 404},
		"Get":         {"GET", "/v1/traces", "application/x-protobuf", "", "", nil, 405},
		"RejectsForAWhile": {
			"POST", "/v1/traces", "application/x-protobuf", "", "", otlptest.Reject(codes.Unavailable), 503,
		},
		"RejectsTooMany": {
			"POST", "/v1/traces", "application/x-protobuf", "", "", otlptest.Reject(codes.ResourceExhausted), 429,
		},
		"RejectsForGood": {
			"POST", "/v1/traces", "application/x-protobuf", "", "", otlptest.Reject(codes.InvalidArgument), 400,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := &otlptest.Receiver{}
			r.Answer(c.answer)
			req := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
			req.Header = http.Header{"Content-Type": {c.contentType}, "Content-Encoding": {c.encoding}}
			w := httptest.NewRecorder()
			r.ServeHTTP(w, req)
			if w.Code != c.want {
				t.Errorf("got %d %s, want %d", w.Code, w.Body, c.want)
			}
		})
	}
}

func FuzzServeHTTP(f *testing.F) {
	f.Add([]byte{}, false)
	f.Add([]byte("\x0a\x02\x12\x00"), false)
	f.Add([]byte("\x1f\x8b"), true)
	f.Fuzz(func(t *testing.T, body []byte, zipped bool) {
		r := &otlptest.Receiver{}
		req := httptest.NewRequest(http.MethodPost, "/v1/traces", bytes.NewReader(body))
		req.Header.Set("Content-Type", "application/x-protobuf")
		if zipped {
			req.Header.Set("Content-Encoding", "gzip")
		}
		w := httptest.NewRecorder()
		r.ServeHTTP(w, req)
		if w.Code != http.StatusOK && w.Code != http.StatusBadRequest {
			t.Errorf("got %d, want 200 or 400", w.Code)
		}
		if n := len(r.Spans()); n > 0 && w.Code != http.StatusOK {
			t.Errorf("got %d spans of a refused export, want none", n)
		}
	})
}
