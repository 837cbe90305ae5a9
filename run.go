package mainstay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"runtime"
	"strings"
)

// Runner is a part of a service that runs until its context ends. Run blocks; when ctx ends it drains (finishes what
// it has begun, takes nothing new) within a bound of its own, and returns nil after a clean end. It returns early only
// when its work is over, or with an error when it cannot go on.
//
// A Runner may have three more methods:
//
//	Ready() <-chan struct{} // closed once it works; asked for before Run is called
//	Drain()                 // the process is about to stop: readiness fails from now on; must return at once
//	String() string         // its name in errors and logs; the type's name otherwise
type Runner interface {
	Run(ctx context.Context) error
}

// RunnerFunc is a function that is a [Runner]. Its name in errors is the function's.
type RunnerFunc func(ctx context.Context) error

// Run calls f.
func (f RunnerFunc) Run(ctx context.Context) error { return f(ctx) }

// String returns the name of the function, such as "main.sweep".
func (f RunnerFunc) String() string { return funcName(f) }

// Once returns a Runner for work that has to be done before what follows it starts, such as migrations. The next runner
// starts when f has returned nil, and that nil stops nothing; an error stops the start. When the process is told to
// stop meanwhile, f's context ends. Its name in errors is the function's.
func Once(f func(ctx context.Context) error) Runner { return once(f) }

type once func(ctx context.Context) error

func (f once) Run(ctx context.Context) error { return f(ctx) }
func (f once) String() string                { return funcName(f) }

func funcName(f func(context.Context) error) string {
	name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	name = name[strings.LastIndexByte(name, '/')+1:]
	return strings.TrimSuffix(name, "-fm") // what the compiler adds to a method value
}

// ErrCutOff matches the error of a runner that was still running when Run returned, because Grace was over or a second
// signal came.
var ErrCutOff = errors.New("still running, cut off")

// Run runs the runners until one of them ends, ctx ends, or the process gets one of o.Signals; then it stops them all.
// Nil o means the defaults.
//
// Start. Runners start in the order given, each in a goroutine of its own. The next one starts when the one before it
// is ready: at once where it has no Ready method, when Ready's channel is closed where it has, and when it has returned
// nil where it is a [Once]. A runner that is not ready within StartTimeout stops the start. Runners get the values of
// ctx but not its end, which Run turns into an orderly stop.
//
// Stop. The first runner to end, with or without an error, takes the others along; only the nil of a Once does not.
// A Run with nothing left to run returns. On the way out every runner with a Drain method is told first, all at once;
// then DrainDelay passes; then the contexts end one by one, in the reverse of the start order, each runner being waited
// for before the next context ends.
//
// Grace. Half of the time left for that is shared out equally, so that each runner is sure of its part whatever the
// others do; the other half is for whoever needs it first. A runner that overstays is left alone while those before it
// are stopped, and has until the end of Grace if they are quick. Then, or at the second signal whatever the stage, Run
// ends every context and returns. A first signal does not shorten a stop that something else began.
//
// Error. Run returns nil when every runner did; otherwise the errors of all of them, joined in start order, each as
// `mainstay: run "name": cause`. What Run left behind matches [ErrCutOff]. A runner that returns the bare error of its
// ended context counts as one that returned nil. Where ctx has ended before Run is called, nothing starts and the
// result is nil.
func Run(ctx context.Context, o *Options, runners ...Runner) error {
	opts, err := o.withDefaults()
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 2) // the second ends the stop that the first began: room for both
	if len(opts.Signals) > 0 {         // signal.Notify takes an empty list for all signals
		signal.Notify(signals, opts.Signals...)
		defer signal.Stop(signals)
	}
	return run(ctx, opts, signals, runners)
}

func run(ctx context.Context, o Options, signals <-chan os.Signal, runners []Runner) error {
	for i, r := range runners {
		if r == nil {
			return fmt.Errorf("mainstay: run: runner %d of %d is nil", i+1, len(runners))
		}
	}
	s := &supervisor{Options: o, signals: signals, ended: make(chan *process, len(runners))}
	reason := s.start(ctx, runners)
	if reason == "" {
		reason = s.watch(ctx)
	}
	s.stop(ctx, reason)
	return s.err()
}
