package grpcserver_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

// open returns the options of a server on any free port for anybody.
func open() *grpcserver.Options {
	return &grpcserver.Options{Addr: "127.0.0.1:0", Unauthenticated: true, Registerer: prometheus.NewRegistry()}
}

func TestRun(t *testing.T) {
	t.Run("RefusesWrongOptions", func(t *testing.T) {
		for name, c := range map[string]struct {
			change func(*grpcserver.Options)
			want   string
		}{
			"NoVerifier":    {func(o *grpcserver.Options) { o.Unauthenticated = false }, "no Verifier"},
			"Both":          {func(o *grpcserver.Options) { o.Verifier = tokens }, "both a Verifier and Unauthenticated"},
			"RuleOfNothing": {func(o *grpcserver.Options) { o.Rules = map[string]grpcserver.Rule{"/a.B/C": {}} }, `"/a.B/C"`},
			"BadAddr":       {func(o *grpcserver.Options) { o.Addr = "127.0.0.1:no" }, "127.0.0.1:no"},
		} {
			o := open()
			c.change(o)
			s := grpcserver.New(o)
			testpb.RegisterTestServiceServer(s, &service{})
			if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q in it", name, err, c.want)
			}
			select {
			case <-s.Ready():
				t.Errorf("%s: it was ready", name)
			default:
			}
		}
		if err := grpcserver.New(nil).Run(t.Context()); err == nil {
			t.Error("nil options: no error, want one for the missing Verifier")
		}
	})
	t.Run("KnowsTheNamesOfRules", func(t *testing.T) {
		o := open()
		o.Unauthenticated, o.Verifier = false, tokens
		o.Rules = map[string]grpcserver.Rule{"/" + unaryMethod: {}, "/" + streamMethod: {}, "grpc.testing.TestService": {}}
		s := grpcserver.New(o)
		testpb.RegisterTestServiceServer(s, &service{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Run("RefusesAServiceTwice", func(t *testing.T) {
		s := grpcserver.New(open())
		testpb.RegisterTestServiceServer(s, &service{})
		testpb.RegisterTestServiceServer(s, &service{})
		if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "twice") {
			t.Errorf("got %v, want an error", err)
		}
	})
	t.Run("RefusesWhatIsNotTheService", func(t *testing.T) {
		s := grpcserver.New(open())
		s.RegisterService(&testpb.TestService_ServiceDesc, healthpb.UnimplementedHealthServer{})
		if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "does not implement") {
			t.Errorf("got %v, want an error", err)
		}
	})
	t.Run("KnowsItsServicesBeforeAndAfter", func(t *testing.T) {
		s, library := grpcserver.New(open()), grpc.NewServer()
		testpb.RegisterTestServiceServer(s, &service{})
		testpb.RegisterTestServiceServer(library, &service{})
		healthpb.RegisterHealthServer(library, health.NewServer())
		got, want := s.GetServiceInfo(), library.GetServiceInfo()
		for _, all := range []map[string]grpc.ServiceInfo{got, want} {
			for name := range all {
				slices.SortFunc(all[name].Methods, func(a, b grpc.MethodInfo) int { return strings.Compare(a.Name, b.Name) })
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want the library's %v", got, want)
		}
	})
	t.Run("ServesOnASocket", func(t *testing.T) {
		o := open()
		o.Addr = "not listened on"
		s := grpcserver.New(o)
		testpb.RegisterTestServiceServer(s, &service{})
		ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- s.Serve(ctx, ln) }()
		<-s.Ready()
		err = unaryAt(t, "unix:"+s.Addr(), insecure.NewCredentials())
		cancel()
		if err := errors.Join(err, <-ran); err != nil {
			t.Error(err)
		}
	})
	t.Run("ClosesAListenerItDoesNotUse", func(t *testing.T) {
		s := grpcserver.New(&grpcserver.Options{Registerer: prometheus.NewRegistry()})
		ln := bufconn.Listen(1)
		if err := s.Serve(t.Context(), ln); err == nil || !strings.Contains(err.Error(), "no Verifier") {
			t.Errorf("got %v, want an error", err)
		}
		if _, err := ln.Dial(); err == nil {
			t.Error("the listener is open")
		}
	})
	t.Run("EndedContextIsACleanEnd", func(t *testing.T) {
		s := grpcserver.New(open())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s.Drain()
		s.Drain()
		if err := s.Run(ctx); err != nil || s.Addr() != "" {
			t.Errorf("Run = %v on %q, want nil without listening", err, s.Addr())
		}
		if err := s.Run(t.Context()); err == nil {
			t.Error("it ran a second time")
		}
		defer func() {
			if recover() == nil {
				t.Error("a service registered after Run did not panic")
			}
		}()
		testpb.RegisterTestServiceServer(s, &service{})
	})
	t.Run("ServesOnAPort", func(t *testing.T) {
		s := grpcserver.New(open())
		testpb.RegisterTestServiceServer(s, &service{})
		reflection.Register(s)
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- s.Run(ctx) }()
		<-s.Ready()
		err := unaryAt(t, s.Addr(), insecure.NewCredentials())
		cancel()
		if err := errors.Join(err, <-ran); err != nil {
			t.Error(err)
		}
	})
	t.Run("SpeaksTLS", func(t *testing.T) {
		lent := httptest.NewTLSServer(nil) // its certificate is for example.com
		lent.Close()
		roots := x509.NewCertPool()
		roots.AddCert(lent.Certificate())
		o := open()
		o.TLS = &tls.Config{Certificates: lent.TLS.Certificates}
		s := grpcserver.New(o)
		testpb.RegisterTestServiceServer(s, &service{})
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- s.Run(ctx) }()
		<-s.Ready()
		plain := unaryAt(t, s.Addr(), insecure.NewCredentials())
		secure := unaryAt(t, s.Addr(), credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "example.com"}))
		cancel()
		if err := errors.Join(secure, <-ran); err != nil || plain == nil {
			t.Errorf("over TLS %v, in cleartext %v", err, plain)
		}
	})
}

