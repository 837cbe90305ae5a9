// Package resilience keeps one slow or broken dependency from taking its callers along: one [Policy] per dependency,
// which bounds, retries and stops calls in one fixed order.
//
//	payments := resilience.New("payments", nil)
//	receipt, err := resilience.Do(ctx, payments, func(ctx context.Context) (Receipt, error) {
//		return client.Charge(ctx, order)
//	})
//
// # The order of the stages
//
// Outermost first:
//
//  1. the total time-out (Options.Timeout) bounds all attempts and the waits between them;
//  2. retry (Options.Retry) makes another attempt after a failure, after a wait with jitter, as far as the budget goes;
//  3. hedge (Options.Hedge) sends a second try beside one that takes long: off unless asked for;
//  4. the circuit breaker (Options.Breaker) sees every try, and refuses them while it is open;
//  5. the time-out per attempt (Options.AttemptTimeout) bounds one call of the function.
//
// So a retried call counts once per try with the breaker, and a breaker that opens ends the retrying. Two tries beside
// each other are one attempt: it failed when both did, and the slower one, which is cancelled, counts for nothing.
//
// # What counts as what
//
// Every attempt ends as one [Outcome]: Success, Failure (counted by the breaker, and retried) or Ignored (neither). By
// default a caller that cancels is ignored, an error that says it is not worth another attempt (see [IsPermanent]) is a
// success of the dependency, which answered after all, and every other error is a failure, the policy's own time-outs
// among them. So is a caller's deadline that passes during an attempt: a dependency that hangs has to be noticed
// also where its callers bring the deadlines. Options.Classify replaces all of this but the first rule.
//
// # What it promises
//
//   - When the caller's context ends, nothing waits any longer, and the error matches the context's error and the last
//     error of the dependency alike.
//   - No wait is begun that the deadline would cut off.
//   - An attempt that panics, or ends its goroutine, is a failure; the panic goes on to the caller.
//   - A call that passes allocates nothing, but for the context of a time-out that is nearer than the caller's deadline,
//     and for hedging.
//   - The function runs on the caller's goroutine, but for a second try, and no goroutine is left behind.
//   - Retries are at most a fifth of the calls, and one a second, apart from a burst of ten (RetryOptions.MaxRatio).
//
// # For servers
//
// [Limiter] bounds how fast each caller may come, [Shedder] how many may be served at once. Neither waits. They stand
// alone: httpserver takes either by its method, not by its type.
//
// # What it does not
//
// A time-out ends the function's context; it does not abandon a function that ignores its context, since the result
// would be lost and the goroutine leaked. Whether a call may be sent twice is for the caller to know: use
// [Policy.WithoutRetry] for one that may not. State is per process; replicas learn of an outage each for itself.
package resilience
