package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/pubsub"
)

// A process that the trial starts as a part of itself is, in a test, the test's binary.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == guardMode {
		main()
		return
	}
	os.Exit(m.Run())
}

// shell returns a server whose program appends a line to a file when it starts, and when it is asked to end.
func shell(t *testing.T) (s *server, said func() string) {
	t.Helper()
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	said = func() string {
		text, err := os.ReadFile(out)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		return string(text)
	}
	script := `trap 'echo end >>out; exit' TERM; echo begin >>out; while :; do sleep 0.05; done`
	s = &server{what: guard{Log: logFile(dir, "shell"), Dir: dir, Command: []string{"sh", "-c", script}}}
	begun := 0
	s.ready = func(context.Context) error {
		if strings.Count(said(), "begin") <= begun {
			return errors.New("not yet")
		}
		begun++
		return nil
	}
	return s, said
}

func TestServer(t *testing.T) {
	t.Run("RestartsAsAnOperatorWould", func(t *testing.T) {
		s, said := shell(t)
		if err := s.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer s.end()
		first := s.p.pid
		if err := s.restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := said(), "begin\nend\nbegin\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if s.p.pid == first {
			t.Error("the process is the same")
		}
	})
	t.Run("EndsWhileItIsStopped", func(t *testing.T) {
		s, _ := shell(t)
		if err := s.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		s.end()
		if s.p.alive() {
			t.Error("got alive, want ended")
		}
	})
	t.Run("GoesOn", func(t *testing.T) {
		s, said := shell(t)
		if err := s.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer s.end()
		if err := errors.Join(s.stop(), s.cont()); err != nil {
			t.Fatal(err)
		}
		if err := s.restart(t.Context()); err != nil { // only one that goes on can end by itself
			t.Fatal(err)
		}
		if got, want := said(), "begin\nend\nbegin\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("SaysWhenItsProgramEnds", func(t *testing.T) {
		s, _ := shell(t)
		s.what.Command = []string{"sh", "-c", "echo no >&2; exit 1"}
		if err := s.start(t.Context()); err == nil || !strings.Contains(err.Error(), s.what.Log) {
			t.Errorf("got %v, want the name of the log", err)
		}
		if text, err := os.ReadFile(s.what.Log); err != nil || string(text) != "no\n" {
			t.Errorf("log: got %q, %v, want what the program said", text, err)
		}
	})
	t.Run("SaysWhatIsNotThere", func(t *testing.T) {
		if _, err := spawn(guard{Log: filepath.Join(t.TempDir(), "log"), Command: []string{"/nonexistent"}}); err == nil {
			t.Error("got nil, want an error")
		}
	})
}

func TestFreePorts(t *testing.T) {
	ports, err := freePorts(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[int]bool)
	for _, p := range ports {
		if p < firstPort || p >= lastPort || seen[p] {
			t.Errorf("got %v, want three of %d to %d", ports, firstPort, lastPort)
		}
		seen[p] = true
	}
}

func TestParse(t *testing.T) {
	p, err := parse([]string{"-broker", "kafka", "-scale", "0.1", "-no-inbox", "-no-order"})
	if err != nil {
		t.Fatal(err)
	}
	if p.broker != "kafka" || p.messages != 10_000 || p.span != leastSpan || p.inbox || p.ordered {
		t.Errorf("got %+v", p)
	}
	for _, args := range [][]string{
		{"-broker", "carrier pigeons"}, {"-scale", "0"}, {"-scale", "11"}, {"nats"},
	} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v: got nil, want an error", args)
		}
	}
}

func TestCountDropped(t *testing.T) {
	for name, c := range map[string]struct {
		handler pubsub.Handler
		want    int64
	}{
		"ADuplicate": {func(context.Context, *pubsub.Message) error { return nil }, 1},
		"AFailure":   {func(context.Context, *pubsub.Message) error { return errors.New("no") }, 0},
		"AnEffect": {func(ctx context.Context, _ *pubsub.Message) error {
			noteEffect(ctx)
			return nil
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			in, out := io.Pipe()
			f, m := &fleet{}, &member{ready: make(chan struct{}), ended: make(chan struct{})}
			heard := make(chan struct{})
			go func() {
				f.listen(m, in)
				close(heard)
			}()
			_ = countDropped(out)(c.handler)(t.Context(), &pubsub.Message{})
			out.Close()
			<-heard
			if got := f.dropped.Load(); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

func TestUntilEnds(t *testing.T) {
	never := errors.New("never")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	err := until(ctx, func() error { return never })
	if !errors.Is(err, never) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want both reasons", err)
	}
	if err := until(t.Context(), func() error { return overError{never} }); !errors.Is(err, never) {
		t.Errorf("got %v, want %v at once", err, never)
	}
}
