package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// inAttempt runs f as the handler of one message, and then after, once its attempt has ended and before the
// subscription has.
func inAttempt(t *testing.T, o *pubsub.SubscriptionOptions, f func(ctx context.Context), after ...func()) {
	t.Helper()
	b := newBench(t, &mempubsub.Broker{})
	handled := make(chan struct{})
	stop := run(t, b.client.Subscribe("orders", "stock", func(ctx context.Context, _ *pubsub.Message) error {
		defer close(handled)
		f(ctx)
		return nil
	}, o))
	b.publish("orders", &pubsub.Message{ID: "m-1", CorrelationID: "c-1"})
	<-handled
	synctest.Wait()
	for _, f := range after {
		f()
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestAttemptContext holds the context of a handler against what package context says of one.
func TestAttemptContext(t *testing.T) {
	minute := &pubsub.SubscriptionOptions{HandlerTimeout: time.Minute}
	t.Run("CarriesTheMessageAndItsIDs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			inAttempt(t, nil, func(ctx context.Context) {
				for name, ctx := range map[string]context.Context{"itself": ctx, "once waited for": waited(ctx)} {
					got := fmt.Sprint(pubsub.MessageFrom(ctx).ID, correlation.FromContext(ctx), correlation.Cause(ctx))
					if want := "m-1 c-1 m-1"; got != "m-1c-1m-1" {
						t.Errorf("%s: got %q, want %q", name, got, want)
					}
				}
			})
		})
	})
	t.Run("SaysItsDeadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			inAttempt(t, minute, func(ctx context.Context) {
				if got, ok := ctx.Deadline(); !ok || time.Until(got) != time.Minute {
					t.Errorf("got %v, %v, want a minute from now", time.Until(got), ok)
				}
			})
			inAttempt(t, &pubsub.SubscriptionOptions{HandlerTimeout: -1}, func(ctx context.Context) {
				if got, ok := ctx.Deadline(); ok {
					t.Errorf("without a time-out: got %v, want none", got)
				}
			})
		})
	})
	t.Run("EndsAtItsDeadline", func(t *testing.T) {
		for name, first := range map[string]func(context.Context){
			"AskedForItsError": func(ctx context.Context) { _ = ctx.Err() }, "WaitedForBefore": func(ctx context.Context) { ctx.Done() },
		} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					inAttempt(t, minute, func(ctx context.Context) {
						first(ctx)
						time.Sleep(time.Minute - time.Nanosecond)
						if err := ctx.Err(); err != nil {
							t.Errorf("just before: got %v, want none", err)
						}
						time.Sleep(time.Nanosecond)
						synctest.Wait()
						wantEnded(t, ctx, context.DeadlineExceeded)
					})
				})
			})
		}
	})
	t.Run("EndsWithItsAttempt", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for name, watch := range map[string]func(context.Context) context.Context{
				"unwatched": func(ctx context.Context) context.Context { return ctx },
				"watched":   waited,
				"a child":   func(ctx context.Context) context.Context { return correlation.NewContext(ctx, "c-2") },
			} {
				t.Log(name)
				var kept context.Context
				inAttempt(t, minute, func(ctx context.Context) { kept = watch(ctx) },
					func() { wantEnded(t, kept, context.Canceled) })
			}
		})
	})
	t.Run("EndsWithTheDrain", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var cause error
			b := newBench(t, &mempubsub.Broker{})
			stop := run(t, b.client.Subscribe("orders", "stock", func(ctx context.Context, _ *pubsub.Message) error {
				for ctx.Err() == nil { // without ever waiting for its end
					time.Sleep(time.Second)
				}
				cause = context.Cause(ctx)
				return ctx.Err()
			}, &pubsub.SubscriptionOptions{HandlerTimeout: time.Hour, DrainTimeout: 5 * time.Second}))
			b.publish("orders", &pubsub.Message{})
			pass(time.Millisecond)
			began := time.Now()
			err := stop()
			if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > 6*time.Second {
				t.Errorf("Run = %v after %v, want that the handler was cut off after 5s and saw it at its next look", err, took)
			}
			if !errors.Is(cause, context.DeadlineExceeded) {
				t.Errorf("the cause is %v, want that the subscription is stopping", cause)
			}
		})
	})
	t.Run("TakesItsChildrenAlong", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var child context.Context
			told := false
			inAttempt(t, minute, func(ctx context.Context) {
				if first, again := ctx.Done(), ctx.Done(); first != again {
					t.Error("Done is another channel each time")
				}
				before := runtime.NumGoroutine()
				var cancel context.CancelFunc
				child, cancel = context.WithTimeout(ctx, time.Hour)
				t.Cleanup(cancel)
				if after := runtime.NumGoroutine(); after > before {
					t.Errorf("a child takes %d goroutines to end with it, want none", after-before)
				}
				context.AfterFunc(ctx, func() { told = true })
			}, func() {
				wantEnded(t, child, context.Canceled)
				if !told {
					t.Error("AfterFunc was not called")
				}
			})
		})
	})
}

func waited(ctx context.Context) context.Context {
	ctx.Done()
	return ctx
}

func wantEnded(t *testing.T, ctx context.Context, want error) {
	t.Helper()
	if err := ctx.Err(); !errors.Is(err, want) {
		t.Errorf("Err() = %v, want %v", err, want)
	}
	if err := context.Cause(ctx); !errors.Is(err, want) {
		t.Errorf("Cause() = %v, want %v", err, want)
	}
	select {
	case <-ctx.Done():
	default:
		t.Error("Done() is open after its end")
	}
}
