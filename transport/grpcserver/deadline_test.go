package grpcserver_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

func TestDeadline(t *testing.T) {
	inOwnWords := func(err error) func(context.Context) error {
		return func(ctx context.Context) error {
			<-ctx.Done()
			return err
		}
	}
	for name, c := range map[string]struct {
		limit, callers time.Duration // 0 for none
		handle         func(context.Context) error
		want           codes.Code
		after          time.Duration
	}{
		"EndsACall":        {time.Second, 0, untilItEnds, codes.DeadlineExceeded, time.Second},
		"EndsALongCall":    {time.Second, time.Hour, untilItEnds, codes.DeadlineExceeded, time.Second},
		"KeepsAShorterOne": {time.Hour, time.Second, untilItEnds, codes.DeadlineExceeded, time.Second},
		"ZeroIsNone":       {0, time.Minute, untilItEnds, codes.DeadlineExceeded, time.Minute},
		"NegativeIsNone":   {-1, time.Minute, untilItEnds, codes.DeadlineExceeded, time.Minute},
		"IsBehindAnInternalOne": {
			time.Second, 0, inOwnWords(transport.Errorf(transport.Internal, "x")), codes.DeadlineExceeded, time.Second,
		},
		"IsNotBehindAnother":   {time.Second, 0, inOwnWords(status.Error(codes.NotFound, "x")), codes.NotFound, time.Second},
		"LetsAnAnswerPass":     {time.Second, 0, inOwnWords(nil), codes.OK, time.Second},
		"LeavesAFailureInTime": {time.Second, 0, func(context.Context) error { return errors.New("x") }, codes.Unknown, 0},
	} {
		for _, observed := range []bool{false, true} {
			for kindName, k := range kinds {
				t.Run(name+"/"+kindName, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						var client testpb.TestServiceClient
						want := c.want
						if i := grpcserver.Deadline(c.limit); observed {
							client = newRig(&grpcserver.Options{
								Timeout: -1, Interceptors: []grpcserver.Interceptor{i},
							}).serve(t, &everyKind{handle: c.handle}).client
							if want == codes.Unknown {
								want = codes.Internal // which Observe makes of it
							}
						} else {
							client = testpb.NewTestServiceClient(serveBareService(t, &everyKind{handle: c.handle}, i))
						}
						ctx := t.Context()
						if c.callers > 0 {
							var cancel context.CancelFunc
							ctx, cancel = context.WithTimeout(ctx, c.callers)
							defer cancel()
						}
						began := time.Now()
						err := k.call(ctx, client, nil, &metadata.MD{})
						if took := time.Since(began); status.Code(err) != want || took != c.after {
							t.Errorf("observed %t: %v after %v, want %v after %v", observed, err, took, want, c.after)
						}
						synctest.Wait()
					})
				})
			}
		}
	}
	t.Run("LeavesTheWordsOfWhatWasLateFurtherDown", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			late := func(context.Context) error { return status.Error(codes.DeadlineExceeded, "stock did not answer") }
			conn := serveBareService(t, &everyKind{handle: late}, grpcserver.Deadline(time.Second))
			for name, k := range kinds {
				err := k.call(t.Context(), testpb.NewTestServiceClient(conn), nil, &metadata.MD{})
				if got := status.Convert(err).Message(); got != "stock did not answer" {
					t.Errorf("%s: %v, want its own words", name, err)
				}
			}
		})
	})
	t.Run("LeavesHealthAlone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			conn := serveBare(t, grpcserver.Deadline(time.Second))
			watch, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := watch.Recv(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() {
				_, err := watch.Recv()
				ended <- err
			}()
			time.Sleep(time.Minute)
			select {
			case err := <-ended:
				t.Errorf("the watch ended: %v", err)
			default:
			}
			conn.Close()
			<-ended
		})
	})
}
