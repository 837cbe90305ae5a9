package platform

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/mainstay-go/mainstay"
	"github.com/mainstay-go/mainstay/examples/shop/internal/natsd"
)

func TestCheckBroker(t *testing.T) {
	for _, ok := range []string{
		"nats://localhost", "nats://u:p@127.0.0.1:4222", "tls://h:1", "ws://h", "wss://h:443", "nats://a:1, nats://[::1]:2",
	} {
		if err := CheckBroker(ok); err != nil {
			t.Errorf("CheckBroker(%q) = %v, want nil", ok, err)
		}
	}
	for _, bad := range []string{
		"", "hunter2", "localhost:4222", "http://u:hunter2@h:4222", "nats://u:hunter2@h:port", "nats://u:hunter2@:4222",
		"nats://u:hunter2@h:65536", "nats://u:hunter2@h:4222,", "nats:u:hunter2@h", "nats://u:hunter2@h/%zz",
	} {
		err := CheckBroker(bad)
		if err == nil || !strings.Contains(err.Error(), "-broker") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("CheckBroker(%q) = %v, want an error that names the flag and not the password", bad, err)
		}
	}
}

func TestDeclare(t *testing.T) {
	wire := func(_ context.Context, p *Platform) ([]mainstay.Runner, error) {
		client, err := p.Connect()
		if err != nil {
			return nil, err
		}
		return []mainstay.Runner{p.Declare(client, topic("orders.created"))}, nil
	}
	// declare runs a service that declares a topic, and calls f with every line that it logs.
	declare := func(t *testing.T, broker string, f func(line string, cancel func())) (status int, logs string) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w := &lines{f: func(line string) { f(line, cancel) }}
		args := []string{"-admin", "127.0.0.1:0", "-broker", broker, "-db", "sqlite:unused", "-log-format", "text"}
		status = Main(ctx, "payments", args, wire, &Options{Logs: w})
		return status, w.String()
	}
	addrs, err := FreeAddrs(1)
	if err != nil {
		t.Fatal(err)
	}
	const waiting = `level=WARN msg="waiting for the broker"`
	t.Run("IsStoppedWhileItWaits", func(t *testing.T) {
		status, logs := declare(t, "nats://u:hunter2@"+addrs[0], func(line string, cancel func()) {
			if strings.Contains(line, waiting) {
				cancel()
			}
		})
		if status != 0 {
			t.Errorf("exit status = %d, want 0", status)
		}
		if strings.Count(logs, waiting) != 1 || !strings.Contains(logs, "refused") || strings.Contains(logs, "hunter2") {
			t.Errorf("the log does not say once why the broker is waited for, without the password:\n%s", logs)
		}
		if want := "platform.(*declaration).Run"; !strings.Contains(logs, want) {
			t.Errorf("the log does not name the runner %q:\n%s", want, logs)
		}
	})
	t.Run("SaysWhenTheBrokerIsThere", func(t *testing.T) {
		_, port, _ := strings.Cut(addrs[0], ":")
		n, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		status, logs := declare(t, "nats://"+addrs[0], func(line string, cancel func()) {
			switch {
			case strings.Contains(line, waiting):
				server, err := natsd.StartAt(dir, n)
				if err != nil {
					t.Error(err)
					cancel()
					return
				}
				t.Cleanup(server.Stop)
			case strings.Contains(line, "the broker is there"):
				cancel()
			}
		})
		if status != 0 || strings.Count(logs, waiting) != 1 {
			t.Errorf("exit status = %d, want 0 and one line that says what it waits for:\n%s", status, logs)
		}
	})
	t.Run("RefusesWhatIsNoURL", func(t *testing.T) {
		status, logs := declare(t, "http://u:hunter2@"+addrs[0], func(string, func()) {})
		if status != 1 || strings.Contains(logs, waiting) {
			t.Errorf("exit status = %d, want 1 at once; log:\n%s", status, logs)
		}
	})
}

// topic is a name alone.
type topic string

func (t topic) Name() string { return string(t) }

// lines keeps what is logged, and hands each line to f.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
	f   func(line string)
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.f(string(p))
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
