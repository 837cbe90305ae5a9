package resilience_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/resilience"
)

type asksToWait time.Duration

func (a asksToWait) Error() string             { return "busy" }
func (a asksToWait) RetryAfter() time.Duration { return time.Duration(a) }

func TestMarks(t *testing.T) {
	if got := resilience.Permanent(nil); got != nil {
		t.Errorf("Permanent(nil): got %v, want nil", got)
	}
	if got := resilience.RetryAfter(time.Second, nil); got != nil {
		t.Errorf("RetryAfter(1s, nil): got %v, want nil", got)
	}
	for _, marked := range []error{resilience.Permanent(errDown), resilience.RetryAfter(time.Second, errDown)} {
		if !errors.Is(marked, errDown) || marked.Error() != errDown.Error() {
			t.Errorf("the mark hides its error: got %v, want %v", marked, errDown)
		}
	}
	const s = time.Second
	for _, c := range []struct {
		name      string
		err       error
		permanent bool
		delay     time.Duration
		asks      bool
	}{
		{"Nil", nil, false, 0, false},
		{"Plain", errDown, false, 0, false},
		{"Permanent", resilience.Permanent(errDown), true, 0, false},
		{"PermanentWrapped", fmt.Errorf("x: %w", resilience.Permanent(errDown)), true, 0, false},
		{"SaysItself", fmt.Errorf("x: %w", refusal{}), true, 0, false},
		{"RetryAfter", resilience.RetryAfter(s, errDown), false, s, true},
		{"RetryAfterZero", resilience.RetryAfter(0, errDown), false, 0, true},
		{"RetryAfterNegative", resilience.RetryAfter(-s, errDown), false, 0, true},
		{"AsksItself", fmt.Errorf("x: %w", asksToWait(s)), false, s, true},
		{"AsksForNothing", asksToWait(0), false, 0, false},
		{"PermanentOutside", resilience.Permanent(resilience.RetryAfter(s, errDown)), true, s, true},
		{"RetryAfterOutside", resilience.RetryAfter(s, resilience.Permanent(errDown)), false, s, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := resilience.IsPermanent(c.err); got != c.permanent {
				t.Errorf("IsPermanent: got %v, want %v", got, c.permanent)
			}
			delay, asks := resilience.RetryDelay(c.err)
			if delay != c.delay || asks != c.asks {
				t.Errorf("RetryDelay: got %v, %v; want %v, %v", delay, asks, c.delay, c.asks)
			}
		})
	}
}
