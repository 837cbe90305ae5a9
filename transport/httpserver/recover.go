package httpserver

import (
	"net/http"
	"runtime/debug"

	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/internal/problem"
)

// panicInfo is a handler's panic, for the log.
type panicInfo struct {
	value any
	stack string
}

// handlePanic answers for a handler that did not return, or notes that it can no more. v is nil after runtime.Goexit.
// http.ErrAbortHandler is a handler's wish and no fault: it is not logged as a panic.
func (x *exchange) handlePanic(v any) {
	if v != http.ErrAbortHandler { //nolint:errorlint // net/http compares it the same way
		x.recorder.panicked = &panicInfo{value: v, stack: string(debug.Stack())}
	}
	// What a handler took over is its own: nothing can be said there.
	if x.recorder.status == 0 && !x.recorder.hijacked && v != http.ErrAbortHandler { //nolint:errorlint // as above
		problem.Write(&x.recorder, x.req, http.StatusInternalServerError,
			transport.Errorf(transport.Internal, "internal error"))
		return
	}
	x.recorder.broken = true
}
