package grpcserver

import (
	"log/slog"
	"time"

	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport/internal/rpc"
)

// logs reports whether a call with this outcome gets a line.
func (o *observer) logs(out *outcome) bool {
	switch {
	case out.failed:
		return true
	case o.logEvery < 0:
		return false
	case o.logEvery > 1:
		return (out.count.Add(1)-1)%uint64(o.logEvery) == 0
	}
	return true
}

// log writes the line. It makes the record itself: a logger would look up who called it, which is always this line.
func (c *call) log(out *outcome, took time.Duration, cause error) {
	if !out.log.Enabled(c.ctx, out.level) {
		return
	}
	r := slog.NewRecord(c.start.Add(took), out.level, "call", 0)
	r.AddAttrs(
		slog.String(correlation.Attr, correlation.FromContext(c.ctx)),
		slog.Duration("duration", took))
	if c.stream != nil {
		r.AddAttrs(
			slog.Int64("received", c.stream.received.Load()),
			slog.Int64("sent", c.stream.sent.Load()))
	}
	if c.original != "" {
		r.AddAttrs(slog.String("method_original", rpc.Original(c.original)))
	}
	if cause != nil {
		r.AddAttrs(slog.String("error", cause.Error()))
	}
	if p := c.panicked; p != nil {
		r.AddAttrs(slog.Any("panic", p.value), slog.String("stack", p.stack))
	}
	_ = out.log.Handle(c.ctx, r) // as slog's own loggers do: there is nowhere to say that the log is broken
}
