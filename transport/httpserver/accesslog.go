package httpserver

import (
	"context"
	"log/slog"
	"time"

	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// logs reports whether the request has an access log line.
func (o *observer) logs(x *exchange, out *outcome) bool {
	switch {
	case out.level >= slog.LevelError:
		return true
	case x.quiet || o.logEvery < 0:
		return false
	case o.logEvery > 1:
		return (out.count.Add(1)-1)%uint64(o.logEvery) == 0
	}
	return true
}

// log writes the line. It makes the record itself: a logger would look up who called it, which is always this line, at
// a fifth of the cost of all. Five attributes beside those of the outcome are what a record has room for.
func (x *exchange) log(ctx context.Context, out *outcome, took time.Duration, cause error) {
	if !out.log.Enabled(ctx, out.level) {
		return
	}
	r := slog.NewRecord(x.start.Add(took), out.level, "request", 0)
	r.AddAttrs(
		slog.String(correlation.Attr, correlation.FromContext(ctx)),
		slog.String("path", x.req.URL.Path),
		slog.Int64("bytes", x.recorder.bytes),
		slog.Duration("duration", took))
	if cause != nil {
		r.AddAttrs(slog.String("error", cause.Error()))
	}
	if p := x.recorder.panicked; p != nil {
		r.AddAttrs(slog.Any("panic", p.value), slog.String("stack", p.stack))
	}
	_ = out.log.Handle(ctx, r) // as slog's own loggers do: there is nowhere to say that the log is broken
}
