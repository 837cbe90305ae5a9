package natsd_test

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/mainstay-go/mainstay/examples/shop/internal/natsd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServer(t *testing.T) {
	t.Run("KeepsAStreamAcrossARestart", func(t *testing.T) {
		dir := t.TempDir()
		publish(t, dir, 3)
		if got, want := publish(t, dir, 2), uint64(5); got != want {
			t.Errorf("messages after a restart = %d, want %d", got, want)
		}
	})
	t.Run("IsGoneWhenStopReturns", func(t *testing.T) {
		s, err := natsd.Start(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		s.Stop()
		if nc, err := nats.Connect(s.URL()); err == nil {
			nc.Close()
			t.Error("a stopped server accepted a connection")
		}
		s.Stop() // harmless
	})
}

// publish starts a server on dir, publishes n messages and returns how many the stream holds then.
func publish(t *testing.T, dir string, n int) uint64 {
	t.Helper()
	s, err := natsd.Start(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	nc, err := nats.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	st, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "T", Subjects: []string{"t"}})
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if _, err := js.Publish(ctx, "t", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	info, err := st.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return info.State.Msgs
}
