package sqlxtest_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/idempotency"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
)

type payRequest struct {
	Cents int `json:"cents"`
}

type payment struct {
	Number int `json:"number"`
}

// A payment is sent twice, and made once; another one under the same key is refused.
func Example_idempotency() {
	ctx := context.Background()
	db, err := sqlx.Open(ctx, sqlx.SQLite, ":memory:", &sqlx.Options{Registerer: prometheus.NewRegistry()})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	keys := idempotency.New(db, sqlx.SQLite, &idempotency.Options{
		Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
	})
	if err := keys.Migrate(ctx); err != nil {
		panic(err)
	}
	if _, err := db.ExecContext(ctx, `CREATE TABLE payments (number INTEGER PRIMARY KEY, cents INTEGER)`); err != nil {
		panic(err)
	}
	pay := httpapi.NewEndpoint[payRequest, payment]("POST /payments", &httpapi.EndpointOptions{Access: transport.Public})
	mux := http.NewServeMux()
	idempotency.Handle(keys, mux, pay, func(ctx context.Context, tx *sql.Tx, req payRequest) (p payment, err error) {
		err = tx.QueryRowContext(ctx, `INSERT INTO payments (cents) VALUES ($1) RETURNING number`, req.Cents).Scan(&p.Number)
		return p, err
	})
	for _, body := range []string{`{"cents":1999}`, `{"cents":1999}`, `{"cents":5}`} {
		r := httptest.NewRequest("POST", "/payments", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", `"8e03978e-40d5-43dd-bc93-6894a57f9324"`)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Header().Get("Idempotency-Replayed"), strings.Split(w.Body.String(), ",")[0])
	}
	// Output:
	// 200  {"number":1}
	//
	// 200 true {"number":1}
	//
	// 422  {"title":"Unprocessable Entity"
}
