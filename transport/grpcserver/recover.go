package grpcserver

import (
	"runtime/debug"

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

// sentForPanic tells the caller nothing.
func sentForPanic() *status.Status {
	return rpc.ToStatus(transport.Errorf(transport.Code(codes.Internal), "internal error"))
}
