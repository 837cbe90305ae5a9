package grpcserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

func TestDrain(t *testing.T) {
	t.Run("StuckStreamDoesNotHoldTheProcess", testStuckStream)
	t.Run("StreamThatListensEndsAtOnce", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(&grpcserver.Options{}).serve(t, &service{
				stream: func(ss grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
					if err := ss.Send(&testpb.StreamingOutputCallResponse{}); err != nil {
						return err
					}
					<-grpcserver.Draining(ss.Context())
					return nil
				},
			})
			stream, err := r.client.StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			err = r.stop()
			if _, end := stream.Recv(); err != nil || !errors.Is(end, io.EOF) || time.Since(began) > time.Second {
				t.Errorf("Run = %v, stream %v, after %v, want nil and EOF at once", err, end, time.Since(began))
			}
		})
	})
	t.Run("NegativeCutsAtOnce", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(&grpcserver.Options{DrainTimeout: -1}).serve(t, &service{call: func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			}})
			result := make(chan error, 1)
			go func() { result <- r.call(t.Context()) }()
			synctest.Wait()
			began := time.Now()
			if err := r.stop(); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > time.Millisecond {
				t.Errorf("Run = %v after %v, want a deadline error at once", err, time.Since(began))
			}
			if got := status.Code(<-result); got != codes.Unavailable {
				t.Errorf("the call ended as %v, want Unavailable", got)
			}
			if got := r.samples(t); got[unaryMethod+" UNAVAILABLE"] != 1 {
				t.Errorf("samples %v, want UNAVAILABLE", got)
			}
		})
	})
	t.Run("BrokenListenerIsAnErrorAfterTheLastHandler", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ended := false
			r := newRig(&grpcserver.Options{}).serve(t, &service{call: func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(time.Second)
				ended = true
				return ctx.Err()
			}})
			go func() { _ = r.call(t.Context()) }()
			synctest.Wait()
			r.ln.Close()
			if err := <-r.ran; err == nil || !ended {
				t.Errorf("Run = %v, the handler has ended: %t, want an error and true", err, ended)
			}
			r.ran <- nil // for stop
		})
	})
	t.Run("ManyAtOnceAreOne", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(&grpcserver.Options{}).serve(t, &service{})
			var all sync.WaitGroup
			for range 10 {
				all.Go(r.Drain)
			}
			all.Wait()
			if err := errors.Join(r.call(t.Context()), r.stop()); err != nil {
				t.Error(err)
			}
		})
	})
}

func testStuckStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var handlerEnded time.Time
		r := newRig(&grpcserver.Options{DrainTimeout: time.Second}).serve(t, &service{
			call: func(context.Context) error {
				time.Sleep(300 * time.Millisecond)
				return nil
			},
			stream: func(ss grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
				<-ss.Context().Done()
				time.Sleep(100 * time.Millisecond) // tidies up
				handlerEnded = time.Now()
				return ss.Context().Err()
			},
		})
		stream, err := r.client.StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
		if err != nil {
			t.Fatal(err)
		}
		unary := make(chan error, 1)
		go func() { unary <- r.call(t.Context()) }()
		synctest.Wait()

		began := time.Now()
		r.cancel()
		synctest.Wait()
		if got := status.Code(r.call(t.Context())); got != codes.Unavailable {
			t.Errorf("a new call: %v, want Unavailable", got)
		}
		if err := <-unary; err != nil || time.Since(began) > 300*time.Millisecond {
			t.Errorf("the unary call: %v after %v, want success after 300ms", err, time.Since(began))
		}
		_, err = stream.Recv()
		if c := status.Code(err); c != codes.Unavailable || time.Since(began) != time.Second {
			t.Errorf("the stream: %v after %v, want Unavailable after 1s", c, time.Since(began))
		}
		err = r.stop()
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(fmt.Sprint(err), "1 calls cut off after 1s") {
			t.Errorf("Run = %v, want a deadline error that counts one call", err)
		}
		if handlerEnded.IsZero() || time.Since(began) != 1100*time.Millisecond {
			t.Errorf("Run returned after %v, the handler at %v, want after the handler", time.Since(began), handlerEnded)
		}
		if got := r.samples(t); got[streamMethod+" UNAVAILABLE"] != 1 || got[unaryMethod+" OK"] != 1 || r.active(t) != 0 {
			t.Errorf("samples %v, %v active", got, r.active(t))
		}
	})
}
