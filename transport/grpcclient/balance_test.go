package grpcclient_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
	"google.golang.org/grpc/test/bufconn"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/grpcclient"
	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

// names resolves a name to addresses of networks in memory.
type names struct {
	*manual.Resolver
	lns map[string]*bufconn.Listener
}

func newNames(lns map[string]*bufconn.Listener) *names {
	return &names{manual.NewBuilderWithScheme("names"), lns}
}

func endpoints(addrs ...string) resolver.State {
	var s resolver.State
	for _, a := range addrs {
		s.Endpoints = append(s.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: a}}})
	}
	return s
}

// dial connects to the name, with o.
func (n *names) dial(t *testing.T, o *grpcclient.Options) testpb.TestServiceClient {
	t.Helper()
	o.Insecure, o.Registerer = true, prometheus.NewRegistry()
	o.DialOptions = append(o.DialOptions, grpc.WithResolvers(n),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return n.lns[addr].DialContext(ctx)
		}))
	conn, err := grpcclient.New("names:///catalog", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return testpb.NewTestServiceClient(conn)
}

// share makes 20 calls, and returns how many each service got.
func share(t *testing.T, client testpb.TestServiceClient, a, b *service) (na, nb int) {
	t.Helper()
	a0, _ := a.seen()
	b0, _ := b.seen()
	for range 20 {
		if _, err := client.UnaryCall(t.Context(), &testpb.SimpleRequest{}); err != nil {
			t.Error(err)
		}
	}
	a1, _ := a.seen()
	b1, _ := b.seen()
	return a1 - a0, b1 - b0
}

// TestBalance has two servers behind one name, of which one turns its health.
func TestBalance(t *testing.T) {
	for name, c := range map[string]struct {
		config string // the user's
		named  string // that comes with the name
		na, nb int    // at first
		after  int    // of a, when b has turned
	}{
		"ByDefault":       {"", "", 10, 10, 20},
		"WithRetries":     {`{"retryThrottling":{"maxTokens":10,"tokenRatio":0.1}}`, "", 10, 10, 20},
		"AgainstTheName":  {"", `{"loadBalancingConfig":[{"pick_first":{}}]}`, 10, 10, 20},
		"AsTheUserSays":   {`{"loadBalancingConfig":[{"pick_first":{}}]}`, "", 20, 0, 20},
		"InTheOlderWords": {`{"loadBalancingPolicy":"pick_first"}`, "", 20, 0, 20},
		"WithoutHealth":   {`{"healthCheckConfig":null}`, "", 10, 10, 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := &service{}, &service{}
				lns, healths := map[string]*bufconn.Listener{}, map[string]*health.Server{}
				lns["a"], healths["a"] = serveHealth(t, a)
				lns["b"], healths["b"] = serveHealth(t, b)
				n := newNames(lns)
				n.BuildCallback = func(_ resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) {
					state := endpoints("a", "b")
					if c.named != "" {
						state.ServiceConfig = cc.ParseServiceConfig(c.named)
					}
					n.InitialState(state)
				}
				client := n.dial(t, &grpcclient.Options{ServiceConfig: c.config})
				share(t, client, a, b) // connects
				synctest.Wait()
				if na, nb := share(t, client, a, b); na != c.na || nb != c.nb {
					t.Errorf("%d and %d calls, want %d and %d", na, nb, c.na, c.nb)
				}
				healths["b"].Shutdown()
				synctest.Wait()
				if na, _ := share(t, client, a, b); na != c.after {
					t.Errorf("%d calls to a after b turned, want %d", na, c.after)
				}
			})
		})
	}
}

// TestScaleOut has a second server come up behind the name of one that is connected to already: who asks a client to
// connect anew is the server, at the age that a connection may have.
func TestScaleOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &service{}, &service{}
		lns := map[string]*bufconn.Listener{"a": serveKit(t, a), "b": serveKit(t, b)}
		n := newNames(lns)
		n.InitialState(endpoints("a"))
		n.ResolveNowCallback = func(resolver.ResolveNowOptions) { n.UpdateState(endpoints("a", "b")) }
		client := n.dial(t, &grpcclient.Options{})
		share(t, client, a, b)
		time.Sleep(50 * time.Second) // below the age, whatever the jitter
		synctest.Wait()
		if na, nb := share(t, client, a, b); na != 20 || nb != 0 {
			t.Errorf("%d and %d calls at 50s, want 20 and 0", na, nb)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		share(t, client, a, b) // connects
		synctest.Wait()
		if na, nb := share(t, client, a, b); na != 10 || nb != 10 {
			t.Errorf("%d and %d calls at 70s, want 10 and 10", na, nb)
		}
	})
}

