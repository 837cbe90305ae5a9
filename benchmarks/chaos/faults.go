package main

import (
	"context"
	"fmt"
	"time"
)

// kill kills, every so often until ctx ends, the consumer that had the latest effect, and starts another. So it waits
// for an effect in between: on a machine where a take-over takes longer than that, the trial goes on.
func (t *trial) kill(ctx context.Context) error {
	for sleep(ctx, t.plan.every) == nil {
		name, err := latestConsumer(ctx, t.db)
		if err != nil && ctx.Err() == nil {
			return err
		}
		killed, err := t.fleet.kill(name)
		if err != nil {
			return err
		}
		if !killed {
			continue
		}
		t.kills.Add(1)
		if err := t.fleet.add(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// fault is something that happens once, at a part of the span or later.
type fault struct {
	at float64
	do func(context.Context) error
}

// disturb stops the broker twice, restarts it in between, and stops a consumer.
func (t *trial) disturb(ctx context.Context) error {
	for _, f := range []fault{{0.2, t.stall}, {0.4, t.restart}, {0.5, t.freeze}, {0.7, t.longStall}} {
		at := t.began.Add(time.Duration(f.at * float64(t.plan.span)))
		if err := sleep(ctx, time.Until(at)); err != nil {
			return err
		}
		if err := f.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// stall makes the broker stand still for longer than leases, sessions and publishers wait.
func (t *trial) stall(ctx context.Context) error { return t.stallFor(ctx, stallTime) }

// longStall makes it for longer than anything else waits for it, acknowledgements for instance.
func (t *trial) longStall(ctx context.Context) error { return t.stallFor(ctx, 3*stallTime) }

func (t *trial) stallFor(ctx context.Context, d time.Duration) error {
	if err := t.broker.stop(); err != nil {
		return fmt.Errorf("stop the broker: %w", err)
	}
	waited := sleep(ctx, d)
	if err := t.broker.cont(); err != nil {
		return fmt.Errorf("continue the broker: %w", err)
	}
	t.stalls++
	return waited
}

// freeze makes the consumer that had the latest effect stand still, for as long as its messages go to another. It may
// be killed meanwhile.
func (t *trial) freeze(ctx context.Context) error {
	for {
		name, err := latestConsumer(ctx, t.db)
		if err != nil {
			return err
		}
		m := t.fleet.find(name)
		if m == nil { // killed, and nobody has had an effect yet
			if err := sleep(ctx, 100*time.Millisecond); err != nil {
				return err
			}
			continue
		}
		if m.cmd.Process.Signal(stopSignal) == nil {
			t.freezes++
		}
		waited := sleep(ctx, stallTime)
		_ = m.cmd.Process.Signal(continueSignal) // that fails where it was killed
		return waited
	}
}

func (t *trial) restart(ctx context.Context) error {
	if !t.kind.keeps() {
		return nil
	}
	if err := t.broker.restart(ctx); err != nil {
		return fmt.Errorf("restart the broker: %w", err)
	}
	t.restarts++
	return nil
}
