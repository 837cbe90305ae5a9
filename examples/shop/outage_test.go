package main

import (
	"database/sql"
	"errors"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/examples/shop/contract"
	"github.com/mainstay-go/mainstay/examples/shop/internal/natsd"
	"github.com/mainstay-go/mainstay/examples/shop/internal/platform"
	"github.com/mainstay-go/mainstay/transport"
)

// TestBroker shows what a broker that is away does to the shop: it waits.
func TestBroker(t *testing.T) {
	t.Run("DownAtStartIsWaitedFor", func(t *testing.T) {
		port := freePort(t)
		s := startShop(t, options{broker: "nats://127.0.0.1:" + strconv.Itoa(port)})
		await(t, "a service to say what it waits for", func() bool {
			return len(s.logs.linesWith("level=WARN msg=\"waiting for the broker\"")) > 0
		})
		server, err := natsd.StartAt(t.TempDir(), port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.stop(); server.Stop() })
		s.awaitOpen(t)
		s.awaitPaid(t, s.place(t, order("k")).ID)
	})
	t.Run("DownInTheMiddleLosesNothing", func(t *testing.T) {
		port := freePort(t)
		dir := t.TempDir()
		server, err := natsd.StartAt(dir, port)
		if err != nil {
			t.Fatal(err)
		}
		s := openShop(t, options{broker: server.URL()})
		server.Stop()
		if status, answer := get(t, "http://"+s.admin["orders"]+"/readyz"); status != 200 {
			t.Errorf("orders without a broker is not ready: %d %s, want 200", status, answer)
		}
		var ids []string
		for i := range 10 {
			// The edge needs no broker: the events wait in the outbox.
			ids = append(ids, s.place(t, order(strconv.Itoa(i))).ID)
		}
		server, err = natsd.StartAt(dir, port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.stop(); server.Stop() })
		for _, id := range ids {
			s.awaitPaid(t, id)
		}
	})
}

func freePort(t *testing.T) int {
	t.Helper()
	addrs, err := platform.FreeAddrs(1)
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestLockedDatabase shows what a writer that does not let go does to the shop.
func TestLockedDatabase(t *testing.T) {
	s := openShop(t, options{})
	t.Run("IsWaitedForAWhile", func(t *testing.T) {
		release := lock(t, s.db["orders"])
		placed := make(chan contract.Order, 1)
		go func() {
			o, err := contract.PlaceOrder.Call(t.Context(), s.caller(), order("short"))
			if err != nil {
				t.Errorf("place: %v", err)
			}
			placed <- o
		}()
		waiting := 0
		await(t, "the order to wait, past its last call, for the database", func() bool {
			_, metrics := get(t, "http://"+s.admin["orders"]+"/metrics")
			if strings.Contains(metrics, `http_server_active_requests{http_request_method="POST"} 1`) &&
				strings.Contains(metrics, `rpc_client_call_duration_seconds_count{`) {
				waiting++
			}
			return waiting == 10 // looks, so that the lock is felt
		})
		release()
		s.awaitPaid(t, (<-placed).ID)
	})
	t.Run("EndsInAnErrorThatIsSafeToRepeat", func(t *testing.T) {
		release := lock(t, s.db["orders"])
		_, err := contract.PlaceOrder.Call(t.Context(), s.caller(), order("long"))
		var e *transport.Error
		if !errors.As(err, &e) || !e.Remote || e.Code != transport.DeadlineExceeded {
			t.Errorf("place = %v, want deadline_exceeded from the server", err)
		}
		release()
		s.awaitPaid(t, s.place(t, order("long")).ID)
	})
}

// lock takes the write lock of a SQLite database and returns what gives it back.
func lock(t *testing.T, db string) (release func()) {
	t.Helper()
	path, ok := strings.CutPrefix(db, "sqlite:")
	if !ok || !filepath.IsAbs(path) {
		t.Fatalf("database = %q, want a SQLite file", db)
	}
	pool, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := pool.Begin()
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = tx.Rollback()
		_ = pool.Close()
	}
}
