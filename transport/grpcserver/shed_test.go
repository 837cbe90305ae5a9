package grpcserver_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

func TestShed(t *testing.T) {
	t.Run("RefusesWhatThereIsNoRoomFor", func(t *testing.T) {
		release := make(chan struct{})
		s := resilience.NewShedder(&resilience.ShedderOptions{Limit: 2})
		forEveryKind(t, func() *grpcserver.Options {
			release = make(chan struct{})
			return &grpcserver.Options{
				Verifier: tokens,
				BeforeAuth: []grpcserver.Interceptor{grpcserver.Shed(s, &grpcserver.ShedOptions{
					Priority: func(ctx context.Context, _ string) int {
						return len(metadata.ValueFromIncomingContext(ctx, "important"))
					},
				})},
			}
		}, func(context.Context) error { <-release; return nil },
			func(t *testing.T, r *rig, call func(context.Context) (metadata.MD, error), method string) {
				important := metadata.AppendToOutgoingContext(withToken(t.Context(), "service"), "important", "yes")
				var wg sync.WaitGroup
				for range 2 {
					wg.Go(func() {
						if _, err := call(important); err != nil {
							t.Errorf("what has room: %v", err)
						}
					})
					synctest.Wait()
				}
				_, err := call(t.Context()) // and without a token: nobody looks
				if got := retryDelay(err); status.Code(err) != codes.Unavailable || got != time.Second {
					t.Errorf("the third: %v with %v, want Unavailable with 1s", err, got)
				}
				close(release)
				wg.Wait()
				synctest.Wait()
				if s.Running() != 0 {
					t.Errorf("%d still hold room", s.Running())
				}
				if got := r.samples(t); got[method+" OK"] != 2 || got[method+" UNAVAILABLE"] != 1 {
					t.Errorf("samples %v, want 2 and the refusal", got)
				}
			})
	})
	t.Run("RefusesTheLeastImportantFirst", func(t *testing.T) {
		var asked []int
		for name, k := range kinds {
			asked = nil
			synctest.Test(t, func(t *testing.T) {
				conn := serveBareService(t, &everyKind{handle: func(context.Context) error { return nil }},
					grpcserver.Shed(roomFor{&asked, 0}, &grpcserver.ShedOptions{
						Priority: func(ctx context.Context, method string) int {
							if method != "/"+k.method {
								t.Errorf("method %q, want %q", method, k.method)
							}
							return len(metadata.ValueFromIncomingContext(ctx, "important")) - 1
						},
						RetryAfter: -1,
					}))
				client := testpb.NewTestServiceClient(conn)
				err := k.call(t.Context(), client, nil, &metadata.MD{})
				if status.Code(err) != codes.Unavailable || retryDelay(err) != 0 {
					t.Errorf("%s: %v with %v, want Unavailable with nothing", name, err, retryDelay(err))
				}
				err = k.call(metadata.AppendToOutgoingContext(t.Context(), "important", "yes"), client, nil, &metadata.MD{})
				if err != nil || !slices.Equal(asked, []int{-1, 0}) {
					t.Errorf("%s: %v, asked for %v, want -1 and 0", name, err, asked)
				}
			})
		}
	})
	t.Run("NeverShedsHealthReflectionAndWhatIsNamed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var asked []int
			r := newRig(&grpcserver.Options{BeforeAuth: []grpcserver.Interceptor{
				grpcserver.Shed(roomFor{&asked, 1}, &grpcserver.ShedOptions{
					Never: func(_ context.Context, method string) bool { return method == "/"+unaryMethod },
				}),
			}})
			reflection.RegisterV1(r.Server)
			r.serve(t, &service{})
			if err := r.call(t.Context()); err != nil {
				t.Errorf("what is named: %v", err)
			}
			if _, err := healthpb.NewHealthClient(r.conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
				t.Errorf("health: %v", err)
			}
			ss, err := reflectionpb.NewServerReflectionClient(r.conn).ServerReflectionInfo(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			err = errors.Join(ss.Send(&reflectionpb.ServerReflectionRequest{
				MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{},
			}), ss.CloseSend())
			if _, recvErr := ss.Recv(); err != nil || recvErr != nil {
				t.Errorf("reflection: %v, %v", err, recvErr)
			}
			_, err = r.client.EmptyCall(t.Context(), &testpb.Empty{})
			if status.Code(err) != codes.Unavailable || len(asked) != 1 {
				t.Errorf("the rest: %v, %d asked, want Unavailable and one", err, len(asked))
			}
		})
	})
	t.Run("TellsTheShedderWhatCameOfIt", func(t *testing.T) {
		for name, c := range map[string]struct {
			handle func(ctx context.Context) error
			failed bool
		}{
			"Good":      {func(context.Context) error { return nil }, false},
			"Bug":       {func(context.Context) error { return errors.New("a bug") }, false},
			"Full":      {func(context.Context) error { return transport.Errorf(transport.Unavailable, "full") }, true},
			"Status":    {func(context.Context) error { return status.Error(codes.Unavailable, "full") }, true},
			"Late":      {func(context.Context) error { return context.DeadlineExceeded }, true},
			"OutOfTime": {untilItEnds, true},
			"Panic":     {func(context.Context) error { panic("a bug") }, true},
		} {
			var told []bool
			forEveryKind(t, func() *grpcserver.Options {
				told = nil
				return &grpcserver.Options{
					Timeout: time.Second, StreamTimeout: time.Second,
					BeforeAuth: []grpcserver.Interceptor{grpcserver.Shed(tellTale{&told}, nil)},
				}
			}, c.handle, func(t *testing.T, _ *rig, call func(context.Context) (metadata.MD, error), _ string) {
				_, _ = call(t.Context())
				synctest.Wait()
				if !slices.Equal(told, []bool{c.failed}) {
					t.Errorf("%s: told %v, want %t once", name, told, c.failed)
				}
			})
		}
	})
}

// roomFor has room for priorities from least on.
type roomFor struct {
	asked *[]int
	least int
}

func (s roomFor) Enter(priority int) bool {
	*s.asked = append(*s.asked, priority)
	return priority >= s.least
}
func (roomFor) Leave(time.Duration, bool) {}

type tellTale struct{ told *[]bool }

func (tellTale) Enter(int) bool                       { return true }
func (s tellTale) Leave(_ time.Duration, failed bool) { *s.told = append(*s.told, failed) }

// BenchmarkShed is the cost for a call that there is room for.
func BenchmarkShed(b *testing.B) {
	shed := grpcserver.Shed(resilience.NewShedder(nil), nil)
	info := &grpc.UnaryServerInfo{FullMethod: "/" + unaryMethod}
	handler := func(context.Context, any) (any, error) { return nil, nil }
	b.ReportAllocs()
	for b.Loop() {
		if _, err := shed.Unary(b.Context(), nil, info, handler); err != nil {
			b.Fatal(err)
		}
	}
}
