package sqlxtest_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/idempotency"
)

// stopAt stops for ever where at is point, once it has said so.
func stopAt(at, point string) {
	if at == point {
		fmt.Println("inside")
		select {}
	}
}

// crashVariable makes a child of the test's own binary the process that is killed; crashPointVariable says where.
const (
	crashVariable      = "SQLXTEST_CRASH_DSN"
	crashPointVariable = "SQLXTEST_CRASH_POINT"
)

// TestIdempotencyCrash kills a process with -9 in the middle of a request, and asks another one.
func TestIdempotencyCrash(t *testing.T) {
	if dsn := os.Getenv(crashVariable); dsn != "" {
		crashing(t, dsn, os.Getenv(crashPointVariable))
		return
	}
	for _, tt := range []struct {
		point   string
		effects int // in all, after the request has come again
		replay  bool
	}{
		{"leased/before the effect", 1, false},
		{"leased/after the effect", 2, false}, // the lease's gap, as documented
		{"leased/after the answer", 1, true},
		{"tx/before the effect", 1, false},
		{"tx/after the effect", 1, false},
		{"tx/after the commit", 1, true},
	} {
		t.Run(tt.point, func(t *testing.T) {
			eachDSN(t, func(t *testing.T, d sqlx.Dialect, dsn string) {
				s := newShop(t, inboxReplica(t, d, dsn), d, crashOptions())
				killAt(t, "TestIdempotencyCrash", dsn, tt.point)
				s.mountCrash("")
				path := crashPath(tt.point)
				refused := 0
				eventually(t, func() bool {
					r := s.do(req{path: path, key: `"k"`, body: mug})
					if r.StatusCode == 409 {
						refused++
						return false
					}
					if r.StatusCode != 201 || (r.Header.Get("Idempotency-Replayed") == "true") != tt.replay {
						t.Errorf("%d, %v, want 201, replayed %v", r.StatusCode, r.Header, tt.replay)
					}
					return true
				})
				s.wantEffects(tt.effects)
				if strings.HasPrefix(tt.point, "leased") && !tt.replay && refused == 0 {
					t.Error("the key was free before its lease had ended")
				}
				s.want(req{path: path, key: `"k"`, body: mug}, 201, true)
				s.wantEffects(tt.effects)
			})
		})
	}
}

func crashOptions() idempotency.Options { return idempotency.Options{Lease: 2 * time.Second} }

func crashPath(point string) string {
	if strings.HasPrefix(point, "tx") {
		return "/orders"
	}
	return "/leased"
}

// mountCrash mounts both forms, which stop for ever at point, once they have said so.
func (s *shop) mountCrash(point string) {
	stop := func(at string) { stopAt(at, point) }
	s.leased("POST /leased", func(w http.ResponseWriter, r *http.Request) {
		stop("leased/before the effect")
		s.order(w, r)
		stop("leased/after the effect")
	})
	type order = newOrder
	idempotency.Handle(s.keys, s.mux, createOrder(), func(ctx context.Context, tx *sql.Tx, o order) (madeOrder, error) {
		sqlx.AfterCommit(ctx, func() { stop("tx/after the commit") })
		stop("tx/before the effect")
		err := effect(ctx, tx, "order", o.Item)
		stop("tx/after the effect")
		return madeOrder{"1", o.Item}, err
	})
}

// crashing is what the child runs.
func crashing(t *testing.T, dsn, point string) {
	d := sqlx.SQLite
	if strings.HasPrefix(dsn, "postgres") {
		d = sqlx.Postgres
	}
	s := newShop(t, inboxReplica(t, d, dsn), d, crashOptions())
	s.mountCrash(point)
	s.do(req{path: crashPath(point), key: `"k"`, body: mug})
	stopAt("leased/after the answer", point)
	t.Fatal("the child has gone past its end")
}

// killAt runs a child of that test until it is at point, and kills it.
func killAt(t *testing.T, test, dsn, point string) {
	t.Helper()
	cmd := rerun("-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), crashVariable+"="+dsn, crashPointVariable+"="+point)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	inside, seen := false, ""
	for lines := bufio.NewScanner(out); !inside && lines.Scan(); {
		inside = lines.Text() == "inside"
		seen += lines.Text() + "\n"
	}
	cmd.Process.Kill()
	cmd.Wait()
	if !inside {
		t.Fatalf("the child ended before %s:\n%s", point, seen)
	}
}
