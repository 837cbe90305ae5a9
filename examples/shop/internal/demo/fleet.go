package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// readyTimeout bounds how long a service may take from its start until it says that it is ready.
	readyTimeout = 20 * time.Second
	// stopTimeout bounds how long a service may take to drain.
	stopTimeout = 15 * time.Second
)

// child is one service in a process of its own.
type child struct {
	name  string
	args  []string
	admin string // address of its admin port
	dir   string // where its log and its spans go
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended
	err   error         // how it ended; read it after that
}

func (c *child) logFile() string  { return filepath.Join(c.dir, c.name+".log") }
func (c *child) spanFile() string { return filepath.Join(c.dir, c.name+".spans") }

// start starts the process, which appends to the log of the one before it. The process sees the end of its standard
// input when this process ends, however that ends, and then stops by itself.
func (c *child) start() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(c.logFile(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()                                                 //nolint:errcheck // the child has one of its own
	c.cmd = exec.Command(exe, append([]string{c.name}, c.args...)...) //nolint:noctx // kill and stop end it
	c.cmd.Stdout, c.cmd.Stderr = log, log
	if _, err := c.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := c.cmd.Start(); err != nil {
		return err
	}
	c.ended = make(chan struct{})
	go func() { // kill and stop wait for it
		c.err = c.cmd.Wait()
		close(c.ended)
	}()
	return nil
}

// kill ends the process as a power cut would, and waits until it is gone. It may be gone already.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.ended
}

// stop asks the process to drain and waits until it has. Only exit status 0 is a clean end.
func (c *child) stop() error {
	// Where the process has ended by itself, how it ended says more than that it cannot be told.
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.ended:
		if c.err != nil {
			return fmt.Errorf("%s: %w; see %s", c.name, c.err, c.logFile())
		}
		return nil
	case <-time.After(stopTimeout):
		c.kill()
		return fmt.Errorf("%s: still running %v after SIGTERM; see %s", c.name, stopTimeout, c.logFile())
	}
}

// awaitReady waits until the service says that it is ready.
func (c *child) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	err := poll(ctx, func() (bool, error) {
		select {
		case <-c.ended:
			return false, fmt.Errorf("ended at start: %v", c.cmd.ProcessState)
		default:
		}
		return ready(ctx, c.admin), nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w; see %s", c.name, err, c.logFile())
	}
	return nil
}

// ready reports whether the admin port at addr answers, and says that its service may get requests.
func ready(ctx context.Context, addr string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// fleet is the services, by name.
type fleet map[string]*child

// start starts all and waits until all are ready.
func (f fleet) start(ctx context.Context) error {
	for _, c := range f {
		if err := c.start(); err != nil {
			return fmt.Errorf("%s: start: %w", c.name, err)
		}
	}
	for _, c := range f {
		if err := c.awaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// crash kills the service and starts it again at once, on the same ports and the same database.
func (f fleet) crash(ctx context.Context, name string) error {
	c := f[name]
	c.kill()
	if err := c.start(); err != nil {
		return fmt.Errorf("%s: start again: %w", name, err)
	}
	return c.awaitReady(ctx)
}

// stop drains all at once.
func (f fleet) stop() error {
	results := make(chan error, len(f))
	for _, c := range f {
		go func() { results <- c.stop() }()
	}
	var errs []error
	for range f {
		errs = append(errs, <-results)
	}
	return errors.Join(errs...)
}

// killAll ends whatever still runs.
func (f fleet) killAll() {
	for _, c := range f {
		if c.ended != nil {
			c.kill()
		}
	}
}

// pollEvery is how often poll asks: often enough to lose no time, seldom enough to leave the machine to the services.
const pollEvery = 50 * time.Millisecond

// poll asks done until it is true, it fails, or ctx ends.
func poll(ctx context.Context, done func() (bool, error)) error {
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
