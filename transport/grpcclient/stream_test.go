package grpcclient_test

import (
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/grpcclient"
)

func TestStreamMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &grpcclient.Options{}, &service{
			stream: func(ss grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
				for range 3 {
					if err := ss.Send(&testpb.StreamingOutputCallResponse{}); err != nil {
						return err
					}
				}
				return transport.Errorf(transport.NotFound, "no more fish")
			},
		})
		if err := r.unary(t.Context()); err != nil {
			t.Fatal(err)
		}
		ss, err := r.client.StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
		for err == nil {
			_, err = ss.Recv()
		}
		if e := coded(t, err); e.Code != transport.NotFound || errors.Is(err, io.EOF) {
			t.Errorf("ends with %v, want NotFound", err)
		}
		got := r.values(t, "rpc_client_stream_messages_total")
		if got["received "+streamMethod] != 3 || got["sent "+streamMethod] != 1 || len(got) != 2 {
			t.Errorf("messages %v, want 3 received and 1 sent, and none of the unary call", got)
		}
	})
}
