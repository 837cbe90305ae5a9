package grpcserver_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

const grpcurlVersion = "v1.9.4"

// installGrpcurl returns grpcurl's path. Building it takes minutes at the first time.
func installGrpcurl(t *testing.T) string {
	t.Helper()
	if os.Getenv("MAINSTAY_TEST_REAL") != "1" {
		t.Skip("MAINSTAY_TEST_REAL is not 1: grpcurl is not built")
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "install", "github.com/fullstorydev/grpcurl/cmd/grpcurl@"+grpcurlVersion)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOBIN="+dir, "GOWORK=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("grpcurl cannot be built: %v\n%s", err, out)
	}
	return filepath.Join(dir, "grpcurl")
}

// TestGrpcurl has a client of another make, which knows the service by reflection alone.
func TestGrpcurl(t *testing.T) {
	grpcurl := installGrpcurl(t)
	s := grpcserver.New(&grpcserver.Options{
		Addr: "127.0.0.1:0", Verifier: tokens,
		Rules: map[string]grpcserver.Rule{
			grpc_reflection_v1.ServerReflection_ServiceDesc.ServiceName: {Access: transport.Public},
			testpb.TestService_EmptyCall_FullMethodName:                 {Access: transport.Public},
		},
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	testpb.RegisterTestServiceServer(s, &everyKind{handle: func(context.Context) error {
		return transport.Invalid(transport.FieldViolation{Field: "sku", Description: "is required"})
	}})
	reflection.RegisterV1(s)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	<-s.Ready()
	defer func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	}()
	ask := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), grpcurl, append([]string{"-plaintext", "-max-time", "60"}, args...)...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		_ = cmd.Run() // it fails where the call does
		return out.String()
	}
	const svc, check = "grpc.testing.TestService", "grpc.health.v1.Health/Check"
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"Lists": {[]string{s.Addr(), "list"}, []string{svc + "\n", "grpc.health.v1.Health\n"}},
		"Describes": {
			[]string{s.Addr(), "describe", svc + ".UnaryCall"}, []string{"rpc UnaryCall ( .grpc.testing.SimpleRequest )"},
		},
		"Checks":     {[]string{s.Addr(), check}, []string{`"status": "SERVING"`}},
		"ChecksOne":  {[]string{"-d", `{"service":"` + svc + `"}`, s.Addr(), check}, []string{`"status": "SERVING"`}},
		"ChecksNone": {[]string{"-d", `{"service":"no.such"}`, s.Addr(), check}, []string{"Code: NotFound"}},
		"Watches": {
			[]string{"-max-time", "2", s.Addr(), "grpc.health.v1.Health/Watch"},
			[]string{`"status": "SERVING"`, "DeadlineExceeded"},
		},
		"IsRefused": {
			[]string{s.Addr(), svc + "/UnaryCall"}, []string{"Code: Unauthenticated", "valid credentials are required"},
		},
		"IsToldWhatIsWrong": {
			[]string{"-H", "authorization: Bearer service", s.Addr(), svc + "/UnaryCall"},
			[]string{"Code: InvalidArgument", `"field": "sku"`, `"description": "is required"`},
		},
		"GetsItsIDBack": {
			[]string{"-v", "-H", "x-correlation-id: c-1", s.Addr(), svc + "/EmptyCall"}, []string{"x-correlation-id: c-1"},
		},
		"StreamsAreRefusedToo": {
			[]string{"-d", "{}", s.Addr(), svc + "/FullDuplexCall"}, []string{"Code: Unauthenticated"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := ask(c.args...)
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("grpcurl %q says\n%s\nwant %q in it", c.args, got, want)
				}
			}
		})
	}
}
