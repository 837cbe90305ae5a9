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

// fault is what happens to the broker, and when.
type fault struct {
	at float64 // part of the span
	do func(context.Context) error
}

// disturb stops the broker twice and restarts it in between.
func (t *trial) disturb(ctx context.Context) error {
	for _, f := range []fault{{0.2, t.stall}, {0.4, t.restart}, {0.7, t.stall}} {
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

func (t *trial) stall(ctx context.Context) error {
	if err := t.broker.stop(); err != nil {
		return fmt.Errorf("stop the broker: %w", err)
	}
	waited := sleep(ctx, t.plan.stall)
	if err := t.broker.cont(); err != nil {
		return fmt.Errorf("continue the broker: %w", err)
	}
	t.stalls++
	return waited
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
