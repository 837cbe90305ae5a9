package main

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// variant is a call that all sides must treat alike.
type variant struct {
	name    string
	payload string
	token   func(good, weak string) string
	code    codes.Code
}

func variants() []variant {
	good := func(good, _ string) string { return good }
	return []variant{
		{"the hot call", "tea-earl-grey-100g", good, codes.OK},
		{"no token", "tea", func(string, string) string { return "" }, codes.Unauthenticated},
		{"a forged token", "tea", func(good, _ string) string { return good + "x" }, codes.Unauthenticated},
		{"no scope", "tea", func(_, weak string) string { return weak }, codes.PermissionDenied},
		{"an error", "not found", good, codes.NotFound},
		{"a panic", "panic", good, codes.Internal},
	}
}

// check reports where the sides do not answer alike.
func (s servers) check(ctx context.Context, token string) error {
	for _, side := range []*server{s.kit, s.peers} {
		if err := side.check(ctx, token); err != nil {
			return err
		}
	}
	return nil
}

// check asks every variant; a fixed token, which is no JWT, has none without its scope.
func (s *server) check(ctx context.Context, token string) error {
	weak, err := newToken()
	if err != nil {
		return err
	}
	for _, v := range variants() {
		if v.code == codes.PermissionDenied && token == fixedToken {
			continue
		}
		if err := s.ask(outgoing(ctx, v.token(token, weak), sampled), v); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}
	return nil
}

func (s *server) ask(ctx context.Context, v variant) error {
	var header, trailer metadata.MD
	payload := &testpb.Payload{Body: []byte(v.payload)}
	res, err := s.client.UnaryCall(ctx, &testpb.SimpleRequest{Payload: payload}, grpc.Header(&header), grpc.Trailer(&trailer))
	if got := status.Code(err); got != v.code {
		return fmt.Errorf("%w, want %v", err, v.code)
	}
	// The kit's errors have it in their trailer, since a header keeps the caller's library from retrying.
	if got := metadata.Join(header, trailer).Get("x-correlation-id"); len(got) != 1 || got[0] != correlation {
		return fmt.Errorf("correlation ID %q, want %q", got, correlation)
	}
	if want := (&testpb.SimpleResponse{Payload: payload}); err == nil && !proto.Equal(res, want) {
		return fmt.Errorf("answered %v, want %v", res, want)
	}
	return nil
}
