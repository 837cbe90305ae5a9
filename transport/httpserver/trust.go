package httpserver

import (
	"context"
	"net/http"

	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/transport"
)

// adopt takes what a trusted caller sent of itself, or makes it anew: the correlation ID, and the trace that the span
// belongs to.
func (o *observer) adopt(x *exchange, r *http.Request) context.Context {
	trusted := o.trust == nil || o.trust(r)
	if trusted {
		x.recorder.echo[0] = correlation.FromHeader(r.Header)
	} else {
		x.recorder.echo[0] = correlation.New()
	}
	ctx := correlation.NewContext(&x.state, x.recorder.echo[0])
	// Without room for more: what a handler adds is not written here.
	x.recorder.w.Header()[correlation.Header] = x.recorder.echo[:1:1]
	x.quiet = o.quiet != nil && o.quiet(r)
	return o.startSpan(ctx, x, r, trusted)
}

func forced(h http.Header) bool {
	v := h[transport.HeaderTraceSample]
	return len(v) == 1 && v[0] == "1"
}