func unaryAt(t *testing.T, addr string, creds credentials.TransportCredentials) error {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(creds))
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = testpb.NewTestServiceClient(conn).UnaryCall(t.Context(), &testpb.SimpleRequest{})
	return err
}

func TestBounds(t *testing.T) {
	t.Run("ConnectionThatSaysNothingEnds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(&grpcserver.Options{}).serve(t, &service{})
			conn, err := r.ln.Dial()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			began := time.Now()
			_, _ = io.Copy(io.Discard, conn) // ends when the server closes
			if took := time.Since(began); took != 10*time.Second {
				t.Errorf("it was closed after %v, want 10s", took)
			}
			if err := r.call(t.Context()); err != nil {
				t.Errorf("another client meanwhile: %v", err)
			}
		})
	})
	t.Run("MetadataIsBounded", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(&grpcserver.Options{}).serve(t, &service{})
			ctx := metadata.AppendToOutgoingContext(t.Context(), "x-large", strings.Repeat("x", 256<<10))
			if err := r.call(ctx); err == nil {
				t.Error("256 KiB of metadata are taken")
			}
			ctx = metadata.AppendToOutgoingContext(t.Context(), "x-correlation-id", strings.Repeat("x", 64<<10))
			if err := r.call(ctx); err != nil {
				t.Errorf("64 KiB: %v", err)
			}
		})
	})
}

func TestTimeout(t *testing.T) {
	left := func(o *grpcserver.Options, ctx func(*testing.T) context.Context) (left time.Duration, bound bool) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(o).serve(t, &service{call: func(ctx context.Context) error {
				var at time.Time
				at, bound = ctx.Deadline()
				left = time.Until(at)
				return nil
			}})
			if err := r.call(ctx(t)); err != nil {
				t.Fatal(err)
			}
		})
		return left, bound
	}
	none := func(t *testing.T) context.Context { return t.Context() }
	within := func(d time.Duration) func(*testing.T) context.Context {
		return func(t *testing.T) context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			t.Cleanup(cancel)
			return ctx
		}
	}
	if got, _ := left(&grpcserver.Options{}, none); got != 60*time.Second {
		t.Errorf("by default %v, want 60s", got)
	}
	if got, _ := left(&grpcserver.Options{Timeout: time.Second}, within(time.Hour)); got != time.Second {
		t.Errorf("where the caller gives an hour %v, want the server's 1s", got)
	}
	if got, _ := left(&grpcserver.Options{}, within(time.Second)); got > time.Second {
		t.Errorf("where the caller gives a second %v, want no more", got)
	}
	if got, bound := left(&grpcserver.Options{Timeout: -1}, none); bound {
		t.Errorf("where it is off %v, want none", got)
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(&grpcserver.Options{Timeout: time.Second}).serve(t, &service{call: func(ctx context.Context) error {
			<-ctx.Done()
			return errors.New("driver: interrupted")
		}})
		if got := status.Code(r.call(t.Context())); got != codes.DeadlineExceeded {
			t.Errorf("past it %v, want DeadlineExceeded", got)
		}
	})
}

func TestAccessOfAStranger(t *testing.T) {
	if got := (grpcserver.Rule{}).Access; got != transport.InternalOnly {
		t.Errorf("the zero rule is %v, want internal", got)
	}
}
