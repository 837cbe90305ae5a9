package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// fleet is the consumers' processes.
type fleet struct {
	dir     string // of their logs
	config  consumer
	mu      sync.Mutex
	members []*member
	begun   int
	dropped atomic.Int64 // duplicates, by the inboxes of all
}

// member is one consumer's process.
type member struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
	ready chan struct{}
	ended chan struct{}
	err   error // how it ended
}

// add starts one and returns once it receives. One that ends before, because the broker is away, is started again, as a
// supervisor would.
func (f *fleet) add(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return until(ctx, func() error {
		f.mu.Lock()
		f.begun++
		name := fmt.Sprintf("consumer-%d", f.begun)
		f.mu.Unlock()
		m, err := f.start(name)
		if err != nil {
			return err
		}
		select {
		case <-m.ended:
			return fmt.Errorf("%s has ended, see its log: %w", name, m.err)
		case <-m.ready:
		case <-ctx.Done(): // it is ended with the others
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.members = append(f.members, m)
		return ctx.Err()
	})
}

func (f *fleet) start(name string) (*member, error) {
	config := f.config
	config.Name = name
	args, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := openLog(f.dir, name)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // the consumer writes to it, not this process
	m := &member{name: name, ready: make(chan struct{}), ended: make(chan struct{})}
	m.cmd = exec.Command(self, consumeMode, string(args)) //nolint:noctx // it ends with its input
	m.cmd.SysProcAttr, m.cmd.Stderr = asUser(0, 0), log
	if m.stdin, err = m.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(m.ended)
		f.listen(m, out)
		m.err = m.cmd.Wait()
	}()
	return m, nil
}

// listen notes what m says, until it ends.
func (f *fleet) listen(m *member, out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		switch lines.Text() {
		case saysReady:
			close(m.ready)
		case saysDropped:
			f.dropped.Add(1)
		}
	}
}

// find returns the one of that name, nil where there is none.
func (f *fleet) find(name string) *member {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.IndexFunc(f.members, func(m *member) bool { return m.name == name }); i >= 0 {
		return f.members[i]
	}
	return nil
}

// kill kills the one of that name, and reports whether there is one.
func (f *fleet) kill(name string) (bool, error) {
	m := f.find(name)
	if m == nil {
		return false, nil
	}
	f.mu.Lock()
	f.members = slices.DeleteFunc(f.members, func(other *member) bool { return other == m })
	f.mu.Unlock()
	if err := m.cmd.Process.Kill(); err != nil {
		return false, fmt.Errorf("%s has ended by itself: %w", m.name, err)
	}
	<-m.ended
	return true, nil
}

// drain asks all to end and returns what they say.
func (f *fleet) drain(timeout time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.members {
		_ = m.stdin.Close()
	}
	late := time.NewTimer(timeout)
	defer late.Stop()
	var errs []error
	for _, m := range f.members {
		select {
		case <-m.ended:
		case <-late.C:
			late.Reset(0)
			_ = m.cmd.Process.Kill()
			<-m.ended
			errs = append(errs, fmt.Errorf("%s does not end", m.name))
			continue
		}
		if m.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.name, m.err))
		}
	}
	f.members = nil
	return errors.Join(errs...)
}

// end kills all that are left.
func (f *fleet) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.members {
		_ = m.cmd.Process.Kill()
		<-m.ended
	}
	f.members = nil
}
