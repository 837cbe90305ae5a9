package grpcserver_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

// quota is a limiter of so many calls a minute.
func quota(n int) *resilience.Limiter {
	return resilience.NewLimiter(&resilience.LimiterOptions{Quota: n, Window: time.Minute})
}

// retryDelay is the RetryInfo of an error, 0 where it has none.
func retryDelay(err error) time.Duration {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

func bySubject(ctx context.Context, _ string) string {
	p, _ := auth.FromContext(ctx)
	return p.Subject
}

func everybody(context.Context, string) string { return "all" }

func TestRateLimit(t *testing.T) {
	ok := func(context.Context) error { return nil }
	t.Run("RefusesAndSaysWhenToComeAgain", func(t *testing.T) {
		forEveryKind(t, func() *grpcserver.Options {
			return &grpcserver.Options{BeforeAuth: []grpcserver.Interceptor{
				grpcserver.RateLimit(quota(2), &grpcserver.RateLimitOptions{Key: everybody}),
			}}
		}, ok, func(t *testing.T, r *rig, call func(context.Context) (metadata.MD, error), method string) {
			for range 2 {
				if _, err := call(t.Context()); err != nil {
					t.Errorf("within the quota: %v", err)
				}
			}
			_, err := call(t.Context())
			got := retryDelay(err).Round(time.Microsecond)
			if status.Code(err) != codes.ResourceExhausted || got != 30*time.Second {
				t.Errorf("beyond it: %v with %v, want ResourceExhausted with 30s", err, got)
			}
			time.Sleep(30*time.Second + time.Microsecond)
			if _, err := call(t.Context()); err != nil {
				t.Errorf("when it was told to come again: %v", err)
			}
			synctest.Wait()
			if got := r.samples(t); got[method+" OK"] != 3 || got[method+" RESOURCE_EXHAUSTED"] != 1 || r.active(t) != 0 {
				t.Errorf("samples %v, want 3 and the refusal", got)
			}
		})
	})
	t.Run("CountsByCaller", func(t *testing.T) {
		forEveryKind(t, func() *grpcserver.Options {
			return &grpcserver.Options{
				Verifier: tokens, Rules: map[string]grpcserver.Rule{"grpc.testing.TestService": {Access: transport.Authenticated}},
				Interceptors: []grpcserver.Interceptor{
					grpcserver.RateLimit(quota(1), &grpcserver.RateLimitOptions{Key: bySubject}),
				},
			}
		}, ok, func(t *testing.T, _ *rig, call func(context.Context) (metadata.MD, error), _ string) {
			for _, c := range []struct {
				token string
				want  codes.Code
			}{
				{"service", codes.OK}, {"user", codes.OK},
				{"service", codes.ResourceExhausted}, {"user", codes.ResourceExhausted},
			} {
				if _, err := call(withToken(t.Context(), c.token)); status.Code(err) != c.want {
					t.Errorf("%s: %v, want %v", c.token, err, c.want)
				}
			}
		})
	})
	t.Run("OfAServerThatIsThereAlready", func(t *testing.T) {
		for name, k := range kinds {
			synctest.Test(t, func(t *testing.T) {
				conn := serveBareService(t, &everyKind{handle: ok},
					grpcserver.RateLimit(quota(1), &grpcserver.RateLimitOptions{Key: everybody}))
				for _, want := range []codes.Code{codes.OK, codes.ResourceExhausted} {
					err := k.call(t.Context(), testpb.NewTestServiceClient(conn), nil, &metadata.MD{})
					if status.Code(err) != want || want != codes.OK && retryDelay(err) == 0 {
						t.Errorf("%s: %v, want %v", name, err, want)
					}
				}
				for range 3 {
					_, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
					if err != nil {
						t.Errorf("health: %v", err)
					}
				}
			})
		}
	})
	t.Run("CountsByAddressUnlessTold", func(t *testing.T) {
		limit := grpcserver.RateLimit(quota(1), nil)
		for _, c := range []struct {
			from   net.Addr
			passes bool
		}{
			{tcp("203.0.113.9:1"), true}, {tcp("203.0.113.9:2"), false}, {tcp("203.0.113.8:1"), true},
			{text("[::ffff:203.0.113.9]:3"), false}, {text("nonsense"), true}, {text("nonsense"), true},
			{tcp("[2001:db8::1]:1"), true}, {tcp("[2001:db8::ffff:2]:1"), false}, {tcp("[2001:db8:0:1::1]:1"), true},
			{tcp("[fe80::1%eth0]:1"), true}, {tcp("[fe80::2%eth1]:1"), false},
			{&net.UnixAddr{Net: "unix", Name: "@"}, true}, {&net.UnixAddr{Net: "unix", Name: "@"}, true},
			{nil, true}, {nil, true},
		} {
			ctx := peer.NewContext(t.Context(), &peer.Peer{Addr: c.from})
			_, err := limit.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: "/" + unaryMethod},
				func(context.Context, any) (any, error) { return nil, nil })
			if (err == nil) != c.passes {
				t.Errorf("%v: %v, want it to pass: %t", c.from, err, c.passes)
			}
		}
	})
	t.Run("LeavesOutWhatHasNoKey", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var asked []string
			r := newRig(&grpcserver.Options{BeforeAuth: []grpcserver.Interceptor{
				grpcserver.RateLimit(quota(1), &grpcserver.RateLimitOptions{Key: func(_ context.Context, method string) string {
					asked = append(asked, method)
					return ""
				}}),
			}}).serve(t, &service{})
			for range 3 {
				if err := r.call(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if want := "/" + unaryMethod; !slices.Equal(asked, []string{want, want, want}) {
				t.Errorf("asked for %q, want the method thrice", asked)
			}
		})
	})
}

