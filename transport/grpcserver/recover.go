package grpcserver

import (
	"context"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/rpc"
)

// panicInfo is a handler's panic, for the log.
type panicInfo struct {
	value any
	stack string
}

// newPanic is called where v was recovered, so that the stack is that of the panic. v is nil after runtime.Goexit.
func newPanic(v any) *panicInfo { return &panicInfo{value: v, stack: string(debug.Stack())} }

// exited reports whether it was runtime.Goexit, which no recover stops.
func (p *panicInfo) exited() bool { return p != nil && p.value == nil }

// sentForPanic tells the caller nothing.
func sentForPanic() *status.Status {
	return rpc.ToStatus(transport.Errorf(transport.Code(codes.Internal), "internal error"))
}

// abandon answers a call whose goroutine ends before the library can: the caller would wait for ever, and so would a
// drain. The library's streams have the method; where one has not, the call is left to its deadline.
func abandon(ctx context.Context, st *status.Status) {
	s, ok := grpc.ServerTransportStreamFromContext(ctx).(interface{ WriteStatus(*status.Status) error })
	if ok {
		_ = s.WriteStatus(st) // the caller may have left
	}
}
