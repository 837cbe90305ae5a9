// Package demo puts the shop through what production has in store: 500 orders while services are killed, messages
// come twice and some of them are unreadable. Then it looks into the services' own databases and says whether every
// order had its effect exactly once.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Timeout bounds a whole demo, from the first process to the last line.
const Timeout = 2 * time.Minute

// settleTimeout bounds how long the shop may take, after the last order is accepted, until nothing moves any more.
const settleTimeout = 30 * time.Second

// minOrders has each thing happen at least once: a poisoned order, two crashes with orders around them.
const minOrders = 100

// Options says where and how large.
type Options struct {
	// Services are the names of the services, each of which this program runs when its first argument is that name.
	Services []string
	// Orders is how many are placed, at least 100. One in a hundred is poisoned.
	Orders int
	// Broker and DB are a NATS server and a PostgreSQL server to use. "" is an embedded one and SQLite files.
	Broker, DB string
	// Out gets the report.
	Out io.Writer
}

// Run runs the demo and prints its report. It returns nil when every number adds up. On error the folder with the
// logs, the spans and the databases is kept, and named in the report; after success, and when ctx ends, nothing is left
// behind.
func Run(ctx context.Context, o Options) (err error) {
	if o.Orders < minOrders {
		return fmt.Errorf("demo: %d orders, want at least %d: fewer show nothing", o.Orders, minOrders)
	}
	interrupted := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, Timeout, fmt.Errorf("demo: not done after %v", Timeout))
	defer cancel()
	dir, err := os.MkdirTemp("", "mainstay-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer func() {
		if err != nil && interrupted.Err() == nil {
			fmt.Fprintf(o.Out, "\nKept for you to look into: %s\n", dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	s, err := newStage(ctx, o, dir)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.play(ctx); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// play is the demo itself.
func (s *stage) play(ctx context.Context) error {
	began := time.Now()
	s.say("Six services in six processes, folder %s", s.dir)
	if err := s.fleet.start(ctx); err != nil {
		return err
	}
	s.say("Placing %d orders by %d customers at once, killing inventory at order %d and orders at order %d, "+
		"repeating a tenth of all deliveries, poisoning Mallory's", s.orders, clients, s.orders/3, s.orders*2/3)
	if err := s.load.placeAll(ctx); err != nil {
		return err
	}
	s.say("All accepted after %v. Waiting until nothing moves", time.Since(began).Round(100*time.Millisecond))
	settled := s.settle(ctx)
	verdict, err := s.verdict(ctx)
	if err != nil {
		return errors.Join(settled, err)
	}
	fmt.Fprintln(s.out)
	if err := verdict.print(s.out); err != nil {
		return err
	}
	if !verdict.ok() {
		return errors.Join(errors.New("the numbers do not add up"), settled)
	}
	if settled != nil {
		return settled
	}
	fmt.Fprintln(s.out)
	if err := s.story(ctx); err != nil {
		return err
	}
	s.say("\nDone in %v. Every order had its effect once.", time.Since(began).Round(100*time.Millisecond))
	return nil
}

func (s *stage) say(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

// settle waits until each good order has passed the last service and each bad one is with the dead letters.
func (s *stage) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, settleTimeout, fmt.Errorf("not settled after %v", settleTimeout))
	defer cancel()
	poisoned := poisonedBy(s.load.accepted)
	good := len(s.load.accepted) - len(poisoned)
	return poll(ctx, func() (bool, error) {
		t, err := s.books.count(ctx, s.load.accepted)
		if err != nil {
			return false, err
		}
		dead, _ := s.dead.compare(poisoned)
		return t.paid == good && t.missing["notified"] == 0 && dead == len(poisoned), nil
	})
}

// verdict reads the services' counters, stops the services, and counts what they left in their databases.
func (s *stage) verdict(ctx context.Context) (verdict, error) {
	for name := range s.fleet {
		if err := s.countDuplicates(ctx, name); err != nil {
			return nil, err
		}
	}
	if err := s.fleet.stop(); err != nil {
		return nil, err
	}
	t, err := s.books.count(ctx, s.load.accepted)
	if err != nil {
		return nil, err
	}
	return judge(s.orders, s.load.accepted, t, s.dead, s.duplicates), nil
}
