package grpcserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
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
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/tracing/logging"
	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service answers as its functions say.
type service struct {
	testpb.UnimplementedTestServiceServer
	call   func(ctx context.Context) error
	stream func(ss grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error
}

func (s *service) UnaryCall(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	if s.call == nil {
		return &testpb.SimpleResponse{}, nil
	}
	return &testpb.SimpleResponse{}, s.call(ctx)
}

func (s *service) StreamingOutputCall(
	_ *testpb.StreamingOutputCallRequest, ss grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse],
) error {
	return s.stream(ss)
}

// StreamingInputCall loses why it cannot read.
func (s *service) StreamingInputCall(
	ss grpc.ClientStreamingServer[testpb.StreamingInputCallRequest, testpb.StreamingInputCallResponse],
) error {
	for {
		if _, err := ss.Recv(); err != nil {
			return errors.New("lost")
		}
	}
}

// lines collects the log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) all(t *testing.T) []map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []map[string]any
	for d := json.NewDecoder(bytes.NewReader(l.buf.Bytes())); ; {
		var m map[string]any
		err := d.Decode(&m)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
}

// rig is a server with all that it reports, and a client without anything of the kit.
type rig struct {
	*grpcserver.Server
	client testpb.TestServiceClient
	conn   *grpc.ClientConn
	log    *lines
	spans  *tracetest.InMemoryExporter
	reg    *prometheus.Registry
	stop   func() error // ends the context of Run, and returns what Run does
	cancel context.CancelFunc
	ran    chan error // what Run returned
	ln     *bufconn.Listener
}

// newRig observes into memory. It authenticates nobody, unless o has a Verifier.
func newRig(o *grpcserver.Options) *rig {
	r := &rig{log: &lines{}, spans: tracetest.NewInMemoryExporter(), reg: prometheus.NewRegistry()}
	o.Unauthenticated = o.Verifier == nil
	o.Logger = logging.New(r.log, &logging.Options{Attrs: []func(context.Context) []slog.Attr{auth.LogAttrs}})
	if o.TracerProvider == nil {
		o.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSyncer(r.spans))
	}
	o.Registerer = r.reg
	r.Server = grpcserver.New(o)
	return r
}

// serve runs the rig on a network in memory until the test ends.
func (r *rig) serve(t *testing.T, svc testpb.TestServiceServer) *rig {
	t.Helper()
	testpb.RegisterTestServiceServer(r.Server, svc)
	r.ln = bufconn.Listen(1 << 20)
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.WithoutCancel(t.Context()))
	r.ran = make(chan error, 1)
	go func() { r.ran <- r.Serve(ctx, r.ln) }()
	<-r.Ready()
	r.conn = dial(t, r.ln)
	r.client = testpb.NewTestServiceClient(r.conn)
	r.stop = sync.OnceValue(func() error {
		r.cancel()
		return <-r.ran
	})
	t.Cleanup(func() {
		r.conn.Close()
		r.stop()
	})
	return r
}

func dial(t *testing.T, ln *bufconn.Listener) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///server",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return ln.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func (r *rig) call(ctx context.Context) error {
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
		if f.GetName() != "rpc_server_call_duration_seconds" {
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

// active returns the sum of the gauge of calls that run.
func (r *rig) active(t *testing.T) float64 {
	t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == "rpc_server_active_calls" {
			for _, m := range f.GetMetric() {
				sum += m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

const (
	unaryMethod  = "grpc.testing.TestService/UnaryCall"
	streamMethod = "grpc.testing.TestService/StreamingOutputCall"
)

// tokens are the verifier of the tests: a token is the name of a principal.
var tokens = auth.VerifierFunc(func(_ context.Context, token string) (auth.Principal, error) {
	switch token {
	case "service":
		return auth.Principal{Subject: "orders", Kind: auth.KindService, Scopes: []string{"read"}}, nil
	case "user":
		return auth.Principal{Subject: "ada", Kind: auth.KindUser}, nil
	case "down":
		return auth.Principal{}, auth.ErrUnavailable
	}
	return auth.Principal{}, auth.ErrInvalidToken
})

func withToken(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}
