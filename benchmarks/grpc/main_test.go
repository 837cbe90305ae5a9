package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/test/bufconn"

	"github.com/mainstay-go/mainstay/tracing/logging"
	"github.com/mainstay-go/mainstay/transport/grpcclient"
	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var builders = map[string]builder{"Server": kitServer, "Interceptors": kitInterceptors, "Peers": peersServer}

func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out, effort{pairs: 1, time: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "\ntarget: "); got != 16 {
		t.Errorf("got %d target lines in\n%s\nwant 16", got, out.String())
	}
}

func TestCheck(t *testing.T) {
	started := func(run func(context.Context, net.Listener) error) *server {
		t.Helper()
		s, err := serve(t.Context(), run)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.stop(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	token, err := newToken(scope)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("SeesAServerThatDoesLess", func(t *testing.T) {
		if err := started(plain()).check(t.Context(), token); err == nil {
			t.Error("got nil, want what is missing")
		}
	})
	t.Run("SeesAnotherAnswer", func(t *testing.T) {
		run, err := kitServer(discarded())
		if err != nil {
			t.Fatal(err)
		}
		s := started(run)
		if err := s.ask(outgoing(t.Context(), token, sampled), variant{payload: "tea", code: codes.NotFound}); err == nil {
			t.Error("got nil, want another code")
		}
		if err := s.ask(outgoing(t.Context(), token, sampled), variant{payload: "tea"}); err != nil {
			t.Errorf("the hot call: got %v, want nil", err)
		}
	})
}

// observed is what a side left of one call.
type observed struct {
	spans      tracetest.SpanStubs
	log        map[string]any
	histograms uint64 // samples of all
	active     float64
	exemplar   string
}

// observe makes one call, and reads what it left.
func observe(t *testing.T, build builder, v variant, traceparent string) (o observed) {
	t.Helper()
	spans, logs := tracetest.NewSpanRecorder(), &bytes.Buffer{}
	tel := newTelemetry(spans, logs)
	run, err := build(tel)
	if err != nil {
		t.Fatal(err)
	}
	s, err := serve(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	token, err := newToken(scope)
	if err != nil {
		t.Fatal(err)
	}
	// What is read below is written by the time that the server has ended.
	err = s.ask(outgoing(t.Context(), token, traceparent), v)
	if err := errors.Join(err, s.stop()); err != nil {
		t.Fatal(err)
	}
	o.spans = tracetest.SpanStubsFromReadOnlySpans(spans.Ended())
	if err := json.Unmarshal(logs.Bytes(), &o.log); err != nil {
		t.Fatalf("log %q: %v", logs, err)
	}
	readMetrics(t, tel.metrics, &o)
	return o
}

func readMetrics(t *testing.T, g prometheus.Gatherer, o *observed) {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetType() {
			case dto.MetricType_GAUGE:
				o.active += m.GetGauge().GetValue()
			case dto.MetricType_HISTOGRAM:
				o.histograms += m.GetHistogram().GetSampleCount()
				for _, b := range m.GetHistogram().GetBucket() {
					for _, l := range b.GetExemplar().GetLabel() {
						o.exemplar = l.GetValue()
					}
				}
			}
		}
	}
}

// TestSides holds that no side saves work that the other does.
func TestSides(t *testing.T) {
	hot := variants()[0]
	for name, build := range builders {
		t.Run(name+"RecordsTheSame", func(t *testing.T) {
			o, want := observe(t, build, hot, sampled), sampled[3:35]
			if len(o.spans) != 1 || o.spans[0].Name != "grpc.testing.TestService/UnaryCall" {
				t.Fatalf("spans %v, want one of the method", o.spans)
			}
			span := o.spans[0]
			if got := span.SpanContext.TraceID().String(); got != want || o.exemplar != want || o.log["trace_id"] != want {
				t.Errorf("trace %q in the span, %q in the exemplar, %q in the log, want %q", got, o.exemplar, o.log["trace_id"], want)
			}
			if o.histograms != 1 || o.active != 0 || o.log["correlation_id"] != correlation {
				t.Errorf("%d samples, %v active, log %v, want 1, 0 and the correlation ID", o.histograms, o.active, o.log)
			}
		})
		t.Run(name+"SurvivesPanics", func(t *testing.T) {
			o := observe(t, build, variant{payload: "panic", code: codes.Internal}, sampled)
			if o.histograms != 1 || o.active != 0 || o.log["level"] != "ERROR" || o.spans[0].Status.Code.String() != "Error" {
				t.Errorf("%d samples, %v active, log %v, want an error counted once", o.histograms, o.active, o.log)
			}
		})
		t.Run(name+"LeavesNoSpanOfATraceThatIsNotKept", func(t *testing.T) {
			o := observe(t, build, hot, unsampled)
			if len(o.spans) != 0 || o.exemplar != "" || o.histograms != 1 || o.log["trace_id"] != unsampled[3:35] {
				t.Errorf("spans %v, exemplar %q, %d samples, log %v, want none, none, 1 and the trace",
					o.spans, o.exemplar, o.histograms, o.log)
			}
		})
	}
}

// TestOtelgrpc has the kit beside otelgrpc in one service: a call is one span on either side, not two.
func TestOtelgrpc(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	tel := newTelemetry(spans, &bytes.Buffer{})
	otel := []otelgrpc.Option{
		otelgrpc.WithTracerProvider(tel.tracer), otelgrpc.WithPropagators(propagation.TraceContext{}),
	}
	kit := grpcserver.Observe(&grpcserver.ObserveOptions{
		Logger: logging.New(tel.logs, nil), TracerProvider: tel.tracer, Registerer: tel.metrics,
	})
	ln := bufconn.Listen(1 << 20)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	run := plain(grpc.StatsHandler(otelgrpc.NewServerHandler(otel...)), grpc.ChainUnaryInterceptor(kit.Unary))
	go func() { ran <- run(ctx, ln) }()
	// A stats handler begins its span below the interceptors: there the kit is told to make none.
	conn, err := grpcclient.New("passthrough:///orders", &grpcclient.Options{
		Insecure: true, TracerProvider: noop.NewTracerProvider(), Registerer: tel.metrics,
		DialOptions: []grpc.DialOption{
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return ln.DialContext(ctx) }),
			grpc.WithStatsHandler(otelgrpc.NewClientHandler(otel...)),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = testpb.NewTestServiceClient(conn).UnaryCall(ctx, &testpb.SimpleRequest{})
	err = errors.Join(err, conn.Close())
	cancel()
	if err := errors.Join(err, <-ran); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	ended := spans.Ended()
	for _, s := range ended {
		kinds = append(kinds, s.SpanKind().String())
	}
	slices.Sort(kinds)
	if !slices.Equal(kinds, []string{"client", "server"}) {
		t.Fatalf("spans %q, want one of the client and one of the server", kinds)
	}
	if a, b := ended[0].SpanContext().TraceID(), ended[1].SpanContext().TraceID(); a != b {
		t.Errorf("traces %v and %v, want one", a, b)
	}
}

// BenchmarkCall is for profiles; the comparison is the command's.
func BenchmarkCall(b *testing.B) {
	token, err := newToken(scope)
	if err != nil {
		b.Fatal(err)
	}
	for name, build := range builders {
		for flag, traceparent := range map[string]string{"Sampled": sampled, "Unsampled": unsampled} {
			b.Run(name+flag, func(b *testing.B) {
				run, err := build(discarded())
				if err != nil {
					b.Fatal(err)
				}
				s, err := serve(b.Context(), run)
				if err != nil {
					b.Fatal(err)
				}
				ctx, request := outgoing(b.Context(), token, traceparent), &testpb.SimpleRequest{}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := s.client.UnaryCall(ctx, request); err != nil {
						b.Fatal(err)
					}
				}
				if err := s.stop(); err != nil {
					b.Error(err)
				}
			})
		}
	}
}
