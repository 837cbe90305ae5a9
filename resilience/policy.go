package resilience

import (
	"cmp"
	"log/slog"
	"time"
)

// Defaults of [Options]: three attempts of 10s fit into the total, and a caller that waits for a person gives up at
// about that time.
const (
	defaultTimeout        = 30 * time.Second
	defaultAttemptTimeout = 10 * time.Second
	defaultMaxAttempts    = 3
	defaultMinBackoff     = 100 * time.Millisecond
	defaultMaxBackoff     = 2 * time.Second
	defaultMaxRetryAfter  = 30 * time.Second
	defaultRetryRatio     = 0.2
	retryTrickle          = 1 // a second
	defaultFailures       = 5
	defaultOpenFor        = 5 * time.Second
	defaultProbes         = 1
	maxProbes             = 1 << 16 // far above sense, below the overflow of a counter
)

// Options of a [Policy]. Nil options are the defaults of every field.
type Options struct {
	// Timeout bounds one Do: all attempts and the waits between them. Zero means 30s; negative means none, so that
	// only the caller's context bounds it.
	Timeout time.Duration
	// AttemptTimeout bounds one attempt. Zero means 10s; negative means none.
	AttemptTimeout time.Duration
	// Retry says how often a failed attempt is repeated, and how long after. Its zero value means the defaults of its
	// fields.
	Retry RetryOptions
	// Hedge says when a second try is sent beside one that takes long. Nil means never: the function would run twice at
	// once, and the dependency do its work twice, which only their authors can allow.
	Hedge *HedgeOptions
	// Breaker says when the policy stops calling a dependency that fails. Its zero value means the defaults of its
	// fields.
	Breaker BreakerOptions
	// Classify says what an error, never nil, counts as. It is not asked about calls that their caller cancelled:
	// those are always Ignored. Nil means the default that the package comment describes. It must be safe for
	// concurrent use.
	Classify func(error) Outcome
	// Logger gets one line for each change of the breaker's state. Nil means slog.Default().
	Logger *slog.Logger
}

// RetryOptions say how a [Policy] repeats failed attempts.
type RetryOptions struct {
	// MaxAttempts counts the first one too. Zero means 3; negative means 1, which is no retry.
	MaxAttempts int
	// MinBackoff is the shortest wait. The wait after the n-th attempt is drawn evenly between it and
	// MinBackoff*2^n (full jitter over a floor, see "Exponential Backoff And Jitter", AWS Architecture Blog, 2015),
	// so that callers that failed together do not come back together. Zero means 100ms; negative means no wait.
	MinBackoff time.Duration
	// MaxBackoff bounds every wait, MinBackoff too. Zero means 2s; negative means no wait.
	MaxBackoff time.Duration
	// MaxRetryAfter bounds how long the dependency may ask its caller to wait (see [RetryDelay]). What it asks for is
	// waited in addition to the back-off; an error that asks for more than MaxRetryAfter is returned at once, since
	// coming earlier would only add to its load. Zero means 30s; negative means no bound.
	MaxRetryAfter time.Duration
	// MaxRatio bounds retries to that share of the calls, and one a second, apart from a burst of ten: an outage is not
	// multiplied by MaxAttempts. A call that would exceed it ends with [ErrRetryBudget]. Zero means 0.2; negative means
	// no bound, more than 10 means 10.
	MaxRatio float64
}

// BreakerOptions say when a [Policy] refuses calls. An open breaker refuses all of them with [ErrOpen] for OpenFor; then
// it is half open: it admits HalfOpenProbes calls and closes when all have succeeded, or opens again when one fails.
type BreakerOptions struct {
	// ConsecutiveFailures open the breaker. Zero means 5; negative means that there is no breaker.
	ConsecutiveFailures int
	// OpenFor is how long the breaker stays open before it lets a probe through. Zero and negative mean 5s.
	OpenFor time.Duration
	// HalfOpenProbes is how many calls pass while half open. Zero and negative mean 1; the most is 65536.
	HalfOpenProbes int
}

// Policy guards the calls to one dependency. Share one Policy among all callers of that dependency in the process: its
// breaker learns from all of them. It is safe for concurrent use.
type Policy struct {
	name           string
	timeout        time.Duration // 0 is none, here and below
	attemptTimeout time.Duration
	retry          RetryOptions
	budget         *allowance // of retries; nil is no bound
	hedge          *hedge     // nil is none
	breaker        *breaker   // nil is none
	classifier     func(error) Outcome
}

// New returns the policy of the dependency called name, which is what errors and log lines call it.
func New(name string, o *Options) *Policy {
	if o == nil {
		o = &Options{}
	}
	p := &Policy{
		name:           name,
		timeout:        orDefault(o.Timeout, defaultTimeout),
		attemptTimeout: orDefault(o.AttemptTimeout, defaultAttemptTimeout),
		retry: RetryOptions{
			MaxAttempts:   max(orDefault(o.Retry.MaxAttempts, defaultMaxAttempts), 1),
			MinBackoff:    orDefault(o.Retry.MinBackoff, defaultMinBackoff),
			MaxBackoff:    orDefault(o.Retry.MaxBackoff, defaultMaxBackoff),
			MaxRetryAfter: orDefault(o.Retry.MaxRetryAfter, defaultMaxRetryAfter),
		},
		hedge:      newHedge(o.Hedge),
		classifier: o.Classify,
	}
	if ratio := o.Retry.MaxRatio; ratio >= 0 {
		p.budget = newAllowance(cmp.Or(ratio, defaultRetryRatio), retryTrickle)
	}
	if p.classifier == nil {
		p.classifier = classify
	}
	if o.Breaker.ConsecutiveFailures >= 0 {
		p.breaker = newBreaker(name, o.Breaker, o.Logger)
	}
	return p
}

// WithoutRetry returns a policy that makes one attempt of one try, and shares everything else with p, the breaker above
// all. It is for calls that must not be sent twice, such as a POST without an idempotency key. Make it once, beside p.
func (p *Policy) WithoutRetry() *Policy {
	once := *p.WithoutHedge()
	once.retry.MaxAttempts = 1
	return &once
}

// WithoutHedge returns a policy that never has two tries under way, and shares everything else with p. It is for calls
// that may be repeated, but not at the same time. Make it once, beside p.
func (p *Policy) WithoutHedge() *Policy {
	single := *p
	single.hedge = nil
	return &single
}

// orDefault returns def for zero, and zero, which stands for none from here on, for a negative v.
func orDefault[N int | time.Duration](v, def N) N {
	if v == 0 {
		return def
	}
	return max(v, 0)
}
