package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/mainstay-go/mainstay/benchmarks/bench"
)

const orderClients = 4

func measureOrder(ctx context.Context, w io.Writer, e effort, token, weak string) error {
	kit, err := kitHandler(discarded())
	if err != nil {
		return err
	}
	hand, err := byHandHandler(discarded())
	if err != nil {
		return err
	}
	if err := checkHandlers(kit, hand, token, weak); err != nil {
		return fmt.Errorf("the sides do not answer alike: %w", err)
	}
	var rows []bench.Row
	for _, c := range []struct{ name, traceparent string }{{"sampled", sampled}, {"unsampled", unsampled}} {
		k, err := newOrderCaller(kit, token, c.traceparent)
		if err != nil {
			return err
		}
		h, err := newOrderCaller(hand, token, c.traceparent)
		if err != nil {
			return err
		}
		pairs, err := compareCost(k, h, e)
		if err != nil {
			return err
		}
		rows = append(rows, costRows(c.name, pairs, 0.50, 0.50)...)
	}
	pairs, err := orderLoad(ctx, e, token)
	if err != nil {
		return err
	}
	rows = append(rows,
		bench.NewRow("loopback p50", "µs", 0, pairs, func(l load) float64 { return l.p50 }),
		bench.NewRow("loopback p99", "µs", 1.05, pairs, func(l load) float64 { return l.p99 }),
		bench.NewRow("loopback throughput", "requests/s", 0, pairs, func(l load) float64 { return l.rate }))
	fmt.Fprintf(w, "\nPOST /customers/{customer}/orders, %d clients over loopback\n\n", orderClients)
	return bench.Report(w, "mainstay", "by hand", rows...)
}

// compareCost measures the two in turn. The first pair warms both up, and is not counted.
func compareCost(kit, peer *caller, e effort) ([]bench.Pair[cost], error) {
	measure := func(c *caller) func() (cost, error) { return func() (cost, error) { return c.cost(e.costTime) } }
	pairs, err := bench.Interleave(e.costPairs+1, measure(kit), measure(peer))
	if err != nil {
		return nil, err
	}
	return pairs[1:], nil
}

// costRows are the figures of a call, with targets for the time and for both others, zero for none.
func costRows(name string, pairs []bench.Pair[cost], wantTime, wantMemory float64) []bench.Row {
	return []bench.Row{
		bench.NewRow("in-process CPU, "+name, "ns", wantTime, pairs, func(c cost) float64 { return c.ns }),
		bench.NewRow("allocations, "+name, "", wantMemory, pairs, func(c cost) float64 { return c.allocs }),
		bench.NewRow("allocated, "+name, "bytes", wantMemory, pairs, func(c cost) float64 { return c.bytes }),
	}
}

func orderLoad(ctx context.Context, e effort, token string) (pairs []bench.Pair[load], err error) {
	kit, err := start(ctx, discarded(), kitServer(kitMux()))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, kit.stop()) }()
	hand, err := start(ctx, discarded(), byHandServer(byHandHandler))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, hand.stop()) }()
	request := func(addr string) (*http.Request, error) { return newRequest("http://"+addr, token, sampled) }
	if err := checkServers(ctx, kit.addr, hand.addr, http.StatusCreated, request); err != nil {
		return nil, fmt.Errorf("the sides do not answer alike over a connection: %w", err)
	}
	toKit, err := dial(ctx, kit.addr, orderClients, http.StatusCreated, request)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, toKit.close()) }()
	toHand, err := dial(ctx, hand.addr, orderClients, http.StatusCreated, request)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, toHand.close()) }()
	measure := func(cs connections) func() (load, error) { return func() (load, error) { return cs.load(e.loadTime) } }
	pairs, err = bench.Interleave(e.loadPairs+1, measure(toKit), measure(toHand))
	if err != nil {
		return nil, err
	}
	return pairs[1:], nil // as above
}
