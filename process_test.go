package mainstay

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// childEnv, when set, makes the test binary one of the programs of childMain.
const childEnv = "MAINSTAY_TEST_CHILD"

// childMain is what a service's main looks like. It prints a line when it runs and one when it has drained.
func childMain(program string) int {
	if program == "after" {
		_ = Run(context.Background(), nil, Once(func(context.Context) error { return nil }))
		fmt.Println("running")
		select {}
	}
	err := Run(context.Background(), nil, RunnerFunc(func(ctx context.Context) error {
		fmt.Println("running")
		if program == "panic" {
			panic("out of order")
		}
		<-ctx.Done()
		if program == "stuck" {
			fmt.Println("stuck")
			select {}
		}
		fmt.Println("drained")
		return nil
	}))
	if err != nil {
		fmt.Println(err)
		return 3
	}
	return 0
}

// child is a running test binary.
type child struct {
	*exec.Cmd
	out    *bufio.Scanner
	stderr bytes.Buffer
}

func startChild(t *testing.T, program string) *child {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	c := &child{Cmd: exec.CommandContext(ctx, os.Args[0])}
	c.Env = append(os.Environ(), childEnv+"="+program)
	c.Stderr = &c.stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewScanner(out)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	c.expect(t, "running")
	return c
}

func (c *child) expect(t *testing.T, line string) {
	t.Helper()
	if !c.out.Scan() || c.out.Text() != line {
		t.Fatalf("got line %q (%v), want %q", c.out.Text(), c.out.Err(), line)
	}
}

func (c *child) terminate(t *testing.T) {
	t.Helper()
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// exit waits for the child and returns its exit status.
func (c *child) exit(t *testing.T) int {
	t.Helper()
	for c.out.Scan() {
		t.Logf("further line: %s", c.out.Text())
	}
	if err := c.Wait(); err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode()
}

func TestProcess(t *testing.T) {
	t.Run("DrainsAtSIGTERMAndExitsWithZero", func(t *testing.T) {
		c := startChild(t, "clean")
		c.terminate(t)
		c.expect(t, "drained")
		if got := c.exit(t); got != 0 {
			t.Errorf("exit status: got %d, want 0", got)
		}
	})
	t.Run("EndsAtTheSecondSIGTERM", func(t *testing.T) {
		c := startChild(t, "stuck")
		c.terminate(t)
		c.expect(t, "stuck")
		c.terminate(t)
		c.expect(t, `mainstay: run "mainstay.childMain.func2": still running, cut off`)
		if got := c.exit(t); got != 3 {
			t.Errorf("exit status: got %d, want 3", got)
		}
	})
	t.Run("LeavesSignalsAloneAfterRun", func(t *testing.T) {
		c := startChild(t, "after")
		c.terminate(t)
		c.exit(t)
		if got, want := c.ProcessState.String(), "signal: terminated"; got != want {
			t.Errorf("process state: got %q, want %q", got, want)
		}
	})
	t.Run("DiesOfAPanicWithItsStack", func(t *testing.T) {
		c := startChild(t, "panic")
		if got := c.exit(t); got != 2 {
			t.Errorf("exit status: got %d, want 2", got)
		}
		if got := c.stderr.String(); !strings.Contains(got, "panic: out of order") || !strings.Contains(got, "childMain") {
			t.Errorf("standard error: got %q, want the panic and its stack", got)
		}
	})
}
