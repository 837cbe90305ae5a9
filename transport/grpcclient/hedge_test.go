package grpcclient_test

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/grpcclient"
)

const usual = 10 * time.Millisecond

func hedging(o resilience.Options) *resilience.Policy {
	o.Logger, o.Hedge = slog.New(slog.DiscardHandler), &resilience.HedgeOptions{MaxRatio: -1}
	return resilience.New("catalog", &o)
}

// wait waits for a time, or until nobody waits for the answer.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hedged is what a caller gets of one call.
type hedged struct {
	reply, header, trailer string
	peer                   bool
	code                   transport.Code // 0 for none
}

func ask(t *testing.T, r *rig) hedged {
	var header, trailer metadata.MD
	var p peer.Peer
	reply, err := r.client.UnaryCall(
		t.Context(), &testpb.SimpleRequest{}, grpc.Header(&header), grpc.Trailer(&trailer), grpc.Peer(&p))
	got := hedged{reply: reply.GetUsername(), peer: p.Addr != nil}
	if v := header.Get("call"); len(v) == 1 {
		got.header = v[0]
	}
	if v := trailer.Get("call"); len(v) == 1 {
		got.trailer = v[0]
	}
	if e, ok := errors.AsType[*transport.Error](err); ok {
		got.code = e.Code
	}
	return got
}

func TestHedge(t *testing.T) {
	idempotent := []string{testpb.TestService_UnaryCall_FullMethodName}
	type act = func(context.Context) error
	takes := func(d time.Duration) act { return func(ctx context.Context) error { return wait(ctx, d) } }
	hangs := takes(time.Hour)
	fails := func(code transport.Code) act {
		return func(context.Context) error { return transport.Errorf(code, "x") }
	}
	for name, tt := range map[string]struct {
		idempotent []string
		acts       []act // of the calls after the first 19
		want       hedged
		took       time.Duration
		ends       string // how the loser ended
	}{
		"SecondAnswers": {idempotent, []act{hangs, takes(0)}, hedged{"21", "21", "21", true, 0}, usual, "CANCELLED"},
		"FirstAnswers":  {idempotent, []act{takes(2 * usual), hangs}, hedged{"20", "20", "20", true, 0}, 2 * usual, "CANCELLED"},
		"SecondSaysNo":  {idempotent, []act{hangs, fails(transport.NotFound)}, hedged{"", "21", "21", true, transport.NotFound}, usual, "CANCELLED"},
		"SecondFails":   {idempotent, []act{takes(2 * usual), fails(transport.Unavailable)}, hedged{"20", "20", "20", true, 0}, 2 * usual, "UNAVAILABLE"},
		"NotIdempotent": {nil, []act{takes(2 * usual)}, hedged{"20", "20", "20", true, 0}, 2 * usual, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var n atomic.Int64
				r := newRig(t, &grpcclient.Options{Policy: hedging(resilience.Options{}), Idempotent: tt.idempotent},
					&service{numbered: true, call: func(ctx context.Context) error {
						if n := n.Add(1) - 20; n >= 0 {
							return tt.acts[n](ctx)
						}
						return wait(ctx, usual)
					}})
				for range 19 {
					_ = r.unary(t.Context())
				}
				start := time.Now()
				if got := ask(t, r); got != tt.want {
					t.Errorf("got %+v, want %+v", got, tt.want)
				}
				if took := time.Since(start); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if got := int(n.Load()) - 19; got != len(tt.acts) {
					t.Errorf("%d tries, want %d", got, len(tt.acts))
				}
				if got := r.samples(t)[unaryMethod+" "+tt.ends]; tt.ends != "" && got != 1 {
					t.Errorf("samples %v, want one of %s", r.samples(t), tt.ends)
				}
				if got := len(r.spans.GetSpans()); got != int(n.Load()) {
					t.Errorf("%d spans of %d tries", got, n.Load())
				}
			})
		})
	}
}

