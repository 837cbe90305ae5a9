package httpserver

import (
	"net/http"
	"time"

	"github.com/mainstay-go/mainstay/transport"
)

const defaultRetryAfter = time.Second

// Shedder says whether there is room for one more request, as *resilience.Shedder does. It must be safe for concurrent
// use.
type Shedder interface {
	// Enter reports whether there is, for one of that priority: 0 is normal, less is less important.
	Enter(priority int) bool
	// Leave is called once for each Enter that said yes, with how long the request took and whether it failed for want of
	// room or time further down (503 or 504).
	Leave(took time.Duration, failed bool)
}

// ShedOptions say what is refused first, and what never.
type ShedOptions struct {
	// Priority of a request. Nil means that all have 0.
	Priority func(*http.Request) int
	// Never names requests that pass whatever the load, and take no room, beside those that reach a handler of package
	// health through an http.ServeMux: a process that sheds its probes is killed for being busy. Nil means no others.
	Never func(*http.Request) bool
	// RetryAfter is what a refused caller is told to wait, in whole seconds, rounded up. Zero means 1s; negative tells
	// nothing.
	RetryAfter time.Duration
}

// Shed returns a middleware that answers 503 with Retry-After where s has no room: a refusal costs little, and an answer
// that comes after its caller has left costs as much as any. Put it outside of what costs most, which is inside of
// [Observe], so that what is shed is counted. Nil options are defaults. s must not be nil.
//
// An event stream takes room for as long as it lasts.
func Shed(s Shedder, o *ShedOptions) func(http.Handler) http.Handler {
	shed := shedder{shedder: s, delay: defaultRetryAfter}
	if o != nil {
		shed.priority, shed.never = o.Priority, o.Never
		if o.RetryAfter != 0 {
			shed.delay = max(o.RetryAfter, 0)
		}
	}
	return func(next http.Handler) http.Handler { return layer{next, shed.serve} }
}

type shedder struct {
	shedder  Shedder
	priority func(*http.Request) int
	never    func(*http.Request) bool
	delay    time.Duration
}

func (s *shedder) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if s.never != nil && s.never(r) {
		next.ServeHTTP(w, r)
		return
	}
	priority := 0
	if s.priority != nil {
		priority = s.priority(r)
	}
	switch {
	case s.shedder.Enter(priority):
		s.enter(w, r, next)
	case isProbe(next, r): // asked only now: it routes the request once more
		next.ServeHTTP(w, r)
	default:
		decline(w, r, http.StatusServiceUnavailable, &transport.Error{
			Code: transport.Unavailable, Message: "overloaded, try again", Delay: s.delay,
		})
	}
}

func (s *shedder) enter(w http.ResponseWriter, r *http.Request, next http.Handler) {
	begin := time.Now()
	rec := &recorder{w: w}
	failed := true // by a panic
	defer func() { s.shedder.Leave(time.Since(begin), failed) }()
	next.ServeHTTP(rec.wrap(), r)
	failed = rec.status == http.StatusServiceUnavailable || rec.status == http.StatusGatewayTimeout
}

// isProbe reports whether r would reach a handler that says that it is never shed.
func isProbe(h http.Handler, r *http.Request) bool {
	found, _ := reach(h, r)
	probe, ok := found.(interface{ NeverShed() bool })
	return ok && probe.NeverShed()
}
