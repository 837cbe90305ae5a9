package resilience_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/mainstay-go/mainstay/resilience"
)

// One policy per dependency, shared by all its callers. The second attempt succeeds, and the caller never knows.
func ExampleDo() {
	inventory := resilience.New("inventory", &resilience.Options{
		Timeout: 2 * time.Second,
		Retry:   resilience.RetryOptions{MinBackoff: time.Millisecond},
	})

	attempt := 0
	stock, err := resilience.Do(context.Background(), inventory, func(context.Context) (int, error) {
		if attempt++; attempt == 1 {
			return 0, errors.New("connection reset")
		}
		return 7, nil
	})
	fmt.Println(stock, err, "after", attempt, "attempts")
	// Output: 7 <nil> after 2 attempts
}

// A dependency that answers "no" works: its answer is neither retried nor held against it.
func ExamplePermanent() {
	users := resilience.New("users", nil)
	_, err := resilience.Do(context.Background(), users, func(context.Context) (string, error) {
		fmt.Println("asked")
		return "", resilience.Permanent(errors.New("no such user"))
	})
	fmt.Println(err)
	// Output:
	// asked
	// no such user
}

// While the breaker is open, the dependency is left alone and callers get their answer at once.
func ExamplePolicy_WithoutRetry() {
	payments := resilience.New("payments", &resilience.Options{
		Breaker: resilience.BreakerOptions{ConsecutiveFailures: 2, OpenFor: time.Minute},
		Logger:  slog.New(slog.DiscardHandler),
	})
	// Nobody wants to be charged twice.
	charge := payments.WithoutRetry()

	for range 3 {
		_, err := resilience.Do(context.Background(), charge, func(context.Context) (struct{}, error) {
			fmt.Println("charging")
			return struct{}{}, errors.New("bad gateway")
		})
		fmt.Println(errors.Is(err, resilience.ErrOpen), err)
	}
	// Output:
	// charging
	// false bad gateway
	// charging
	// false bad gateway
	// true resilience: policy "payments": not called: circuit breaker open
}

func ExampleHedgeOptions() {
	search := resilience.New("search", &resilience.Options{Hedge: &resilience.HedgeOptions{Quantile: 0.95}})
	// Reads alone: the function may run twice at the same time.
	hits, err := resilience.Do(context.Background(), search, func(context.Context) (int, error) { return 42, nil })
	fmt.Println(hits, err)
	// Output: 42 <nil>
}
