package grpcclient

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/transport"
)

// tokens gives calls their credential.
type tokens struct {
	source   auth.TokenSource // nil for none
	audience string
	insecure bool
}

// attach returns a copy of opts with the token. It fetches the token itself, so that the reason why there is none
// stays an error that can be matched.
func (t *tokens) attach(ctx context.Context, opts []grpc.CallOption) ([]grpc.CallOption, error) {
	opts = opts[:len(opts):len(opts)] // they are the caller's
	if t.source == nil {
		return opts, nil
	}
	token, err := t.source.Token(ctx, t.audience)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, transport.NewError(transport.Unavailable, "not available now",
			fmt.Errorf("grpcclient: token for %q: %w", t.audience, err))
	}
	return append(opts, grpc.PerRPCCredentials(bearer{token, t.insecure})), nil
}

// bearer is a token. The library refuses to send it over a connection that is not secure, unless insecure says so.
type bearer struct {
	token    string
	insecure bool
}

// GetRequestMetadata returns the token as metadata.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.token}, nil
}

// RequireTransportSecurity says what kind of connection it takes.
func (b bearer) RequireTransportSecurity() bool { return !b.insecure }
