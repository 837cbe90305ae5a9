package grpcclient_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/grpcclient"
)

// source yields the audience as the token.
var source = auth.TokenSourceFunc(func(_ context.Context, audience string) (string, error) {
	return "for-" + audience, nil
})

func TestNew(t *testing.T) {
	for name, o := range map[string]*grpcclient.Options{
		"NoAudience":    {TokenSource: source},
		"NoTokenSource": {Audience: "catalog"},
		"TLSOrNot":      {TLS: &tls.Config{MinVersion: tls.VersionTLS12}, Insecure: true},
		"NothingToDo":   {Idempotent: []string{"/a.B/C"}},
		"NoMethod":      {Policy: resilience.New("x", nil), Idempotent: []string{"a.B/C"}},
		"NoName":        {Policy: resilience.New("x", nil), Idempotent: []string{""}},
		"TooLong":       {Policy: resilience.New("x", nil), Idempotent: []string{"/a.B/C/D"}},
		"NoJSON":        {ServiceConfig: "{"},
		"Null":          {ServiceConfig: "null"},
		"NoConfig":      {ServiceConfig: `{"methodConfig":[{"name":[{}],"retryPolicy":{"maxAttempts":-1}}]}`},
		"NoMethodName":  {Policy: resilience.New("x", nil), Idempotent: []string{"/a.B/"}},
	} {
		o.Registerer = prometheus.NewRegistry()
		if conn, err := grpcclient.New("catalog:9090", o); err == nil {
			conn.Close()
			t.Errorf("%s: no error", name)
		}
		if _, err := grpcclient.Intercept(o); err == nil && o.ServiceConfig == "" {
			t.Errorf("%s: no error of Intercept", name)
		}
	}
	t.Run("SaysWhichTarget", func(t *testing.T) {
		_, err := grpcclient.New("no\x00target:///", &grpcclient.Options{Registerer: prometheus.NewRegistry()})
		if err == nil || !strings.HasPrefix(err.Error(), `grpcclient: "no\x00target:///": `) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("IsSecureByDefault", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o := &grpcclient.Options{
				Registerer: prometheus.NewRegistry(), DialOptions: []grpc.DialOption{to(serve(t, &service{}))},
			}
			conn, err := grpcclient.New("passthrough:///catalog", o)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, err = testpb.NewTestServiceClient(conn).UnaryCall(t.Context(), &testpb.SimpleRequest{})
			if status.Code(err) != codes.Unavailable {
				t.Errorf("a cleartext server: %v, want Unavailable", err)
			}
		})
	})
}

func TestCall(t *testing.T) {
	t.Run("CarriesIDTraceAndToken", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, &grpcclient.Options{TokenSource: source, Audience: "catalog"}, &service{
				stream: func(grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error { return nil },
			})
			ctx := correlation.NewContext(t.Context(), "c-1")
			// What was set before is not added to: two IDs are none.
			ctx = metadata.AppendToOutgoingContext(ctx, "x-correlation-id", "old", "x-tenant", "t")
			check := func(what string) {
				t.Helper()
				synctest.Wait()
				_, md := r.seen()
				spans := r.spans.GetSpans()
				span := spans[len(spans)-1]
				for k, want := range map[string]string{
					"x-correlation-id": "c-1", "x-tenant": "t", "authorization": "Bearer for-catalog",
					"traceparent": fmt.Sprintf("00-%s-%s-01", span.SpanContext.TraceID(), span.SpanContext.SpanID()),
				} {
					if got := md.Get(k); len(got) != 1 || got[0] != want {
						t.Errorf("%s: %s: %q, want %q", what, k, got, want)
					}
				}
				if out, _ := metadata.FromOutgoingContext(ctx); len(out) != 2 {
					t.Errorf("%s: the caller's own metadata became %v", what, out)
				}
			}
			if err := r.unary(ctx); err != nil {
				t.Fatal(err)
			}
			check("unary")
			stream, err := r.client.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
				t.Errorf("stream ends with %v, want EOF", err)
			}
			check("stream")
			if _, ok := metadata.FromOutgoingContext(t.Context()); ok {
				t.Error("a context without metadata got some")
			}
		})
	})
	t.Run("HasADeadline", testDeadline)
	t.Run("IsASpanAndASample", testSpan)
	t.Run("CancelledByItsCallerIsNoError", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, &grpcclient.Options{}, &service{call: func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			}})
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			err := r.unary(ctx)
			if e := coded(t, err); e.Code != transport.Canceled || e.Remote || !errors.Is(err, context.Canceled) {
				t.Errorf("got %+v, want a local Canceled that matches the context's error", e)
			}
			if got := r.spans.GetSpans()[0]; got.Status.Code != otelcodes.Unset {
				t.Errorf("span status %v, want unset", got.Status.Code)
			}
			if got := r.samples(t); got[unaryMethod+" CANCELLED"] != 1 {
				t.Errorf("samples %v", got)
			}
		})
	})
	t.Run("StreamIsObservedToItsEnd", testStreamEnd)
	t.Run("MethodLabelIsBounded", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, &grpcclient.Options{}, &service{})
			for i := range 600 {
				_ = r.conn.Invoke(t.Context(), fmt.Sprintf("/no.such/Method%d", i), &testpb.Empty{}, &testpb.Empty{})
			}
			if got := r.samples(t); len(got) != 501 || got["_OTHER UNIMPLEMENTED"] != 100 {
				t.Errorf("%d series, %d of _OTHER, want 501 and 100", len(got), got["_OTHER UNIMPLEMENTED"])
			}
		})
	})
}