// What a caller gets is one try's, whole, whoever was faster, and also where both were as fast.
func TestHedgeMixesNoAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &grpcclient.Options{
			Policy: resilience.New("catalog", &resilience.Options{
				Logger: slog.New(slog.DiscardHandler), Hedge: &resilience.HedgeOptions{Quantile: 0.5, MaxRatio: -1},
				Breaker: resilience.BreakerOptions{ConsecutiveFailures: -1},
				Retry:   resilience.RetryOptions{MinBackoff: -1, MaxRatio: -1},
			}),
			Idempotent: []string{testpb.TestService_ServiceDesc.ServiceName},
		}, &service{numbered: true, call: func(ctx context.Context) error {
			if err := wait(ctx, time.Duration(rand.IntN(6))*time.Millisecond); err != nil {
				return err
			}
			return map[int]error{0: transport.Errorf(transport.Unavailable, "x")}[rand.IntN(8)]
		}})
		const calls = 8 * 100
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range calls / 8 {
					got := ask(t, r)
					if got.code == 0 && (got.reply == "" || got.header != got.reply || got.trailer != got.reply || !got.peer) {
						t.Errorf("got %+v, want all of one try", got)
					}
				}
			})
		}
		wg.Wait()
		if n, _ := r.seen(); n < calls*5/4 {
			t.Errorf("%d tries of %d calls, want many that were hedged", n, calls)
		}
	})
}

// A codec of somebody's own may have replies of any type.
func TestHedgeOfOtherReplies(t *testing.T) {
	for name, reply := range map[string]any{"Pointer": new(string), "Nil": nil, "NilPointer": (*string)(nil), "Map": map[string]string{}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				kit, err := grpcclient.Intercept(&grpcclient.Options{
					Policy: hedging(resilience.Options{}), Idempotent: []string{"s"}, Registerer: prometheus.NewRegistry(),
				})
				if err != nil {
					t.Fatal(err)
				}
				var tries atomic.Int64
				call := func() error {
					return kit.Unary(t.Context(), "/s/m", nil, reply, nil,
						func(ctx context.Context, _ string, _, reply any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
							n := tries.Add(1)
							if s, ok := reply.(*string); ok && s != nil {
								*s = map[bool]string{true: "second"}[n == 21]
							}
							return wait(ctx, map[bool]time.Duration{true: time.Second, false: usual}[n == 20])
						})
				}
				for range 20 {
					if err := call(); err != nil {
						t.Fatal(err)
					}
				}
				s, divisible := reply.(*string)
				divisible = divisible && s != nil
				if got, want := tries.Load() == 21, divisible; got != want {
					t.Errorf("%d tries of 20 calls, want a second one: %t", tries.Load(), want)
				}
				if divisible && *s != "second" {
					t.Errorf("got %q, want second", *s)
				}
			})
		})
	}
}

func TestHedgeTakesNothingOfTheSlowerTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kit, err := grpcclient.Intercept(&grpcclient.Options{
			Policy: hedging(resilience.Options{}), Idempotent: []string{"s"}, Registerer: prometheus.NewRegistry(),
		})
		if err != nil {
			t.Fatal(err)
		}
		var reply testpb.SimpleResponse
		var from peer.Peer
		var n atomic.Int64
		invoke := func(
			ctx context.Context, _ string, _, reply any, _ *grpc.ClientConn, opts ...grpc.CallOption,
		) error {
			r, to := reply.(*testpb.SimpleResponse), opts[0].(grpc.PeerCallOption).PeerAddr
			switch n.Add(1) {
			case 20:
				r.OauthScope = "first"
				return wait(ctx, time.Second)
			case 21:
				r.Username, to.Addr = "second", &net.TCPAddr{Port: 2}
				return nil
			}
			return wait(ctx, usual)
		}
		for range 20 {
			if err := kit.Unary(t.Context(), "/s/m", nil, &reply, nil, invoke, grpc.Peer(&from)); err != nil {
				t.Fatal(err)
			}
		}
		if want := (&testpb.SimpleResponse{Username: "second"}); !proto.Equal(&reply, want) {
			t.Errorf("reply %v, want %v", &reply, want)
		}
		if from.Addr == nil || from.Addr.String() != ":2" {
			t.Errorf("from %v, want the second's", from.Addr)
		}
	})
}