// serveKit serves on the kit's server, whose connections live for a minute.
func serveKit(t *testing.T, svc *service) *bufconn.Listener {
	t.Helper()
	s := grpcserver.New(&grpcserver.Options{
		Unauthenticated: true, MaxConnectionAge: time.Minute,
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	})
	testpb.RegisterTestServiceServer(s, svc)
	ln := bufconn.Listen(1 << 20)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ran := make(chan error, 1)
	go func() { ran <- s.Serve(ctx, ln) }()
	<-s.Ready()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	return ln
}

func TestServiceConfig(t *testing.T) {
	const retries = `{"methodConfig":[{"name":[{"service":"grpc.testing.TestService"}],"timeout":"3s","retryPolicy":{
		"maxAttempts":3,"initialBackoff":"0.1s","maxBackoff":"1s","backoffMultiplier":2,
		"retryableStatusCodes":["UNAVAILABLE"]}}]}`
	t.Run("RetriesBothKinds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int64
			down := func() error {
				if calls.Add(1)%3 != 0 {
					return transport.Errorf(transport.Unavailable, "no fish now")
				}
				return nil
			}
			r := newRig(t, &grpcclient.Options{ServiceConfig: retries}, &service{
				call:   func(context.Context) error { return down() },
				stream: func(grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error { return down() },
			})
			if err := r.unary(t.Context()); err != nil || calls.Load() != 3 {
				t.Errorf("%v after %d attempts, want success at the third", err, calls.Load())
			}
			ss, err := r.client.StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ss.Recv(); !errors.Is(err, io.EOF) || calls.Load() != 6 {
				t.Errorf("stream: %v after %d attempts, want EOF at the third", err, calls.Load()-3)
			}
			got := r.samples(t)
			if got[unaryMethod+" OK"] != 1 || got[streamMethod+" OK"] != 1 || len(got) != 2 {
				t.Errorf("samples %v, want one for each call", got)
			}
		})
	})
	t.Run("NeverOutlastsTheCaller", func(t *testing.T) {
		for name, c := range map[string]struct {
			config       string
			caller, want time.Duration
		}{
			"Theirs":      {"", time.Second, time.Second},
			"TheConfig's": {retries, time.Minute, 3 * time.Second},
			"Both":        {retries, time.Second, time.Second},
		} {
			synctest.Test(t, func(t *testing.T) {
				var left []time.Duration
				note := func(ctx context.Context) error {
					at, _ := ctx.Deadline()
					left = append(left, time.Until(at))
					return nil
				}
				r := newRig(t, &grpcclient.Options{ServiceConfig: c.config, Timeout: time.Hour}, &service{
					call: note,
					stream: func(ss grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
						return note(ss.Context())
					},
				})
				ctx, cancel := context.WithTimeout(t.Context(), c.caller)
				defer cancel()
				if err := r.unary(ctx); err != nil {
					t.Fatal(err)
				}
				ss, err := r.client.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{})
				if err == nil {
					_, err = ss.Recv()
				}
				if !errors.Is(err, io.EOF) || len(left) != 2 || left[0] != c.want || left[1] != c.want {
					t.Errorf("%s: %v, the server has %v, want %v twice", name, err, left, c.want)
				}
			})
		}
	})
}

func TestWaitForReady(t *testing.T) {
	for name, c := range map[string]struct {
		wait bool
		up   time.Duration // when the server is there
		code transport.Code
		took time.Duration
	}{
		"FailsFastByDefault": {false, time.Second, transport.Unavailable, 0},
		"Waits":              {true, time.Second, transport.OK, time.Second},
		"WithinItsTime":      {true, time.Hour, transport.DeadlineExceeded, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, ln := time.Now(), serve(t, &service{})
				o := &grpcclient.Options{
					WaitForReady: c.wait, Insecure: true, Registerer: prometheus.NewRegistry(),
					DialOptions: []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
						if time.Since(began) < c.up {
							return nil, errors.New("refused")
						}
						return ln.DialContext(ctx)
					})},
				}
				conn, err := grpcclient.New("passthrough:///catalog", o)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_, err = testpb.NewTestServiceClient(conn).UnaryCall(t.Context(), &testpb.SimpleRequest{})
				code := transport.OK
				if err != nil {
					code = coded(t, err).Code
				}
				// A lost server is tried again within seconds, so that it is found a little after it is there.
				if took := time.Since(began); code != c.code || took < c.took || took > c.took+5*time.Second {
					t.Errorf("%v after %v, want %v after %v", code, took, c.code, c.took)
				}
			})
		})
	}
}