// coded returns the *transport.Error in err.
func coded(t *testing.T, err error) *transport.Error {
	t.Helper()
	var e *transport.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v (%T) holds no *transport.Error", err, err)
	}
	if st, ok := status.FromError(err); !ok || st.Code() != codes.Code(e.Code) {
		t.Fatalf("status %v, %t of a %v", st.Code(), ok, e.Code)
	}
	return e
}

func testDeadline(t *testing.T) {
	left := func(t *testing.T, o *grpcclient.Options, ctx context.Context) (left time.Duration) {
		note := func(ctx context.Context) {
			left = -1
			if at, ok := ctx.Deadline(); ok {
				left = time.Until(at)
			}
		}
		r := newRig(t, o, &service{
			call: func(ctx context.Context) error { note(ctx); return nil },
			stream: func(ss grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
				note(ss.Context())
				return nil
			},
		})
		if err := r.unary(ctx); err != nil {
			t.Error(err)
		}
		return left
	}
	synctest.Test(t, func(t *testing.T) {
		if got := left(t, &grpcclient.Options{}, t.Context()); got != 10*time.Second {
			t.Errorf("by default %v, want 10s", got)
		}
		if got := left(t, &grpcclient.Options{Timeout: time.Second}, t.Context()); got != time.Second {
			t.Errorf("with a Timeout of 1s %v", got)
		}
		if got := left(t, &grpcclient.Options{Timeout: -1}, t.Context()); got != -1 {
			t.Errorf("where it is off %v, want none", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if got := left(t, &grpcclient.Options{}, ctx); got != time.Minute {
			t.Errorf("with a minute of the caller's %v", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, &grpcclient.Options{}, &service{
			call: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
			stream: func(ss grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
				if _, ok := ss.Context().Deadline(); ok {
					return transport.Errorf(transport.Internal, "a stream has a deadline")
				}
				return nil
			},
		})
		began := time.Now()
		err := r.unary(t.Context())
		took := time.Since(began)
		e := coded(t, err)
		if e.Code != transport.DeadlineExceeded || !errors.Is(err, context.DeadlineExceeded) || took != 10*time.Second {
			t.Errorf("a server that hangs: %v after %v, want DeadlineExceeded after 10s", err, took)
		}
		stream, err := r.client.StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
}

func testSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var code transport.Code
		r := newRig(t, &grpcclient.Options{}, &service{call: func(context.Context) error {
			if code == transport.OK {
				return nil
			}
			return transport.Errorf(code, "x")
		}})
		for _, c := range []struct {
			code transport.Code
			name string
			want otelcodes.Code
		}{{transport.OK, "OK", otelcodes.Unset}, {transport.NotFound, "NOT_FOUND", otelcodes.Error},
			{transport.Unavailable, "UNAVAILABLE", otelcodes.Error}} {
			r.spans.Reset()
			code = c.code
			_ = r.unary(t.Context())
			span := r.spans.GetSpans()[0]
			if span.Status.Code != c.want || span.Name != unaryMethod || r.samples(t)[unaryMethod+" "+c.name] != 1 {
				t.Errorf("%v: span %q %v, samples %v", c.code, span.Name, span.Status.Code, r.samples(t))
			}
			got := attribute.NewSet(span.Attributes...)
			want := []attribute.KeyValue{
				attribute.String("rpc.system.name", "grpc"), attribute.String("rpc.method", unaryMethod),
				attribute.String("server.address", "catalog"), attribute.Int("server.port", 9090),
				attribute.String("rpc.response.status_code", c.name),
			}
			if c.want == otelcodes.Error {
				want = append(want, attribute.String("error.type", c.name))
			}
			if set := attribute.NewSet(want...); !got.Equals(&set) {
				t.Errorf("attributes %v, want %v", span.Attributes, want)
			}
		}
	})
}

func testStreamEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var after error
		r := newRig(t, &grpcclient.Options{}, &service{
			stream: func(ss grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
				if err := ss.Send(&testpb.StreamingOutputCallResponse{}); err != nil {
					return err
				}
				if after != nil {
					return after
				}
				<-ss.Context().Done()
				return ss.Context().Err()
			},
		})
		open := func(ctx context.Context) grpc.ServerStreamingClient[testpb.StreamingOutputCallResponse] {
			t.Helper()
			stream, err := r.client.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
			return stream
		}
		after = transport.Errorf(transport.Unavailable, "no more fish")
		_, err := open(t.Context()).Recv()
		if e := coded(t, err); e.Code != transport.Unavailable || e.Message != "no more fish" {
			t.Errorf("got %v, want the server's error", err)
		}
		after = nil
		ctx, cancel := context.WithCancel(t.Context())
		open(ctx)
		if n := len(r.spans.GetSpans()); n != 1 {
			t.Errorf("%d spans while the second runs, want 1", n)
		}
		cancel() // and nobody reads on
		synctest.Wait()
		got, spans := r.samples(t), r.spans.GetSpans()
		if len(spans) != 2 || got[streamMethod+" UNAVAILABLE"] != 1 || got[streamMethod+" CANCELLED"] != 1 {
			t.Fatalf("%d spans, samples %v, want 2 and one of each", len(spans), got)
		}
		if spans[0].Status.Code != otelcodes.Error || spans[1].Status.Code != otelcodes.Unset {
			t.Errorf("span status %v and %v, want error and unset", spans[0].Status.Code, spans[1].Status.Code)
		}
	})
}

func TestErrors(t *testing.T) {
	t.Run("ComeBackAsTheServerMadeThem", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sent := &transport.Error{
				Code: transport.InvalidArgument, Message: "the request is not valid", Delay: time.Second,
				Fields: []transport.FieldViolation{{Field: "sku", Description: "is required"}},
			}
			r := newRig(t, &grpcclient.Options{}, &service{call: func(context.Context) error { return sent }})
			want := *sent
			want.Remote = true
			if got := coded(t, r.unary(t.Context())); !reflect.DeepEqual(got, &want) {
				t.Errorf("got %+v, want %+v", got, &want)
			}
		})
	})
	t.Run("AddressesAreForTheLog", func(t *testing.T) {
		o := &grpcclient.Options{Insecure: true, Registerer: prometheus.NewRegistry()}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ln.Close()
		conn, err := grpcclient.New(ln.Addr().String(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = testpb.NewTestServiceClient(conn).UnaryCall(t.Context(), &testpb.SimpleRequest{})
		e := coded(t, err)
		if e.Code != transport.Unavailable || e.Message != "not available now" ||
			!strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("message %q, text %q, want the address in the text alone", e.Message, err)
		}
	})
}
