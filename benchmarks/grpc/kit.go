package main

import (
	"context"
	"net"

	"google.golang.org/grpc"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/auth/jwt"
	"github.com/mainstay-go/mainstay/tracing/logging"
	"github.com/mainstay-go/mainstay/transport/grpcserver"
)

// rules are the scopes that a call needs.
func rules() map[string]grpcserver.Rule {
	return map[string]grpcserver.Rule{testpb.TestService_ServiceDesc.ServiceName: {Scopes: []string{scope}}}
}

func kitVerifier(t telemetry) (auth.Verifier, error) {
	if t.fixed != "" {
		checkout := auth.Principal{Subject: "checkout", Kind: auth.KindService, Scopes: []string{scope}}
		return auth.VerifierFunc(func(_ context.Context, token string) (auth.Principal, error) {
			if token != t.fixed {
				return auth.Principal{}, auth.ErrInvalidToken
			}
			return checkout, nil
		}), nil
	}
	key, err := signingKey()
	if err != nil {
		return nil, err
	}
	return jwt.NewVerifier(&jwt.VerifierOptions{
		Keys: []jwt.Key{key}, Issuer: issuerName, Audience: audience, Leeway: leeway,
	})
}

// kitServer is the kit as its documentation shows it.
func kitServer(t telemetry) (func(context.Context, net.Listener) error, error) {
	verifier, err := kitVerifier(t)
	if err != nil {
		return nil, err
	}
	s := grpcserver.New(&grpcserver.Options{
		Verifier: verifier, Rules: rules(),
		Logger: logging.New(t.logs, nil), TracerProvider: t.tracer, Registerer: t.metrics,
	})
	testpb.RegisterTestServiceServer(s, orders{})
	return s.Serve, nil
}

// kitInterceptors is the kit inside somebody's own grpc.Server.
func kitInterceptors(t telemetry) (func(context.Context, net.Listener) error, error) {
	verifier, err := kitVerifier(t)
	if err != nil {
		return nil, err
	}
	observe := grpcserver.Observe(&grpcserver.ObserveOptions{
		Logger: logging.New(t.logs, nil), TracerProvider: t.tracer, Registerer: t.metrics,
	})
	authenticate := grpcserver.Authenticate(verifier, &grpcserver.AuthOptions{Rules: rules()})
	return plain(
		grpc.ChainUnaryInterceptor(observe.Unary, authenticate.Unary),
		grpc.ChainStreamInterceptor(observe.Stream, authenticate.Stream),
	), nil
}
