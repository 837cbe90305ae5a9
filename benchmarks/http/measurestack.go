package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/mainstay-go/mainstay/benchmarks/bench"
)

const (
	stackClients = 16
	// stackAllocations is the most that a request of the stack with a token that was seen before may allocate.
	stackAllocations = 18
)

// build makes a side.
type build func(telemetry) (http.Handler, error)

// contest is one table of the stack: the kit beside one peer.
type contest struct {
	name             string
	peer             string
	kit, other       build
	caller           func(http.Handler, string) (*caller, error)
	wantTime, wantOf float64 // of the ratios of time, and of allocations and bytes; zero for none
}

func contests() []contest {
	return []contest{
		{"one token", "by hand", kitStack, byHandStack, newUserCaller, 0.25, 0},
		{"new tokens", "by hand", kitStack, byHandStack, newStrangersCaller, 0.55, 0},
		{"no token", "by hand", kitObserved, byHandObserved, newUserCaller, 0.35, 0},
		{"one token", "kratos", kitStack, kratosStack, newUserCaller, 0, 0},
		{"one token", "go-zero", kitStack, goZeroStack, newUserCaller, 0, 0},
		{"one token", "bare mux", kitStack, bareStack, newUserCaller, 0, 0},
	}
}

func measureStack(ctx context.Context, w io.Writer, e effort, token string) error {
	if err := checkStacks(token); err != nil {
		return fmt.Errorf("the sides do not answer alike: %w", err)
	}
	for i, c := range contests() {
		pairs, err := c.run(e, token)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", c.peer, c.name, err)
		}
		fmt.Fprintf(w, "\nGET /users/{id}, %s, one trace in ten kept\n\n", c.name)
		if err := bench.Report(w, "mainstay", c.peer, costRows(c.name, pairs, c.wantTime, c.wantOf)...); err != nil {
			return err
		}
		if i == 0 {
			row := bench.NewRow("", "", 0, pairs, func(c cost) float64 { return c.allocs })
			if err := bench.ReportMost(w, "allocations, "+c.name, stackAllocations, row.Ours.Median); err != nil {
				return err
			}
		}
	}
	return measureAdded(ctx, w, e, token)
}

func (c contest) run(e effort, token string) ([]bench.Pair[cost], error) {
	var callers [2]*caller
	for i, side := range []build{c.kit, c.other} {
		h, err := side(oneInTen())
		if err != nil {
			return nil, err
		}
		if callers[i], err = c.caller(h, token); err != nil {
			return nil, err
		}
	}
	return compareCost(callers[0], callers[1], e)
}

// added is a side's load and that of a bare server, measured one right after the other.
type added struct{ full, bare load }

func measureAdded(ctx context.Context, w io.Writer, e effort, token string) (err error) {
	request := func(addr string) (*http.Request, error) { return userRequest("http://"+addr, token) }
	var sides [3]connections
	for i, newServer := range []func(telemetry) (server, error){
		kitServer(userMux()), byHandServer(byHandStack), byHandServer(bareStack),
	} {
		s, err := start(ctx, oneInTen(), newServer)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.stop()) }()
		if sides[i], err = dial(ctx, s.addr, stackClients, http.StatusOK, request); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, sides[i].close()) }()
	}
	measure := func(cs connections) func() (added, error) {
		return func() (a added, err error) {
			if a.bare, err = sides[2].load(e.loadTime / 2); err == nil {
				a.full, err = cs.load(e.loadTime / 2)
			}
			return a, err
		}
	}
	pairs, err := bench.Interleave(e.loadPairs+1, measure(sides[0]), measure(sides[1]))
	if err != nil {
		return err
	}
	pairs = pairs[1:] // as elsewhere
	fmt.Fprintf(w, "\nGET /users/{id}, one token, %d clients over loopback\n\n", stackClients)
	return bench.Report(w, "mainstay", "by hand",
		bench.NewRow("CPU added to a bare server", "µs", 0.35, pairs, func(a added) float64 { return a.full.cpu - a.bare.cpu }),
		bench.NewRow("CPU a request", "µs", 0, pairs, func(a added) float64 { return a.full.cpu }),
		bench.NewRow("CPU a request of a bare server", "µs", 0, pairs, func(a added) float64 { return a.bare.cpu }),
		bench.NewRow("throughput", "requests/s", 0, pairs, func(a added) float64 { return a.full.rate }))
}

// checkStacks reports where a side does not answer the request of the stack, or lets one without a token pass, and how
// the kit's answer and the hand-wired one differ.
func checkStacks(token string) error {
	answers := map[string]answer{}
	for name, side := range map[string]build{
		"mainstay": kitStack, "by hand": byHandStack, "kratos": kratosStack, "go-zero": goZeroStack,
	} {
		h, err := side(oneInTen())
		if err != nil {
			return err
		}
		for _, c := range []struct {
			token  string
			status int
		}{{token, http.StatusOK}, {token + "x", http.StatusUnauthorized}} {
			r, err := userRequest("http://users", c.token)
			if err != nil {
				return err
			}
			a := serve(h, r)
			if a.status != c.status || c.status == http.StatusOK && string(a.body) != userBody {
				return fmt.Errorf("%s: got %d %q, want %d", name, a.status, a.body, c.status)
			}
			if c.status == http.StatusOK {
				answers[name] = a
			}
		}
	}
	return differ(answers["mainstay"], answers["by hand"])
}
