package mainstay_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/mainstay-go/mainstay"
)

// server stands for any Runner: it says when it is ready, and drains when its context ends.
type server struct {
	name  string
	ready chan struct{}
}

func newServer(name string) *server { return &server{name: name, ready: make(chan struct{})} }

func (s *server) Run(ctx context.Context) error {
	fmt.Println(s.name, "listens")
	close(s.ready)
	<-ctx.Done()
	fmt.Println(s.name, "has drained")
	return nil
}

func (s *server) Ready() <-chan struct{} { return s.ready }
func (s *server) Drain()                 { fmt.Println(s.name, "reports not ready") }
func (s *server) String() string         { return s.name }

// A service migrates its database before it listens, and stops in the reverse order. Here the end of a context stops
// it; without one, SIGINT and SIGTERM do.
func ExampleRun() {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()

	quiet := &mainstay.Options{Logger: slog.New(slog.DiscardHandler)}
	err := mainstay.Run(ctx, quiet,
		newServer("admin"),
		mainstay.Once(func(context.Context) error { fmt.Println("migrated"); return nil }),
		newServer("api"),
	)
	fmt.Println("error:", err)

	// Output:
	// admin listens
	// migrated
	// api listens
	// admin reports not ready
	// api reports not ready
	// api has drained
	// admin has drained
	// error: <nil>
}

// A plain function is a Runner too. When it ends, so does the service.
func ExampleRunnerFunc() {
	quiet := &mainstay.Options{Logger: slog.New(slog.DiscardHandler)}
	err := mainstay.Run(context.Background(), quiet,
		newServer("api"),
		mainstay.RunnerFunc(func(context.Context) error { return fmt.Errorf("queue: connection lost") }),
	)
	fmt.Println(err)

	// Output:
	// api listens
	// api reports not ready
	// api has drained
	// mainstay: run "mainstay_test.ExampleRunnerFunc.func1": queue: connection lost
}
