package grpcclient_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"github.com/mainstay-go/mainstay/transport/grpcclient"
	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	unaryMethod  = "grpc.testing.TestService/UnaryCall"
	streamMethod = "grpc.testing.TestService/StreamingOutputCall"
)

// service answers as its functions say, and keeps what came with the last call.
type service struct {
	testpb.UnimplementedTestServiceServer
	call   func(ctx context.Context) error
	stream func(ss grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error

	numbered bool // header and trailer tell which call it is, as the reply does

	mu    sync.Mutex
	calls int
	md    metadata.MD
}

// note returns how many calls there were.
func (s *service) note(ctx context.Context) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	s.md, _ = metadata.FromIncomingContext(ctx)
	return s.calls
}

// seen returns the number of calls and the metadata of the last.
func (s *service) seen() (int, metadata.MD) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls, s.md
}

func (s *service) UnaryCall(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	n := fmt.Sprint(s.note(ctx))
	reply := &testpb.SimpleResponse{Username: n}
	if s.call == nil {
		return reply, nil
	}
	if s.numbered {
		_ = grpc.SetHeader(ctx, metadata.Pairs("call", n))
		_ = grpc.SetTrailer(ctx, metadata.Pairs("call", n))
	}
	return reply, s.call(ctx)
}

func (s *service) StreamingOutputCall(
	_ *testpb.StreamingOutputCallRequest, ss grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse],
) error {
	s.note(ss.Context())
	return s.stream(ss)
}

// rig is a client with all that it reports, and a bare server of the service.
type rig struct {
	*service
	conn   *grpc.ClientConn
	client testpb.TestServiceClient
	spans  *tracetest.InMemoryExporter
	reg    *prometheus.Registry
}

func newRig(t *testing.T, o *grpcclient.Options, svc *service) *rig {
	t.Helper()
	return dial(t, o, svc, serve(t, svc))
}

func serve(t *testing.T, svc *service) *bufconn.Listener {
	t.Helper()
	ln, _ := serveHealth(t, svc)
	return ln
}

// serveHealth serves on a network in memory, with the kit's errors and nothing else of it.
func serveHealth(t *testing.T, svc *service) (*bufconn.Listener, *health.Server) {
	t.Helper()
	observe := grpcserver.Observe(&grpcserver.ObserveOptions{
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	s := grpc.NewServer(grpc.UnaryInterceptor(observe.Unary), grpc.StreamInterceptor(observe.Stream))
	testpb.RegisterTestServiceServer(s, svc)
	status := health.NewServer()
	healthpb.RegisterHealthServer(s, status)
	ln := bufconn.Listen(1 << 20)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
	return ln, status
}

// dial connects with o, observed into memory.
func dial(t *testing.T, o *grpcclient.Options, svc *service, ln *bufconn.Listener) *rig {
	t.Helper()
	r := &rig{service: svc, spans: tracetest.NewInMemoryExporter(), reg: prometheus.NewRegistry()}
	o.Insecure = o.TLS == nil
	o.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSyncer(r.spans))
	o.Registerer = r.reg
	o.DialOptions = append(o.DialOptions, to(ln))
	var err error
	if r.conn, err = grpcclient.New("passthrough:///catalog:9090", o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.conn.Close() })
	r.client = testpb.NewTestServiceClient(r.conn)
	return r
}

func to(ln *bufconn.Listener) grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return ln.DialContext(ctx) })
}

func (r *rig) unary(ctx context.Context) error {
	_, err := r.client.UnaryCall(ctx, &testpb.SimpleRequest{})
	return err
}

// samples returns the count of the duration metric by "method code".
func (r *rig) samples(t *testing.T) map[string]uint64 {
	t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, f := range families {
		if f.GetName() != "rpc_client_call_duration_seconds" {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			got[strings.Join(labels, " ")] = m.GetHistogram().GetSampleCount()
		}
	}
	return got
}

// values returns a counter's values by its labels' values, in the order of the labels' names.
func (r *rig) values(t *testing.T, name string) map[string]float64 {
	t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			got[strings.Join(labels, " ")] = m.GetCounter().GetValue()
		}
	}
	return got
}
