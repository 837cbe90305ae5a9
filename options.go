package mainstay

import (
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"
)

// Options adjust [Run]. The zero value, and nil, is the default of every field.
type Options struct {
	// Logger is told what starts and why it stops. Nil means slog.Default().
	Logger *slog.Logger

	// StartTimeout bounds how long one runner may take to become ready; a [Once] bounds itself. Zero means 30s;
	// negative means no bound.
	StartTimeout time.Duration

	// DrainDelay is how long all runners go on as before after Drain was called, so that balancers see the failing
	// readiness and send their requests elsewhere before a listener closes. It is part of Grace and must be shorter.
	// Zero, the default, and negative mean no delay: only who knows what stands in front of the process knows how
	// long that takes to look. Behind a Kubernetes Service 5s is a usual choice.
	DrainDelay time.Duration

	// Grace bounds the whole stop, from the signal to Run's return, DrainDelay included. Zero means 25s, which leaves
	// the process 5 of the 30 seconds that Kubernetes gives (terminationGracePeriodSeconds); negative means no bound,
	// and then one stuck runner holds the process until the second signal.
	Grace time.Duration

	// Signals tell Run to stop. Nil means SIGINT and SIGTERM; an empty slice means none.
	Signals []os.Signal
}

// withDefaults returns o with every default filled in; negative durations stay, and mean no bound.
func (o *Options) withDefaults() (Options, error) {
	var d Options
	if o != nil {
		d = *o
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	if d.StartTimeout == 0 {
		d.StartTimeout = 30 * time.Second
	}
	if d.Grace == 0 {
		d.Grace = 25 * time.Second
	}
	d.DrainDelay = max(d.DrainDelay, 0)
	if d.Signals == nil {
		d.Signals = []os.Signal{os.Interrupt, syscall.SIGTERM}
	}
	if d.Grace > 0 && d.DrainDelay >= d.Grace {
		return d, fmt.Errorf("mainstay: options: DrainDelay %v must be shorter than Grace %v", d.DrainDelay, d.Grace)
	}
	return d, nil
}
