package grpcserver_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

// checked is a message with a method of the kind that generators write. Its body says what is wrong with it.
type checked struct {
	testpb.StreamingOutputCallRequest
}

// fieldError has the methods of protoc-gen-validate's errors.
type fieldError struct{ field, reason string }

func (e fieldError) Error() string  { return "invalid " + e.field + ": " + e.reason }
func (e fieldError) Field() string  { return e.field }
func (e fieldError) Reason() string { return e.reason }

// manyErrors is what ValidateAll returns.
type manyErrors []error

func (manyErrors) Error() string        { return "many" }
func (e manyErrors) AllErrors() []error { return e }

func (c *checked) Validate() error {
	sku, quantity := fieldError{"sku", "is required"}, fieldError{"quantity", "must be 1 to 100"}
	switch string(c.GetPayload().GetBody()) {
	case "plain":
		return errors.New("out of season")
	case "field":
		return fmt.Errorf("order: %w", sku)
	case "joined":
		return errors.Join(sku, quantity)
	case "all":
		return manyErrors{sku, quantity}
	case "coded":
		return transport.Errorf(transport.OutOfRange, "past the end")
	}
	return nil
}

// checkedService reads one checked message, in a unary call and in a stream, and counts what passes.
type checkedService struct{ passed int }

func (s *checkedService) desc() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "checked.Service",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Unary", Handler: func(
			srv any, ctx context.Context, decode func(any) error, i grpc.UnaryServerInterceptor,
		) (any, error) {
			in := new(checked)
			if err := decode(in); err != nil {
				return nil, err
			}
			handle := func(context.Context, any) (any, error) {
				s.passed++
				return &testpb.Empty{}, nil
			}
			if i == nil {
				return handle(ctx, in)
			}
			return i(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: "/checked.Service/Unary"}, handle)
		}}},
		Streams: []grpc.StreamDesc{{StreamName: "Stream", ClientStreams: true, Handler: func(
			_ any, ss grpc.ServerStream,
		) error {
			if err := ss.RecvMsg(new(checked)); err != nil {
				return err
			}
			s.passed++
			return ss.SendMsg(&testpb.Empty{})
		}}},
	}
}

func TestValidate(t *testing.T) {
	both := [][2]string{{"sku", "is required"}, {"quantity", "must be 1 to 100"}}
	for body, want := range map[string]struct {
		code    codes.Code
		message string
		fields  [][2]string
	}{
		"fine":   {codes.OK, "", nil},
		"plain":  {codes.InvalidArgument, "out of season", nil},
		"field":  {codes.InvalidArgument, "the request is not valid", both[:1]},
		"joined": {codes.InvalidArgument, "the request is not valid", both},
		"all":    {codes.InvalidArgument, "the request is not valid", both},
		"coded":  {codes.OutOfRange, "past the end", nil},
	} {
		check := func(t *testing.T, conn *grpc.ClientConn, svc *checkedService) {
			for _, call := range []func(context.Context, *grpc.ClientConn, string) error{unaryChecked, streamChecked} {
				svc.passed = 0
				st := status.Convert(call(t.Context(), conn, body))
				if st.Code() != want.code || st.Message() != want.message || (svc.passed == 1) != (want.code == codes.OK) {
					t.Errorf("%v %q, passed %d, want %v %q", st.Code(), st.Message(), svc.passed, want.code, want.message)
				}
				var fields [][2]string
				for _, d := range st.Details() {
					if bad, ok := d.(*errdetails.BadRequest); ok {
						for _, v := range bad.GetFieldViolations() {
							fields = append(fields, [2]string{v.GetField(), v.GetDescription()})
						}
					}
				}
				if fmt.Sprint(fields) != fmt.Sprint(want.fields) {
					t.Errorf("fields %v, want %v", fields, want.fields)
				}
			}
		}
		t.Run(body, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				svc := &checkedService{}
				r := newRig(&grpcserver.Options{})
				r.RegisterService(svc.desc(), svc)
				r.serve(t, &service{})
				check(t, r.conn, svc)
				synctest.Wait()
				for _, line := range r.log.all(t) {
					if line["code"] == "INVALID_ARGUMENT" && (line["error"] == nil || line["level"] != "INFO") {
						t.Errorf("log %v, want the reason at info", line)
					}
				}
			})
		})
		t.Run(body+"/AsInterceptor", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				svc := &checkedService{}
				i := grpcserver.Validate()
				s := grpc.NewServer(grpc.UnaryInterceptor(i.Unary), grpc.StreamInterceptor(i.Stream))
				s.RegisterService(svc.desc(), svc)
				check(t, serveOf(t, s), svc)
			})
		})
	}
	t.Run("IsOffWhereTheOptionsSay", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			svc := &checkedService{}
			r := newRig(&grpcserver.Options{Unvalidated: true})
			r.RegisterService(svc.desc(), svc)
			r.serve(t, &service{})
			err := errors.Join(unaryChecked(t.Context(), r.conn, "field"), streamChecked(t.Context(), r.conn, "field"))
			if err != nil || svc.passed != 2 {
				t.Errorf("%v, %d passed, want 2", err, svc.passed)
			}
		})
	})
}

func withBody(body string) *testpb.StreamingOutputCallRequest {
	return &testpb.StreamingOutputCallRequest{Payload: &testpb.Payload{Body: []byte(body)}}
}

func unaryChecked(ctx context.Context, conn *grpc.ClientConn, body string) error {
	return conn.Invoke(ctx, "/checked.Service/Unary", withBody(body), &testpb.Empty{})
}

func streamChecked(ctx context.Context, conn *grpc.ClientConn, body string) error {
	desc := &grpc.StreamDesc{ClientStreams: true}
	ss, err := conn.NewStream(ctx, desc, "/checked.Service/Stream")
	if err != nil {
		return err
	}
	if err := ss.SendMsg(withBody(body)); err != nil {
		return err
	}
	if err := ss.CloseSend(); err != nil {
		return err
	}
	return ss.RecvMsg(&testpb.Empty{})
}
