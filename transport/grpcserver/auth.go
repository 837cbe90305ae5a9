package grpcserver

import (
	"context"
	"errors"
	"maps"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/rpc"
)

// Rule says who may call a method. The zero value is the strictest: verified services only.
type Rule struct {
	// Access is who may call. Zero means transport.InternalOnly.
	Access transport.Access
	// Scopes that the caller's credential must carry, all of them. Nil means none. A public method asks for none.
	Scopes []string
}

// AuthOptions say who may call what.
type AuthOptions struct {
	// Rules by full method name ("/package.Service/Method") or service name ("package.Service"); the method's own
	// rule wins. What has none is for verified services only. Nil means no rules.
	Rules map[string]Rule
}

// Authenticate returns an interceptor that lets a call pass with its caller in auth.FromContext, or refuses it:
// Unauthenticated for a missing or bad bearer token, PermissionDenied where the caller is not whom the rule of the
// method wants, Unavailable where v could not check the token. A bad token is refused on public methods too, so that a
// caller learns of it early. The reason goes to the access log, never to the caller.
//
// The health service is open to anybody. A handler for unknown services is for verified services only, unless a rule
// names the method. [Server] does all of this by itself. v must not be nil.
func Authenticate(v auth.Verifier, o *AuthOptions) Interceptor {
	a := &authenticator{verifier: v}
	if o != nil {
		a.rules = maps.Clone(o.Rules)
	}
	return Interceptor{
		Unary: func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			ctx, err := a.admit(ctx, info.FullMethod)
			if err != nil {
				return nil, err
			}
			return next(ctx, req)
		},
		Stream: func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			ctx, err := a.admit(ss.Context(), info.FullMethod)
			if err != nil {
				return err
			}
			return next(srv, &stream{ServerStream: ss, ctx: ctx})
		},
	}
}

type authenticator struct {
	verifier auth.Verifier
	rules    rules // of a stand-alone interceptor
}

// rules are by full method name or service name.
type rules map[string]Rule

// of returns the rule of a full method name.
func (rs rules) of(full string) Rule {
	if r, ok := rs[full]; ok {
		return r
	}
	return rs[rpc.Service(full)]
}

// admit is check for an interceptor that may stand alone: its error is a status to whoever asks.
func (a *authenticator) admit(ctx context.Context, full string) (context.Context, error) {
	if isHealth(full) {
		return ctx, nil
	}
	ctx, err := a.check(ctx, a.rules.of(full))
	if err != nil {
		return ctx, rpc.Wrap(err, rpc.ToStatus(err))
	}
	return ctx, nil
}

// check returns ctx with the caller, ctx itself for a public call without a token, or why the call is refused.
func (a *authenticator) check(ctx context.Context, rule Rule) (context.Context, *transport.Error) {
	token, err := bearer(metadata.ValueFromIncomingContext(ctx, "authorization"))
	if err != nil {
		return ctx, refusal(ctx, err)
	}
	if token == "" {
		if rule.Access == transport.Public {
			return ctx, nil
		}
		return ctx, refusal(ctx, errNoCredential)
	}
	p, err := a.verifier.Verify(ctx, token)
	if err != nil {
		return ctx, refusal(ctx, err)
	}
	return auth.NewContext(ctx, p), rule.permits(p)
}

// permits holds a verified caller against the rule.
func (r Rule) permits(p auth.Principal) *transport.Error {
	if r.Access == transport.Public {
		return nil
	}
	if r.Access != transport.Authenticated && p.Kind != auth.KindService {
		return transport.Errorf(transport.PermissionDenied, "for services only")
	}
	for _, scope := range r.Scopes {
		if !p.HasScope(scope) {
			return transport.Errorf(transport.PermissionDenied, "the scope %q is missing", scope)
		}
	}
	return nil
}

// These are for the log.
var (
	errNoCredential = errors.New("grpcserver: no bearer token")
	errBadMetadata  = errors.New("grpcserver: malformed or repeated authorization metadata")
)

// bearer returns the token of RFC 6750, "" where there is none: no value, or one of another scheme.
func bearer(values []string) (string, error) {
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 {
		return "", errBadMetadata
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", nil
	}
	if token = strings.TrimLeft(token, " "); token == "" {
		return "", errBadMetadata
	}
	return token, nil
}

// refusal is what the caller is told of err, which stays its cause: always the same for a missing and for a bad
// credential.
func refusal(ctx context.Context, err error) *transport.Error {
	switch {
	case errors.Is(err, errNoCredential), errors.Is(err, errBadMetadata), errors.Is(err, auth.ErrInvalidToken):
		return transport.NewError(transport.Unauthenticated, "valid credentials are required", err)
	case ctx.Err() != nil:
		return transport.AsError(ctx.Err())
	}
	return transport.NewError(transport.Unavailable, "credentials cannot be checked now", err)
}
