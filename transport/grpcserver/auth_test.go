package grpcserver_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

func TestAuthenticate(t *testing.T) {
	method, svc := "/"+unaryMethod, testpb.TestService_ServiceDesc.ServiceName
	rules := func(name string, r grpcserver.Rule) map[string]grpcserver.Rule {
		return map[string]grpcserver.Rule{name: r}
	}
	for name, c := range map[string]struct {
		rules map[string]grpcserver.Rule
		auth  []string
		want  codes.Code
	}{
		"ServicesOnlyByDefault":    {nil, []string{"Bearer service"}, codes.OK},
		"SchemeInAnyCase":          {nil, []string{"bearer  service"}, codes.OK},
		"NoUserByDefault":          {nil, []string{"Bearer user"}, codes.PermissionDenied},
		"NoneWithoutAToken":        {nil, nil, codes.Unauthenticated},
		"NoneWithABadToken":        {nil, []string{"Bearer nonsense"}, codes.Unauthenticated},
		"NoneWithAnotherScheme":    {nil, []string{"Basic service"}, codes.Unauthenticated},
		"NoneWithTwoTokens":        {nil, []string{"Bearer service", "Bearer service"}, codes.Unauthenticated},
		"NoneWithAnEmptyToken":     {nil, []string{"Bearer "}, codes.Unauthenticated},
		"UnavailableWhenUnchecked": {nil, []string{"Bearer down"}, codes.Unavailable},
		"PublicForAnybody":         {rules(method, grpcserver.Rule{Access: transport.Public}), nil, codes.OK},
		"PublicRefusesABadToken": {
			rules(method, grpcserver.Rule{Access: transport.Public}), []string{"Bearer nonsense"}, codes.Unauthenticated,
		},
		"AuthenticatedForUsers": {
			rules(svc, grpcserver.Rule{Access: transport.Authenticated}), []string{"Bearer user"}, codes.OK,
		},
		"ScopeThere": {rules(method, grpcserver.Rule{Scopes: []string{"read"}}), []string{"Bearer service"}, codes.OK},
		"ScopeMissing": {
			rules(svc, grpcserver.Rule{Scopes: []string{"write"}}), []string{"Bearer service"}, codes.PermissionDenied,
		},
		"MethodWinsOverService": {map[string]grpcserver.Rule{
			svc: {Access: transport.Public}, method: {},
		}, nil, codes.Unauthenticated},
		"AnotherMethodsRuleIsNotMine": {
			rules("/"+streamMethod, grpcserver.Rule{Access: transport.Public}), nil, codes.Unauthenticated,
		},
	} {
		check := func(t *testing.T, r *rig) {
			ctx := metadata.NewOutgoingContext(t.Context(), metadata.MD{"authorization": c.auth})
			err := r.call(ctx)
			if status.Code(err) != c.want {
				t.Errorf("unary: %v, want %v", err, c.want)
			}
			if c.want == codes.Unauthenticated && status.Convert(err).Message() != "valid credentials are required" {
				t.Errorf("the message tells them apart: %v", err)
			}
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				check(t, newRig(&grpcserver.Options{Verifier: tokens, Rules: c.rules}).serve(t, &service{}))
			})
		})
		t.Run(name+"/AsInterceptor", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := grpcserver.Authenticate(tokens, &grpcserver.AuthOptions{Rules: c.rules})
				check(t, &rig{client: testpb.NewTestServiceClient(serveBare(t, i))})
			})
		})
	}
	streams := func(t *testing.T, serve func(*testing.T, *service) *rig) {
		synctest.Test(t, func(t *testing.T) {
			var seen auth.Principal
			r := serve(t, &service{
				stream: func(ss grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
					seen, _ = auth.FromContext(ss.Context())
					return ss.Send(&testpb.StreamingOutputCallResponse{})
				},
			})
			recv := func(ctx context.Context) error {
				stream, err := r.client.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{})
				if err == nil {
					_, err = stream.Recv()
				}
				return err
			}
			if got := status.Code(recv(t.Context())); got != codes.Unauthenticated || seen.Subject != "" {
				t.Errorf("without a token: %v, want Unauthenticated", got)
			}
			if err := recv(withToken(t.Context(), "service")); err != nil || seen.Subject != "orders" {
				t.Errorf("with one: %v, principal %q, want orders", err, seen.Subject)
			}
		})
	}
	t.Run("StreamsToo", func(t *testing.T) {
		streams(t, func(t *testing.T, s *service) *rig { return newRig(&grpcserver.Options{Verifier: tokens}).serve(t, s) })
	})
	t.Run("StreamsToo/AsInterceptor", func(t *testing.T) {
		streams(t, func(t *testing.T, s *service) *rig {
			return &rig{client: testpb.NewTestServiceClient(serveBareService(t, s, grpcserver.Authenticate(tokens, nil)))}
		})
	})
	t.Run("BeforeTheRequestIsRead", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(&grpcserver.Options{Verifier: tokens, MaxReceiveBytes: 1 << 10}).serve(t, &service{})
			large := &testpb.SimpleRequest{Payload: &testpb.Payload{Body: make([]byte, 4096)}}
			_, err := r.client.UnaryCall(t.Context(), large)
			if status.Code(err) != codes.Unauthenticated {
				t.Errorf("%v, want Unauthenticated", err)
			}
		})
	})
	t.Run("HealthIsOpen", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(&grpcserver.Options{Verifier: tokens}).serve(t, &service{})
			if _, err := healthpb.NewHealthClient(r.conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
				t.Error(err)
			}
			if got := r.samples(t); len(got) != 0 {
				t.Errorf("it is observed: %v", got)
			}
		})
	})
	t.Run("LogSaysWhyAndWho", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(&grpcserver.Options{Verifier: tokens}).serve(t, &service{})
			_ = r.call(t.Context())
			synctest.Wait()
			all := r.log.all(t)
			if len(all) != 1 || !strings.Contains(fmt.Sprint(all[0]["error"]), "no bearer token") || all[0]["level"] != "INFO" {
				t.Errorf("log %v", all)
			}
		})
	})
}

func FuzzBearer(f *testing.F) {
	for _, s := range []string{"Bearer x", "bearer", "", "Bearer  ", "Basic abc", "Bearer a b", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		token, err := grpcserver.Bearer([]string{value})
		if err != nil && token != "" || token != "" && !strings.HasSuffix(value, token) || strings.HasPrefix(token, " ") {
			t.Errorf("%q: token %q, %v", value, token, err)
		}
		if _, err := grpcserver.Bearer([]string{value, value}); err == nil {
			t.Errorf("two values of %q are taken", value)
		}
	})
}
