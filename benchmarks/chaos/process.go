package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// guard runs one program for as long as its standard input is open. The other end is that of the process that asked for
// it, and closes with it even if it is killed: no server outlives the trial.
type guard struct {
	Log      string   // a file, appended to
	Dir      string   // where the program runs
	UID, GID int      // as whom, unless zero
	Command  []string // the program and its arguments
}

func (g guard) run(in io.Reader, out io.Writer) error {
	log, err := os.OpenFile(g.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()                                   //nolint:errcheck // the program writes to it, not this process
	cmd := exec.Command(g.Command[0], g.Command[1:]...) //nolint:noctx // it ends with the guard's input
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = g.Dir, log, log, asUser(g.UID, g.GID)
	if err := cmd.Start(); err != nil {
		return err
	}
	fmt.Fprintln(out, cmd.Process.Pid)
	go func() {
		_, _ = io.Copy(io.Discard, in)
		_ = cmd.Process.Kill() // also one that is stopped
	}()
	_ = cmd.Wait() // how it ended is in its log
	return nil
}

// process is a program under its guard.
type process struct {
	pid   int
	hold  io.Closer // ends it
	ended chan struct{}
}

// spawn starts what g says.
func spawn(g guard) (*process, error) {
	args, err := json.Marshal(g)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, guardMode, string(args)) //nolint:noctx // it ends with its input
	cmd.SysProcAttr = asUser(0, 0)
	cmd.Stderr = os.Stderr
	hold, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{hold: hold, ended: make(chan struct{})}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err == nil {
		p.pid, err = strconv.Atoi(strings.TrimSpace(line))
	}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // the program's own log says how it ended
	}()
	if err != nil {
		p.kill()
		return nil, fmt.Errorf("start %s: %w", g.Command[0], err)
	}
	return p, nil
}

// kill ends it at once.
func (p *process) kill() {
	_ = p.hold.Close()
	<-p.ended
}

func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// server is a program that listens on a port of loopback, and can be stopped and started again.
type server struct {
	what  guard
	ready func(context.Context) error // nil once it answers
	p     *process
}

// startTimeout bounds how long a server may take to answer, and to end.
const startTimeout = 2 * time.Minute

func (s *server) start(ctx context.Context) error {
	var err error
	if s.p, err = spawn(s.what); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return until(ctx, func() error {
		if !s.p.alive() {
			return overError{fmt.Errorf("%s has ended, see %s", s.what.Command[0], s.what.Log)}
		}
		return s.ready(ctx)
	})
}

// stop makes it stand still; cont makes it go on.
func (s *server) stop() error { return stopProcess(s.p.pid) }
func (s *server) cont() error { return continueProcess(s.p.pid) }

// restart ends it as an operator would, and starts it with the data that it had.
func (s *server) restart(ctx context.Context) error {
	if err := endProcess(s.p.pid); err != nil {
		return err
	}
	late := time.NewTimer(startTimeout)
	defer late.Stop()
	select {
	case <-s.p.ended:
	case <-late.C:
		return fmt.Errorf("%s does not end", s.what.Command[0])
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.start(ctx)
}

func (s *server) end() {
	if s != nil && s.p != nil {
		s.p.kill()
	}
}

// overError ends until.
type overError struct{ error }

func (e overError) Unwrap() error { return e.error }

// until calls f until it returns nil, or ctx ends.
func until(ctx context.Context, f func() error) error {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		err := f()
		if err == nil || errors.As(err, new(overError)) {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// Ports are below those that systems give to outgoing connections: a client that dials a server's port of that range
// while the server is away may reach itself, and keep the port.
const (
	firstPort = 20_000
	lastPort  = 30_000
)

// freePorts returns n ports of loopback that nobody listens on.
func freePorts(ctx context.Context, n int) ([]int, error) {
	var ports []int
	var config net.ListenConfig
	// Beginning at another place in each process, since several may look at once.
	for i, start := 0, os.Getpid()*n; i < lastPort-firstPort && len(ports) < n; i++ {
		port := firstPort + (start+i)%(lastPort-firstPort)
		l, err := config.Listen(ctx, "tcp", address(port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	if len(ports) < n {
		return nil, errors.New("no free port")
	}
	return ports, nil
}

func address(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }
