package grpcserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/metrics"
	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

func TestObserve(t *testing.T) {
	t.Run("OneIDInContextHeaderAndLog", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var seen string
			var err error
			r := newRig(&grpcserver.Options{}).serve(t, &service{call: func(ctx context.Context) error {
				seen = correlation.FromContext(ctx)
				return err
			}})
			// An error has the ID in its trailer: it may be retried by the caller's library, if it comes without a header.
			for _, err = range []error{nil, transport.Errorf(transport.NotFound, "no")} {
				for sent, adopted := range map[string]bool{
					"c-1": true, "a b": false, "": false, strings.Repeat("x", 129): false,
				} {
					var header, trailer metadata.MD
					ctx := metadata.AppendToOutgoingContext(t.Context(), "x-correlation-id", sent)
					_, _ = r.client.UnaryCall(ctx, &testpb.SimpleRequest{}, grpc.Header(&header), grpc.Trailer(&trailer))
					echo, none := header.Get("x-correlation-id"), trailer.Get("x-correlation-id")
					if err != nil {
						echo, none = none, echo
					}
					synctest.Wait()
					all := r.log.all(t)
					logged := all[len(all)-1]["correlation_id"]
					if len(echo) != 1 || echo[0] != seen || len(none) > 0 || logged != seen || (seen == sent) != adopted {
						t.Errorf("sent %q, %v: context %q, header %q, trailer %q, log %v", sent, err, seen, header, trailer, logged)
					}
				}
			}
		})
	})
	t.Run("EchoesTheIDOfAHandlerThatSendsItsHeader", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			own := metadata.Pairs("x-own", "1")
			r := newRig(&grpcserver.Options{}).serve(t, &service{
				call: func(ctx context.Context) error { return grpc.SendHeader(ctx, own) },
				stream: func(ss grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
					return ss.SendHeader(own)
				},
			})
			ctx := metadata.AppendToOutgoingContext(t.Context(), "x-correlation-id", "c-1")
			var header, trailer metadata.MD
			_, err := r.client.UnaryCall(ctx, &testpb.SimpleRequest{}, grpc.Header(&header), grpc.Trailer(&trailer))
			if got := trailer.Get("x-correlation-id"); err != nil || len(got) != 1 || len(header.Get("x-own")) != 1 {
				t.Errorf("unary: header %v, trailer %v, %v, want the ID in the trailer", header, trailer, err)
			}
			ss, err := r.client.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{})
			if err != nil {
				t.Fatal(err)
			}
			header, err = ss.Header()
			if got := header.Get("x-correlation-id"); err != nil || len(got) != 1 || len(header.Get("x-own")) != 1 {
				t.Errorf("stream: header %v, %v, want the ID in it", header, err)
			}
		})
	})
	t.Run("SpanContinuesTheCallersTrace", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(&grpcserver.Options{}).serve(t, &service{})
			ctx, parent := sdktrace.NewTracerProvider().Tracer("").Start(t.Context(), "caller")
			carrier := propagation.MapCarrier{}
			propagation.TraceContext{}.Inject(ctx, carrier)
			if err := r.call(metadata.NewOutgoingContext(ctx, metadata.New(carrier))); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			span := r.spans.GetSpans()[0]
			if span.SpanContext.TraceID() != parent.SpanContext().TraceID() || span.Name != unaryMethod {
				t.Errorf("span %q of trace %v, want %q of %v",
					span.Name, span.SpanContext.TraceID(), unaryMethod, parent.SpanContext().TraceID())
			}
			got := attribute.NewSet(span.Attributes...)
			for k, want := range map[attribute.Key]string{
				"rpc.system.name": "grpc", "rpc.method": unaryMethod, "rpc.response.status_code": "OK",
			} {
				if v, _ := got.Value(k); v.AsString() != want {
					t.Errorf("%s = %q, want %q", k, v.AsString(), want)
				}
			}
		})
	})
	t.Run("PanicIsInternalAndCountedOnce", testPanic)
	t.Run("CallerWhoLeftIsNoFailure", testCallerLeft)
	t.Run("OwnTimeoutIsAFailure", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(&grpcserver.Options{}).serve(t, &service{call: func(ctx context.Context) error {
				ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
				defer cancel()
				<-ctx.Done()
				return fmt.Errorf("ask stock: %w", ctx.Err())
			}})
			if got := status.Code(r.call(t.Context())); got != codes.DeadlineExceeded {
				t.Errorf("code %v, want DeadlineExceeded", got)
			}
			synctest.Wait()
			if all := r.log.all(t); len(all) != 1 || all[0]["level"] != "ERROR" {
				t.Errorf("log %v, want one line at error", all)
			}
		})
	})
	t.Run("OwnCancellationIsNotTheCallers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(&grpcserver.Options{}).serve(t, &service{call: func(ctx context.Context) error {
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				return ctx.Err()
			}})
			if got := status.Code(r.call(t.Context())); got != codes.Internal {
				t.Errorf("code %v, want Internal", got)
			}
		})
	})
	t.Run("SpanIsAnErrorWhereTheServerFailed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var code transport.Code
			r := newRig(&grpcserver.Options{}).serve(t, &service{call: func(context.Context) error {
				return transport.Errorf(code, "x")
			}})
			failures := map[transport.Code]bool{
				transport.Unknown: true, transport.DeadlineExceeded: true, transport.Unimplemented: true,
				transport.Internal: true, transport.Unavailable: true, transport.DataLoss: true,
			}
			for code = transport.Unknown; code <= transport.Unauthenticated; code++ {
				r.spans.Reset()
				_ = r.call(t.Context())
				synctest.Wait()
				if got := r.spans.GetSpans()[0].Status.Code == otelcodes.Error; got != failures[code] {
					t.Errorf("%v: span error %t, want %t", code, got, failures[code])
				}
			}
		})
	})
	t.Run("MethodsNobodyRegisteredAreOneLabel", testUnknownMethods)
	t.Run("CountsWhatCannotBeRead", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(&grpcserver.Options{MaxReceiveBytes: 1 << 10}).serve(t, &service{})
			fits := &testpb.SimpleRequest{Payload: &testpb.Payload{Body: make([]byte, 1000)}}
			large := &testpb.SimpleRequest{Payload: &testpb.Payload{Body: make([]byte, 1025)}}
			if _, err := r.client.UnaryCall(t.Context(), fits); err != nil {
				t.Errorf("a message that fits: %v", err)
			}
			if _, err := r.client.UnaryCall(t.Context(), large); status.Code(err) != codes.ResourceExhausted {
				t.Errorf("one too large: %v, want ResourceExhausted", err)
			}
			err := r.conn.Invoke(t.Context(), "/"+unaryMethod, []byte("\xff"), nil, grpc.ForceCodec(rawCodec{}))
			if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "failed to unmarshal") {
				t.Errorf("bytes that are no message: %v, want Internal", err)
			}
			stream, err := r.client.StreamingInputCall(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_ = stream.Send(&testpb.StreamingInputCallRequest{Payload: &testpb.Payload{Body: make([]byte, 1025)}})
			if _, err := stream.CloseAndRecv(); status.Code(err) != codes.ResourceExhausted {
				t.Errorf("one too large in a stream: %v, want ResourceExhausted", err)
			}
			synctest.Wait()
			got := r.samples(t)
			if n := got["grpc.testing.TestService/StreamingInputCall RESOURCE_EXHAUSTED"]; n != 1 {
				t.Errorf("samples %v, want what the stream's caller got", got)
			}
			for _, want := range []string{"OK", "RESOURCE_EXHAUSTED", "INTERNAL"} {
				if got[unaryMethod+" "+want] != 1 || len(got) != 4 {
					t.Errorf("samples %v, want one of %s", got, want)
				}
			}
		})
	})
	t.Run("LogsOneInSoManyAndEveryFailure", func(t *testing.T) {
		for every, want := range map[int]int{0: 12, 1: 12, 5: 5, 100: 4, -1: 2} {
			synctest.Test(t, func(t *testing.T) {
				var err error
				r := newRig(&grpcserver.Options{LogEvery: every}).serve(t, &service{call: func(context.Context) error {
					return err
				}})
				for i := range 12 {
					// Nine in a row end well, one has not found what it asked for, and two fail.
					err = nil
					switch {
					case i == 9:
						err = transport.Errorf(transport.NotFound, "no fish")
					case i > 9:
						err = transport.Errorf(transport.Internal, "broken")
					}
					_ = r.call(t.Context())
				}
				synctest.Wait()
				if got := len(r.log.all(t)); got != want {
					t.Errorf("LogEvery %d: %d lines, want %d", every, got, want)
				}
				if got := r.samples(t)[unaryMethod+" OK"]; got != 9 {
					t.Errorf("LogEvery %d: %d samples, want 9", every, got)
				}
			})
		}
	})
	t.Run("RefusesAClashingMetric", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "rpc_server_call_duration_seconds"}))
		s := grpcserver.New(&grpcserver.Options{Unauthenticated: true, Registerer: reg})
		testpb.RegisterTestServiceServer(s, &service{})
		if err := s.Run(t.Context()); err == nil {
			t.Error("Run returned nil")
		}
	})
}

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (rawCodec) Unmarshal([]byte, any) error   { return nil }
func (rawCodec) Name() string                  { return "proto" }

func testPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(&grpcserver.Options{}).serve(t, &service{
			call: func(context.Context) error { panic("hunter2") },
			stream: func(ss grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
				for range 2 {
					if err := ss.Send(&testpb.StreamingOutputCallResponse{}); err != nil {
						return err
					}
				}
				panic("hunter2")
			},
		})
		stream, err := r.client.StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
		if err != nil {
			t.Fatal(err)
		}
		received := 0
		for err == nil {
			if _, err = stream.Recv(); err == nil {
				received++
			}
		}
		for name, err := range map[string]error{"unary": r.call(t.Context()), "stream": err} {
			if status.Code(err) != codes.Internal || strings.Contains(fmt.Sprint(err), "hunter2") {
				t.Errorf("%s: %v, want Internal without the panic's text", name, err)
			}
		}
		synctest.Wait()
		if got := r.samples(t); received != 2 || got[unaryMethod+" INTERNAL"] != 1 || got[streamMethod+" INTERNAL"] != 1 ||
			len(got) != 2 || r.active(t) != 0 {
			t.Errorf("%d received, samples %v, %v active, want 2, one Internal each, 0", received, got, r.active(t))
		}
		all := r.log.all(t)
		if len(all) != 2 {
			t.Fatalf("%d log lines, want 2: %v", len(all), all)
		}
		for _, line := range all {
			stack, _ := line["stack"].(string)
			if line["level"] != "ERROR" || line["panic"] != "hunter2" || !strings.Contains(stack, "testPanic") {
				t.Errorf("log line %v, want the panic with its stack", line)
			}
		}
	})
}

func testCallerLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(&grpcserver.Options{}).serve(t, &service{call: func(ctx context.Context) error {
			<-ctx.Done()
			return errors.New("pq: canceling statement due to user request")
		}})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		if got := status.Code(r.call(ctx)); got != codes.Canceled {
			t.Errorf("code %v, want Canceled", got)
		}
		synctest.Wait()
		all, got := r.log.all(t), r.samples(t)
		if len(all) != 1 || all[0]["level"] != "INFO" || got[unaryMethod+" CANCELLED"] != 1 {
			t.Errorf("log %v, samples %v, want one line at info and CANCELLED", all, got)
		}
		if s := r.spans.GetSpans()[0].Status.Code; s != otelcodes.Unset {
			t.Errorf("span status %v, want unset", s)
		}
	})
}

func testUnknownMethods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(&grpcserver.Options{Verifier: tokens}).serve(t, &service{})
		for _, full := range []string{
			"/no.such.Service/Method", "/grpc.testing.TestService/NoSuch", "/\xff\xfe/x", "/" + strings.Repeat("a", 4096) + "/b",
		} {
			err := r.conn.Invoke(t.Context(), full, &testpb.Empty{}, &testpb.Empty{})
			if status.Code(err) != codes.Unimplemented {
				t.Errorf("%.40q: %v, want Unimplemented", full, err)
			}
		}
		synctest.Wait()
		if got := r.samples(t); got["_OTHER UNIMPLEMENTED"] != 4 || len(got) != 1 {
			t.Errorf("samples %v, want 4 of _OTHER", got)
		}
		for _, span := range r.spans.GetSpans() {
			attrs := attribute.NewSet(span.Attributes...)
			v, ok := attrs.Value("rpc.method_original")
			if span.Name != "grpc" || !ok || len(v.AsString()) > 1<<10 || strings.Contains(v.AsString(), "\xff") {
				t.Errorf("span %q with the method %.80q", span.Name, v.AsString())
			}
		}
		rec := httptest.NewRecorder()
		metrics.Handler(r.reg).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		if rec.Code != http.StatusOK {
			t.Errorf("scrape: %d", rec.Code)
		}
	})
}