// text is an address as a listener of somebody's own may have it.
type text string

func (text) Network() string  { return "tcp" }
func (s text) String() string { return string(s) }

func tcp(s string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

// retrying is a connection whose library repeats what was refused, 10ms later unless the server says otherwise.
func retrying(t *testing.T, r *rig) testpb.TestServiceClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///server", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return r.ln.DialContext(ctx) }),
		grpc.WithDefaultServiceConfig(`{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 3,
			"initialBackoff": "0.01s", "maxBackoff": "0.01s", "backoffMultiplier": 1,
			"retryableStatusCodes": ["RESOURCE_EXHAUSTED", "UNAVAILABLE"]}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return testpb.NewTestServiceClient(conn)
}

// TestRefused is what the library on the caller's side makes of a refusal.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		time  time.Duration // of the call
		want  codes.Code
		after time.Duration
	}{
		"IsRepeatedWhenThereIsRoom":      {time.Minute, codes.OK, 2500 * time.Millisecond},
		"IsNotRepeatedWhenThatIsTooLate": {2 * time.Second, codes.ResourceExhausted, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for kindName, k := range kinds {
				synctest.Test(t, func(t *testing.T) {
					limiter := resilience.NewLimiter(&resilience.LimiterOptions{Quota: 1, Window: 2500 * time.Millisecond})
					r := newRig(&grpcserver.Options{BeforeAuth: []grpcserver.Interceptor{
						grpcserver.RateLimit(limiter, &grpcserver.RateLimitOptions{Key: everybody}),
					}}).serve(t, &everyKind{handle: func(context.Context) error { return nil }})
					client := retrying(t, r)
					if err := k.call(t.Context(), client, nil, &metadata.MD{}); err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithTimeout(t.Context(), c.time)
					defer cancel()
					began := time.Now()
					err := k.call(ctx, client, nil, &metadata.MD{})
					if took := time.Since(began); status.Code(err) != c.want || took < c.after || took > c.after+10*time.Millisecond {
						t.Errorf("%s: %v after %v, want %v after %v", kindName, err, took, c.want, c.after)
					}
					synctest.Wait()
					if got := r.samples(t)[k.method+" RESOURCE_EXHAUSTED"]; got != 1 {
						t.Errorf("%s: refused %d times, want once", kindName, got)
					}
				})
			}
		})
	}
	t.Run("TellsProxiesInSeconds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(&grpcserver.Options{BeforeAuth: []grpcserver.Interceptor{
				grpcserver.RateLimit(quota(40), &grpcserver.RateLimitOptions{Key: everybody}), // one in 1.5s
			}}).serve(t, &service{})
			for range 40 {
				if err := r.call(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			var header, trailer metadata.MD
			_, err := r.client.UnaryCall(t.Context(), &testpb.SimpleRequest{}, grpc.Header(&header), grpc.Trailer(&trailer))
			got := fmt.Sprint(trailer.Get("retry-after"), trailer.Get("grpc-retry-pushback-ms"))
			if status.Code(err) != codes.ResourceExhausted || got != "[2] [1500]" || len(header.Get("x-correlation-id")) > 0 {
				t.Errorf("%v, trailer %q, header %q, want 2s and 1500ms, and no header", err, got, header)
			}
			if text := status.Convert(err).Message(); strings.Contains(text, "1.5") || text == "" {
				t.Errorf("message %q", text)
			}
		})
	})
}

// BenchmarkRateLimit is the cost for a call that passes.
func BenchmarkRateLimit(b *testing.B) {
	limit := grpcserver.RateLimit(resilience.NewLimiter(&resilience.LimiterOptions{Quota: 1 << 30}), nil)
	ctx := peer.NewContext(b.Context(), &peer.Peer{Addr: tcp("203.0.113.9:1")})
	info := &grpc.UnaryServerInfo{FullMethod: "/" + unaryMethod}
	handler := func(context.Context, any) (any, error) { return nil, nil }
	b.ReportAllocs()
	for b.Loop() {
		if _, err := limit.Unary(ctx, nil, info, handler); err != nil {
			b.Fatal(err)
		}
	}
}
