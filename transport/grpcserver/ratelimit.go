package grpcserver

import (
	"context"
	"net/netip"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/mainstay-go/mainstay/transport"
)

// Limiter says whether one more call of a key may pass, as *resilience.Limiter does.
type Limiter interface {
	// Take takes one from the key's quota. It returns how many are left and 0, or, where none was there, 0 and how long
	// until one is. It must be safe for concurrent use.
	Take(ctx context.Context, key string) (left int, wait time.Duration)
}

// RateLimitOptions say who shares a quota.
type RateLimitOptions struct {
	// Key names whom a call counts for, by its context and full method name ("/package.Service/Method"); "" passes
	// without being counted. For callers that are authenticated take the subject. Nil means the address of the
	// connection, of IPv6 the /64 (RFC 6177), which behind a proxy is the proxy's: everybody shares one quota. A call
	// that has none, as over a unix socket, then passes.
	Key func(ctx context.Context, method string) string
}

// RateLimit returns an interceptor that refuses a call where l has nothing left for its key: ResourceExhausted, with
// when to come again as google.rpc.RetryInfo, in the metadata "retry-after" (seconds), and for libraries that repeat
// calls by themselves in "grpc-retry-pushback-ms": never, where the call's time ends before that. A stream counts once,
// however many messages it has. The health service is never limited.
//
// In a [Server] it belongs into Options.Interceptors, where the caller is known, or, by address, into
// Options.BeforeAuth. Nil options are defaults. l must not be nil.
func RateLimit(l Limiter, o *RateLimitOptions) Interceptor {
	limit := rateLimit{limiter: l, key: peerKey}
	if o != nil && o.Key != nil {
		limit.key = o.Key
	}
	return Interceptor{
		Unary: func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := limit.take(ctx, info.FullMethod); err != nil {
				return nil, err
			}
			return next(ctx, req)
		},
		Stream: func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if err := limit.take(ss.Context(), info.FullMethod); err != nil {
				return err
			}
			return next(srv, ss)
		},
	}
}

type rateLimit struct {
	limiter Limiter
	key     func(ctx context.Context, method string) string
}

func (l *rateLimit) take(ctx context.Context, full string) error {
	if isHealth(full) {
		return nil
	}
	key := l.key(ctx, full)
	if key == "" {
		return nil
	}
	_, wait := l.limiter.Take(ctx, key)
	if wait <= 0 {
		return nil
	}
	return decline(ctx, &transport.Error{Code: transport.ResourceExhausted, Message: "too many calls", Delay: wait})
}

// peerKey is the address of the connection: of IPv6 the /64, which is what one customer has at the least, or a client
// would have as many keys as it likes.
func peerKey(ctx context.Context, _ string) string {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return ""
	}
	at, err := netip.ParseAddrPort(p.Addr.String())
	if err != nil {
		return ""
	}
	addr := at.Addr().Unmap()
	if addr.Is6() {
		prefix, _ := addr.Prefix(64) // fails for no IPv6 address
		return prefix.String()
	}
	return addr.String()
}
