package grpcserver

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/mainstay-go/mainstay/transport"
)

const defaultRetryAfter = time.Second

// Shedder says whether there is room for one more call, as *resilience.Shedder does. It must be safe for concurrent
// use.
type Shedder interface {
	// Enter reports whether there is, for one of that priority: 0 is normal, less is less important.
	Enter(priority int) bool
	// Leave is called once for each Enter that said yes, with how long the call took and whether it failed for want of
	// room or time further down (Unavailable or DeadlineExceeded).
	Leave(took time.Duration, failed bool)
}

// ShedOptions say what is refused first, and what never.
type ShedOptions struct {
	// Priority of a call, by its context and full method name ("/package.Service/Method"). Nil means that all have 0.
	Priority func(ctx context.Context, method string) int
	// Never names calls that pass whatever the load, and take no room, beside those of the health and the reflection
	// service: a process that sheds its probes is killed for being busy. Nil means no others.
	Never func(ctx context.Context, method string) bool
	// RetryAfter is what a refused caller is told to wait. Zero means 1s; negative tells nothing.
	RetryAfter time.Duration
}

// Shed returns an interceptor that refuses a call where s has no room: Unavailable, with when to come again as
// [RateLimit] has it. A refusal costs little, and an answer that comes after its caller has left costs as much as any.
// Put it outside of what costs most, which is inside of [Observe], so that what is shed is counted: in a [Server] into
// Options.BeforeAuth. Nil options are defaults. s must not be nil.
//
// A stream takes room for as long as it lasts.
func Shed(s Shedder, o *ShedOptions) Interceptor {
	shed := shedder{shedder: s, delay: defaultRetryAfter}
	if o != nil {
		shed.priority, shed.never = o.Priority, o.Never
		if o.RetryAfter != 0 {
			shed.delay = max(o.RetryAfter, 0)
		}
	}
	return Interceptor{Unary: shed.unary, Stream: shed.stream}
}

type shedder struct {
	shedder  Shedder
	priority func(ctx context.Context, method string) int
	never    func(ctx context.Context, method string) bool
	delay    time.Duration
}

func (s *shedder) unary(
	ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler,
) (res any, err error) {
	if s.exempts(ctx, info.FullMethod) {
		return next(ctx, req)
	}
	if err := s.enter(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	begin, failed := time.Now(), true // by a panic
	defer func() { s.shedder.Leave(time.Since(begin), failed) }()
	res, err = next(ctx, req)
	failed = overloaded(ctx, err)
	return res, err
}

func (s *shedder) stream(
	srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler,
) error {
	ctx := ss.Context()
	if s.exempts(ctx, info.FullMethod) {
		return next(srv, ss)
	}
	if err := s.enter(ctx, info.FullMethod); err != nil {
		return err
	}
	begin, failed := time.Now(), true // as above
	defer func() { s.shedder.Leave(time.Since(begin), failed) }()
	err := next(srv, ss)
	failed = overloaded(ctx, err)
	return err
}

func (s *shedder) exempts(ctx context.Context, full string) bool {
	return isHealth(full) || isReflection(full) || s.never != nil && s.never(ctx, full)
}

// enter takes room, or returns why there is none.
func (s *shedder) enter(ctx context.Context, full string) error {
	priority := 0
	if s.priority != nil {
		priority = s.priority(ctx, full)
	}
	if s.shedder.Enter(priority) {
		return nil
	}
	return decline(ctx, &transport.Error{
		Code: transport.Unavailable, Message: "overloaded, try again", Delay: s.delay,
	})
}

// overloaded reports whether a call failed for want of room or time.
func overloaded(ctx context.Context, err error) bool {
	if err == nil {
		return false
	}
	code := statusOf(ctx, err, false).Code()
	return code == codes.Unavailable || code == codes.DeadlineExceeded
}