func TestErrors(t *testing.T) {
	withDetails, err := status.New(codes.Aborted, "own").WithDetails(&errdetails.ErrorInfo{Reason: "R"})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		err     error
		code    codes.Code
		message string
	}{
		"Coded":          {fmt.Errorf("get: %w", transport.Errorf(transport.NotFound, "no fish")), codes.NotFound, "no fish"},
		"Plain":          {errors.New("password=hunter2"), codes.Internal, "internal error"},
		"EOF":            {io.EOF, codes.Internal, "internal error"},
		"OwnStatus":      {withDetails.Err(), codes.Aborted, "own"},
		"WrappedStatus":  {fmt.Errorf("password=hunter2: %w", withDetails.Err()), codes.Aborted, "own"},
		"RemoteUnauth":   {&transport.Error{Code: transport.Unauthenticated, Remote: true}, codes.Internal, "internal error"},
		"RemoteCanceled": {&transport.Error{Code: transport.Canceled, Remote: true}, codes.Unavailable, "not available now"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(&grpcserver.Options{}).serve(t, &service{call: func(context.Context) error { return c.err }})
				st := status.Convert(r.call(t.Context()))
				if st.Code() != c.code || st.Message() != c.message {
					t.Errorf("sent %v %q, want %v %q", st.Code(), st.Message(), c.code, c.message)
				}
				synctest.Wait()
				if all := r.log.all(t); len(all) != 1 || all[0]["error"] != c.err.Error() {
					t.Errorf("log %v, want one line with %q", all, c.err)
				}
			})
		})
	}
	t.Run("FieldsAndDelay", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(&grpcserver.Options{}).serve(t, &service{call: func(context.Context) error {
				e := transport.Invalid(transport.FieldViolation{Field: "sku", Description: "is required"})
				e.Delay = 1500 * time.Millisecond
				return e
			}})
			var fields, delays int
			for _, d := range status.Convert(r.call(t.Context())).Details() {
				switch d := d.(type) {
				case *errdetails.BadRequest:
					fields += len(d.GetFieldViolations())
				case *errdetails.RetryInfo:
					if d.GetRetryDelay().AsDuration() == 1500*time.Millisecond {
						delays++
					}
				}
			}
			if fields != 1 || delays != 1 {
				t.Errorf("%d fields, %d delays, want 1 and 1", fields, delays)
			}
		})
	})
}
