package idempotency_test

import (
	"context"
	"database/sql"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/idempotency"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type none struct{}

// What is wrong at the start is said at the start, with its reason, and no request is handled unprotected.
func TestBadSetUpIsReported(t *testing.T) {
	taken := prometheus.NewRegistry()
	taken.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "mainstay_idempotency_requests_total", Help: "another"}))
	for name, tt := range map[string]struct {
		d    sqlx.Dialect
		o    idempotency.Options
		want string
	}{
		"Dialect":      {0, idempotency.Options{}, "dialect(0)"},
		"Table":        {sqlx.Postgres, idempotency.Options{Table: "keys; DROP TABLE orders"}, `"keys; DROP TABLE orders"`},
		"TableTooLong": {sqlx.Postgres, idempotency.Options{Table: strings.Repeat("t", 38)}, "37"},
		"SQLiteSchema": {sqlx.SQLite, idempotency.Options{Table: "app.keys"}, `"app.keys"`},
		"Lease":        {sqlx.SQLite, idempotency.Options{Lease: 99 * time.Millisecond}, "Lease: 99ms"},
		"NoLease":      {sqlx.SQLite, idempotency.Options{Lease: -1}, "Lease: -1ns"},
		"Expiry":       {sqlx.SQLite, idempotency.Options{Lease: time.Hour, Expiry: time.Minute}, "Expiry: 1m0s"},
		"NoExpiry":     {sqlx.SQLite, idempotency.Options{Expiry: -1}, "Expiry: -1ns"},
		"Registerer":   {sqlx.SQLite, idempotency.Options{Registerer: taken}, "mainstay_idempotency_requests_total"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.o.Registerer == nil {
				tt.o.Registerer = prometheus.NewRegistry()
			}
			k := idempotency.New(nil, tt.d, &tt.o)
			_, clean := k.Clean(t.Context())
			for what, err := range map[string]error{
				"Migrate": k.Migrate(t.Context()), "Verify": k.Verify(t.Context()), "Clean": clean,
				"Run": k.Cleaner(0).Run(t.Context()),
			} {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s = %v, want an error with %s", what, err, tt.want)
				}
			}
			e := httpapi.NewEndpoint[none, none]("POST /", &httpapi.EndpointOptions{Access: transport.Public})
			for form, h := range map[string]http.Handler{
				"Middleware": k.Middleware(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("handled") })),
				"Handler": idempotency.Handler(k, e, func(context.Context, *sql.Tx, none) (none, error) {
					t.Error("handled")
					return none{}, nil
				}, nil),
			} {
				w := httptest.NewRecorder()
				r := httptest.NewRequest("POST", "/", nil)
				r.Header.Set("Idempotency-Key", `"k"`)
				h.ServeHTTP(w, r)
				if w.Code != 500 {
					t.Errorf("%s answers %d, want 500", form, w.Code)
				}
			}
		})
	}
	k := idempotency.New(nil, sqlx.SQLite, &idempotency.Options{Registerer: prometheus.NewRegistry()})
	if err := k.Cleaner(-1).Run(t.Context()); err == nil {
		t.Error("Run of a cleaner with a negative interval = nil, want an error")
	}
}
