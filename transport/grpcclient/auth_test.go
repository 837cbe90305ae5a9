package grpcclient_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/grpcclient"
)

func TestToken(t *testing.T) {
	t.Run("StaysOffCleartext", func(t *testing.T) {
		for _, allowed := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				i, err := grpcclient.Intercept(&grpcclient.Options{
					TokenSource: source, Audience: "catalog", Insecure: allowed, Registerer: prometheus.NewRegistry(),
				})
				if err != nil {
					t.Fatal(err)
				}
				svc := &service{stream: func(grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error { return nil }}
				conn, err := grpc.NewClient("passthrough:///x", to(serve(t, svc)),
					grpc.WithTransportCredentials(insecure.NewCredentials()),
					grpc.WithUnaryInterceptor(i.Unary), grpc.WithStreamInterceptor(i.Stream))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				client := testpb.NewTestServiceClient(conn)
				_, err = client.UnaryCall(t.Context(), &testpb.SimpleRequest{})
				if n, _ := svc.seen(); (err == nil) != allowed || (n == 1) != allowed {
					t.Errorf("allowed %t: %v, %d calls arrived", allowed, err, n)
				}
				ss, streamErr := client.StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
				if streamErr == nil {
					_, streamErr = ss.Recv()
				}
				if n, _ := svc.seen(); errors.Is(streamErr, io.EOF) != allowed || (n == 2) != allowed {
					t.Errorf("allowed %t: stream %v, %d calls arrived", allowed, streamErr, n)
				}
				if !allowed && coded(t, err).Code != transport.Unauthenticated {
					t.Errorf("got %v, want Unauthenticated", err)
				}
			})
		}
	})
	t.Run("ThatCannotBeHadIsUnavailable", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			down := errors.New("kms: unreachable")
			r := newRig(t, &grpcclient.Options{
				TokenSource: auth.TokenSourceFunc(func(context.Context, string) (string, error) { return "", down }),
				Audience:    "catalog",
			}, &service{})
			_, streamErr := r.client.StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
			for _, err := range []error{r.unary(t.Context()), streamErr} {
				e := coded(t, err)
				if e.Code != transport.Unavailable || !errors.Is(err, down) || strings.Contains(e.Message, "kms") {
					t.Errorf("got %v with the message %q", err, e.Message)
				}
			}
			n, _ := r.seen()
			if got := r.samples(t); n != 0 || got[unaryMethod+" UNAVAILABLE"] != 1 || got[streamMethod+" UNAVAILABLE"] != 1 {
				t.Errorf("%d calls arrived, samples %v", n, got)
			}
		})
	})
}
