package platform

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/mainstay-go/mainstay"
	"github.com/mainstay-go/mainstay/sqlx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFreeAddrs(t *testing.T) {
	t.Run("AreDifferentAndFree", func(t *testing.T) {
		addrs, err := FreeAddrs(20)
		if err != nil {
			t.Fatal(err)
		}
		for _, addr := range addrs {
			l, err := net.Listen("tcp", addr) // held, so that a second one of the same address fails
			if err != nil {
				t.Fatalf("address is not free: %v", err)
			}
			defer l.Close()
		}
	})
	t.Run("MoreThanThereAreIsAnError", func(t *testing.T) {
		if addrs, err := FreeAddrs(lastPort); err == nil {
			t.Errorf("FreeAddrs(%d) = %d addresses, want an error", lastPort, len(addrs))
		}
	})
}

func TestDatabase(t *testing.T) {
	for db, want := range map[string]struct {
		dialect sqlx.Dialect
		dsn     string
	}{
		"sqlite:/tmp/a.db":       {sqlx.SQLite, "file:/tmp/a.db"},
		"postgres://u:p@h/n?x=y": {sqlx.Postgres, "postgres://u:p@h/n?x=y"},
		"postgresql://h/n":       {sqlx.Postgres, "postgresql://h/n"},
	} {
		dialect, dsn, err := Database(db)
		if dialect != want.dialect || dsn != want.dsn || err != nil {
			t.Errorf("Database(%q) = %v, %q, %v, want %v, %q, nil", db, dialect, dsn, err, want.dialect, want.dsn)
		}
	}
	t.Run("ErrorKeepsThePasswordToItself", func(t *testing.T) {
		for _, db := range []string{"mysql://u:hunter2@h/n", "", "hunter2"} {
			if _, _, err := Database(db); err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("Database(%q) error = %v, want one without the password", db, err)
			}
		}
		_, err := ServiceDatabase(t.Context(), "postgres://u:hunter2@h:port/n", "orders")
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("ServiceDatabase error = %v, want one without the password", err)
		}
	})
}

func TestServiceDatabase(t *testing.T) {
	base := os.Getenv("MAINSTAY_TEST_POSTGRES")
	if base == "" {
		if os.Getenv("CI") == "true" && os.Getenv("MAINSTAY_TEST_REAL") == "1" {
			t.Fatal("MAINSTAY_TEST_POSTGRES is not set")
		}
		t.Skip("needs MAINSTAY_TEST_POSTGRES, the URL of a real server")
	}
	t.Run("IsMadeOnceAndFoundAgain", func(t *testing.T) {
		const service = `platform "test"`
		var urls []string
		for range 2 {
			u, err := ServiceDatabase(t.Context(), base, service)
			if err != nil {
				t.Fatal(err)
			}
			urls = append(urls, u)
		}
		if urls[0] != urls[1] {
			t.Errorf("second URL = %q, want %q", urls[1], urls[0])
		}
		db, err := sql.Open("pgx", urls[0])
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var name string
		if err := db.QueryRowContext(t.Context(), `SELECT current_database()`).Scan(&name); err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(name, "_"+service) {
			t.Errorf("database = %q, want one named after %q", name, service)
		}
	})
}

func TestMainFunction(t *testing.T) {
	nothing := func(context.Context, *Platform) ([]mainstay.Runner, error) { return nil, errors.New("nothing to run") }
	t.Run("RunsAloneAndEndsCleanly", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		wire := func(ctx context.Context, p *Platform) ([]mainstay.Runner, error) {
			return []mainstay.Runner{mainstay.RunnerFunc(func(ctx context.Context) error {
				cancel() // as soon as it runs
				<-ctx.Done()
				return nil
			})}, nil
		}
		if got := Main(ctx, "orders", []string{"-admin", "127.0.0.1:0"}, wire, nil); got != 0 {
			t.Errorf("exit status = %d, want 0", got)
		}
	})
	t.Run("RefusesAShortSecret", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := Main(t.Context(), "orders", []string{"-secret-file", path}, nothing, nil); got != 1 {
			t.Errorf("exit status = %d, want 1", got)
		}
	})
	for _, c := range []struct {
		arg  string
		want int
	}{{"-help", 0}, {"-nonsense", 2}, {"surplus", 2}} {
		t.Run("Argument/"+c.arg, func(t *testing.T) {
			if got := Main(t.Context(), "orders", []string{c.arg}, nothing, nil); got != c.want {
				t.Errorf("exit status = %d, want %d", got, c.want)
			}
		})
	}
}
