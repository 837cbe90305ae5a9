package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// inAttempt runs f as the handler of one message, and returns when its attempt has ended.
func inAttempt(t *testing.T, o *pubsub.SubscriptionOptions, f func(ctx context.Context)) {
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
			var unwatched, watched, child context.Context
			inAttempt(t, minute, func(ctx context.Context) { unwatched = ctx })
			inAttempt(t, minute, func(ctx context.Context) {
				watched = waited(ctx)
				child = correlation.NewContext(ctx, "c-2")
			})
			for name, ctx := range map[string]context.Context{"unwatched": unwatched, "watched": watched, "a child": child} {
				t.Log(name)
				wantEnded(t, ctx, context.Canceled)
			}
		})
	})
	t.Run("TakesItsChildrenAlong", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var child context.Context
			told := false
			inAttempt(t, minute, func(ctx context.Context) {
				var cancel context.CancelFunc
				child, cancel = context.WithTimeout(ctx, time.Hour)
				t.Cleanup(cancel)
				context.AfterFunc(ctx, func() { told = true })
			})
			synctest.Wait()
			wantEnded(t, child, context.Canceled)
			if !told {
				t.Error("AfterFunc was not called")
			}
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
