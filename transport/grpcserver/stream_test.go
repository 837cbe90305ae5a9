package grpcserver_test

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

// echo sends each message back, twice.
type echo struct {
	testpb.UnimplementedTestServiceServer
}

func (echo) FullDuplexCall(
	ss grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse],
) error {
	for {
		_, err := ss.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for range 2 {
			if err := ss.Send(&testpb.StreamingOutputCallResponse{}); err != nil {
				return err
			}
		}
	}
}

func TestStream(t *testing.T) {
	const method = "grpc.testing.TestService/FullDuplexCall"
	t.Run("IsCountedOnceAndItsMessagesOneByOne", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(&grpcserver.Options{}).serve(t, echo{})
			for range 2 {
				stream, err := r.client.FullDuplexCall(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for range 3 {
					if err := stream.Send(&testpb.StreamingOutputCallRequest{}); err != nil {
						t.Fatal(err)
					}
				}
				if err := stream.CloseSend(); err != nil {
					t.Fatal(err)
				}
				for err == nil {
					_, err = stream.Recv()
				}
				if !errors.Is(err, io.EOF) {
					t.Errorf("ends with %v, want EOF", err)
				}
			}
			synctest.Wait()
			got := r.values(t, "rpc_server_stream_messages_total")
			if got["received "+method] != 6 || got["sent "+method] != 12 || len(got) != 2 {
				t.Errorf("messages %v, want 6 received and 12 sent", got)
			}
			if got := r.samples(t); got[method+" OK"] != 2 {
				t.Errorf("samples %v, want 2", got)
			}
			for _, line := range r.log.all(t) {
				if line["received"] != 3.0 || line["sent"] != 6.0 {
					t.Errorf("log %v, want 3 received and 6 sent", line)
				}
			}
		})
	})
	t.Run("UnaryCallsCountNoMessages", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(&grpcserver.Options{}).serve(t, &service{})
			if err := r.call(t.Context()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if got := r.values(t, "rpc_server_stream_messages_total"); len(got) != 0 {
				t.Errorf("messages %v, want none", got)
			}
			if _, ok := r.log.all(t)[0]["received"]; ok {
				t.Errorf("log %v, want no messages", r.log.all(t))
			}
		})
	})
}
