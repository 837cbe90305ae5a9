package sqlxtest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/idempotency"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
)

// newOrder and madeOrder are what the endpoint of these tests takes and gives.
type newOrder struct {
	Item string `json:"item"`
}

type madeOrder struct {
	Number string `header:"X-Order" json:"-"`
	Item   string `json:"item"`
}

func createOrder() *httpapi.Endpoint[newOrder, madeOrder] {
	return httpapi.NewEndpoint[newOrder, madeOrder]("POST /orders",
		&httpapi.EndpointOptions{Access: transport.Public, Status: http.StatusCreated})
}

// shop is a mux with idempotency keys, the business table "effects", and what the keys count and log.
type shop struct {
	*testing.T
	db   *sql.DB
	d    sqlx.Dialect
	keys *idempotency.Keys
	mux  *http.ServeMux
	reg  *prometheus.Registry
	logs *warnings
}

func newShop(t *testing.T, db *sql.DB, d sqlx.Dialect, o idempotency.Options) *shop {
	t.Helper()
	s := &shop{T: t, db: db, d: d, mux: http.NewServeMux(), reg: prometheus.NewRegistry(), logs: newWarnings()}
	o.Registerer = s.reg
	o.Logger = slog.New(slog.NewTextHandler(s.logs, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s.keys = idempotency.New(db, d, &o)
	if err := s.keys.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustExec(t, db, `CREATE TABLE IF NOT EXISTS effects (who TEXT NOT NULL, what TEXT NOT NULL)`)
	return s
}

// eachShop runs f as one subtest a dialect.
func eachShop(t *testing.T, o idempotency.Options, f func(s *shop)) {
	t.Helper()
	sqlxtest.Each(t, func(t *testing.T, db *sql.DB, d sqlx.Dialect) { f(newShop(t, db, d, o)) })
}

// replica is another process's shop on the same database.
func (s *shop) replica(o idempotency.Options) *shop { return newShop(s.T, s.db, s.d, o) }

// order is a handler of the middleware that has one effect and answers 201.
func (s *shop) order(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if _, err := s.db.ExecContext(context.WithoutCancel(r.Context()), `INSERT INTO effects VALUES ('order', $1)`, string(body)); err != nil {
		s.Error(err)
	}
	w.Header().Set("X-Order", fmt.Sprint(number(s, s.db, `SELECT count(*) FROM effects`)))
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, "made %s", body)
}

// leased mounts h under the middleware.
func (s *shop) leased(pattern string, h http.HandlerFunc) {
	s.mux.Handle(pattern, s.keys.Middleware(h))
}

// inTx mounts f as the endpoint's handler, after its effect.
func (s *shop) inTx(f func(ctx context.Context, tx *sql.Tx, o newOrder) error) {
	idempotency.Handle(s.keys, s.mux, createOrder(), func(ctx context.Context, tx *sql.Tx, o newOrder) (madeOrder, error) {
		if err := effect(ctx, tx, "order", o.Item); err != nil {
			return madeOrder{}, err
		}
		if f != nil {
			if err := f(ctx, tx, o); err != nil {
				return madeOrder{}, err
			}
		}
		var n int
		err := tx.QueryRowContext(ctx, `SELECT count(*) FROM effects`).Scan(&n)
		return madeOrder{fmt.Sprint(n), o.Item}, err
	})
}

// req is one request.
type req struct {
	ctx          context.Context
	method, path string
	key          string // with its quotes
	body         string
	header       map[string]string
}

const mug = `{"item":"mug"}`

func (s *shop) do(q req) *http.Response {
	method, path := q.method, q.path
	if method == "" {
		method = "POST"
	}
	if path == "" {
		path = "/orders"
	}
	r := httptest.NewRequest(method, path, strings.NewReader(q.body))
	if q.ctx != nil {
		r = r.WithContext(q.ctx)
	}
	r.Header.Set("Content-Type", "application/json")
	if q.key != "" {
		r.Header.Set("Idempotency-Key", q.key)
	}
	for k, v := range q.header {
		r.Header.Add(k, v)
	}
	w := httptest.NewRecorder()
	s.mux.ServeHTTP(w, r)
	return w.Result()
}

// text returns a response's body.
func text(r *http.Response) string {
	body, _ := io.ReadAll(r.Body)
	return string(body)
}

// want sends q and compares the status and whether the answer is a replay.
func (s *shop) want(q req, status int, replayed bool) *http.Response {
	s.Helper()
	r := s.do(q)
	if r.StatusCode != status || (r.Header.Get("Idempotency-Replayed") == "true") != replayed {
		s.Errorf("%s %s %s %q = %d, replayed %q, want %d, %v: %s", q.method, q.path, q.key, q.body, r.StatusCode,
			r.Header.Get("Idempotency-Replayed"), status, replayed, text(r))
	}
	if status >= 400 && !replayed && r.Header.Get("Content-Type") != "application/problem+json" {
		s.Errorf("%d is %q, want application/problem+json", status, r.Header.Get("Content-Type"))
	}
	return r
}

func (s *shop) wantEffects(n int) {
	s.Helper()
	if got := number(s, s.db, `SELECT count(*) FROM effects`); got != n {
		s.Errorf("%d effects, want %d", got, n)
	}
}

// outcomes returns what was counted.
func (s *shop) outcomes() map[string]int {
	s.Helper()
	families, err := s.reg.Gather()
	if err != nil {
		s.Fatal(err)
	}
	got := map[string]int{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			got[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = int(m.GetCounter().GetValue())
		}
	}
	return got
}

func (s *shop) wantOutcomes(want map[string]int) {
	s.Helper()
	if got := s.outcomes(); !maps.Equal(got, want) {
		s.Errorf("outcomes = %v, want %v", got, want)
	}
}

// forms are the two forms, each mounted as POST /orders. gate is called within the handler, and may be nil.
func forms() map[string]func(s *shop, gate func(context.Context) error) {
	return map[string]func(s *shop, gate func(context.Context) error){
		"Middleware": func(s *shop, gate func(context.Context) error) {
			s.leased("POST /orders", func(w http.ResponseWriter, r *http.Request) {
				if gate != nil {
					if err := gate(r.Context()); err != nil {
						httpapi.WriteError(w, r, err)
						return
					}
				}
				s.order(w, r)
			})
		},
		"InTx": func(s *shop, gate func(context.Context) error) {
			s.inTx(func(ctx context.Context, _ *sql.Tx, _ newOrder) error {
				if gate != nil {
					return gate(ctx)
				}
				return nil
			})
		},
	}
}

// eachForm runs f as one subtest a form and dialect.
func eachForm(t *testing.T, o idempotency.Options, f func(s *shop, mount func(s *shop, gate func(context.Context) error))) {
	t.Helper()
	for form, mount := range forms() {
		t.Run(form, func(t *testing.T) { eachShop(t, o, func(s *shop) { f(s, mount) }) })
	}
}

func TestIdempotency(t *testing.T) {
	t.Run("TheFirstAnswerIsGivenAgain", func(t *testing.T) { eachForm(t, idempotency.Options{}, firstAnswer) })
	t.Run("TwinsAtOnceAreHandledOnce", twins)
	t.Run("TwinsAtOnceWait", twinsWait)
	t.Run("AnotherRequestIsRefused", func(t *testing.T) { eachForm(t, idempotency.Options{}, anotherRequest) })
	t.Run("BadKeysAreRefused", func(t *testing.T) { eachForm(t, idempotency.Options{}, badKeys) })
	t.Run("KeysBelongToTheirCallerAndRoute", func(t *testing.T) { eachShop(t, idempotency.Options{}, callers) })
	t.Run("AFailureFreesTheKey", func(t *testing.T) { eachForm(t, idempotency.Options{}, failureFrees) })
	t.Run("APanicFreesTheKey", func(t *testing.T) { eachForm(t, idempotency.Options{}, panicFrees) })
	t.Run("OptionalKeys", func(t *testing.T) { eachForm(t, idempotency.Options{Optional: true}, optionalKeys) })
	t.Run("ADatabaseThatIsAwayIs503", func(t *testing.T) { eachForm(t, idempotency.Options{}, databaseAway) })
	t.Run("ALateKeyIsANewOne", func(t *testing.T) {
		eachForm(t, idempotency.Options{Lease: 100 * time.Millisecond, Expiry: 100 * time.Millisecond}, expired)
	})
}

func firstAnswer(s *shop, mount func(*shop, func(context.Context) error)) {
	mount(s, nil)
	first := s.want(req{key: `"k-1"`, body: mug}, 201, false)
	want, wantOrder := text(first), first.Header.Get("X-Order")
	for range 3 {
		again := s.want(req{key: `"k-1"`, body: mug}, 201, true)
		if got := text(again); got != want || !strings.Contains(got, "mug") || again.Header.Get("X-Order") != wantOrder ||
			again.Header.Get("Content-Type") != first.Header.Get("Content-Type") || wantOrder != "1" {
			s.Errorf("replay = %q, %v, want %q, %v", got, again.Header, want, first.Header)
		}
	}
	if got := s.want(req{key: `"k-2"`, body: mug}, 201, false).Header.Get("X-Order"); got != "2" {
		s.Errorf("another key made order %s, want 2", got)
	}
	s.wantEffects(2)
	s.wantOutcomes(map[string]int{"POST /orders executed": 2, "POST /orders replayed": 3})
	if s.logs.String() != "" {
		s.Errorf("logged %s, want nothing: nothing is wrong", s.logs)
	}
}

// twins has 20 requests come to two replicas while the first is handled, and one after it.
func twins(t *testing.T) {
	for form, mount := range forms() {
		t.Run(form, func(t *testing.T) {
			eachShop(t, idempotency.Options{}, func(s *shop) {
				if form == "InTx" && s.d == sqlx.SQLite {
					s.Skip("SQLite's writers wait for each other: see TwinsAtOnceWait")
				}
				shops := []*shop{s, s.replica(idempotency.Options{})}
				entered, leave := make(chan struct{}, 20), make(chan struct{})
				for _, s := range shops {
					mount(s, func(context.Context) error { entered <- struct{}{}; <-leave; return nil })
				}
				var mu sync.Mutex
				got := map[int]int{}
				send := func(s *shop) {
					r := s.do(req{key: `"k"`, body: mug})
					mu.Lock()
					defer mu.Unlock()
					got[r.StatusCode]++
					if r.StatusCode == 409 && r.Header.Get("Retry-After") != "1" {
						s.Errorf("Retry-After = %q, want 1", r.Header.Get("Retry-After"))
					}
				}
				var first, others sync.WaitGroup
				first.Go(func() { send(s) })
				<-entered
				for i := range 19 {
					others.Go(func() { send(shops[i%2]) })
				}
				others.Wait()
				close(leave)
				first.Wait()
				if !maps.Equal(got, map[int]int{201: 1, 409: 19}) || len(entered) != 0 {
					t.Errorf("statuses = %v, and %d more handlers, want one 201, 19 409 and none", got, len(entered))
				}
				shops[1].want(req{key: `"k"`, body: mug}, 201, true)
				s.wantEffects(1)
			})
		})
	}
}

func twinsWait(t *testing.T) {
	for form, mount := range forms() {
		t.Run(form, func(t *testing.T) {
			o := idempotency.Options{Wait: time.Minute}
			eachShop(t, o, func(s *shop) {
				shops := []*shop{s, s.replica(o)}
				var runs atomic.Int32
				for _, s := range shops {
					mount(s, func(context.Context) error { runs.Add(1); return nil })
				}
				var i atomic.Int32
				errs := together(20, func() error {
					r := shops[i.Add(1)%2].do(req{key: `"k"`, body: mug})
					if r.StatusCode != 201 || r.Header.Get("X-Order") != "1" {
						return fmt.Errorf("%d, order %s: %s", r.StatusCode, r.Header.Get("X-Order"), text(r))
					}
					return nil
				})
				if err := errors.Join(errs...); err != nil {
					t.Error(err)
				}
				if runs.Load() != 1 {
					t.Errorf("the handler ran %d times, want 1", runs.Load())
				}
				s.wantEffects(1)
			})
		})
	}
}

func anotherRequest(s *shop, mount func(*shop, func(context.Context) error)) {
	mount(s, nil)
	s.leased("POST /refunds", s.order)
	s.want(req{key: `"k"`, body: `{"item":"mug","size":1}`}, 201, false)
	for _, q := range []req{
		{key: `"k"`, body: `{"item":"cup","size":1}`},
		{key: `"k"`, body: `{"size":1,"item":"mug"}`}, // bytes, not meaning
		{key: `"k"`, body: `{"item":"mug","size":1} `},
		{key: `"k"`, path: "/orders?dry=1", body: `{"item":"mug","size":1}`},
	} {
		r := s.want(q, 422, false)
		if got := text(r); !strings.Contains(got, "used for another request") {
			s.Errorf("the problem is %s, want one that says why", got)
		}
	}
	s.wantEffects(1)
	s.want(req{key: `"k"`, body: `{"item":"mug","size":1}`}, 201, true)
	s.want(req{key: `"k"`, path: "/refunds", body: `{"item":"mug","size":1}`}, 201, false)
	s.wantEffects(2)
	if got := s.outcomes()["POST /orders mismatch"]; got != 4 {
		s.Errorf("%d mismatches counted, want 4", got)
	}
}

func badKeys(s *shop, mount func(*shop, func(context.Context) error)) {
	mount(s, nil)
	for _, key := range []string{"", `k`, `""`, `"k`, `"k" "l"`, `"k", "l"`, `"` + strings.Repeat("k", 300) + `"`, `"é"`} {
		r := s.want(req{key: key, body: mug}, 400, false)
		if got := text(r); !strings.Contains(got, `"Idempotency-Key"`) {
			s.Errorf("the problem of %q is %s, want one that names the header", key, got)
		}
	}
	s.want(req{key: `"k"`, header: map[string]string{"Idempotency-Key": `"l"`}, body: mug}, 400, false)
	s.wantEffects(0)
	s.want(req{key: `"` + strings.Repeat("k", 255) + `"`, body: mug}, 201, false)
	s.want(req{key: `"\"\\"`, body: mug}, 201, false)
}

func callers(s *shop) {
	s.keys = idempotency.New(s.db, s.d, &idempotency.Options{
		Registerer: s.reg, AllowBare: true, FingerprintHeaders: []string{"Accept-Language"},
		Scope: func(r *http.Request) string { return r.Header.Get("X-Tenant") },
	})
	s.leased("POST /orders", s.order)
	s.leased("PUT /orders", s.order)
	s.leased("POST /orders/{id}/cancel", s.order)
	s.leased("/any", s.order)
	as := func(issuer, subject string) context.Context {
		return auth.NewContext(s.Context(), auth.Principal{Issuer: issuer, Subject: subject})
	}
	different := []req{
		{},
		{ctx: as("a", "bc")},
		{ctx: as("ab", "c")},
		{ctx: as("ab", "d")},
		{ctx: as("a", "bc"), header: map[string]string{"X-Tenant": "t"}},
		{method: "PUT"},
		{path: "/orders/1/cancel"},
		{path: "/any", header: map[string]string{"Accept-Language": "en"}},
		{path: "/any", method: "PUT"},
	}
	for round := range 2 {
		for _, q := range different {
			q.key = "k" // bare
			s.want(q, 201, round == 1)
			q.key = `"k"` // the same
			s.want(q, 201, true)
		}
	}
	s.want(req{key: "k", path: "/orders/2/cancel"}, 422, false)
	s.want(req{key: "k", header: map[string]string{"Accept-Language": "de"}}, 422, false)
	s.want(req{key: "k", path: "/any", header: map[string]string{"Accept-Language": "de"}}, 422, false)
	s.wantEffects(len(different))
}

func failureFrees(s *shop, mount func(*shop, func(context.Context) error)) {
	fails := 2
	mount(s, func(context.Context) error {
		if fails--; fails >= 0 {
			return transport.NewError(transport.Unavailable, "not now", nil)
		}
		return nil
	})
	s.want(req{key: `"k"`, body: mug}, 503, false)
	s.want(req{key: `"k"`, body: `{"item":"cup"}`}, 503, false) // it is free for anything
	s.wantEffects(0)
	s.want(req{key: `"k"`, body: mug}, 201, false)
	s.want(req{key: `"k"`, body: mug}, 201, true)
	s.wantEffects(1)
	s.wantOutcomes(map[string]int{"POST /orders executed": 1, "POST /orders replayed": 1, "POST /orders unkept": 2})
}

func panicFrees(s *shop, mount func(*shop, func(context.Context) error)) {
	panics := true
	mount(s, func(context.Context) error {
		if panics {
			panics = false
			panic("boom")
		}
		return nil
	})
	func() {
		defer func() {
			if v := recover(); v != "boom" {
				s.Errorf("the panic came out as %v, want boom", v)
			}
		}()
		s.do(req{key: `"k"`, body: mug})
	}()
	s.wantEffects(0)
	s.want(req{key: `"k"`, body: mug}, 201, false)
	s.wantEffects(1)
}

func optionalKeys(s *shop, mount func(*shop, func(context.Context) error)) {
	mount(s, nil)
	for range 2 {
		s.want(req{body: mug}, 201, false)
	}
	s.want(req{key: `"`, body: mug}, 400, false)
	s.wantEffects(2)
	if got := number(s, s.db, `SELECT count(*) FROM mainstay_idempotency`); got != 0 {
		s.Errorf("%d keys, want none", got)
	}
	s.leased("GET /orders", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "list") })
	for range 2 {
		s.want(req{method: "GET", key: `"k"`}, 200, false)
	}
}

func databaseAway(s *shop, mount func(*shop, func(context.Context) error)) {
	mount(s, nil)
	s.db.Close()
	r := s.want(req{key: `"k"`, body: mug}, 503, false)
	if r.Header.Get("Retry-After") != "1" {
		s.Errorf("Retry-After = %q, want 1", r.Header.Get("Retry-After"))
	}
}

func expired(s *shop, mount func(*shop, func(context.Context) error)) {
	mount(s, nil)
	s.want(req{key: `"k"`, body: mug}, 201, false)
	s.age(time.Second)
	s.want(req{key: `"k"`, body: `{"item":"cup"}`}, 201, false)
	s.wantEffects(2)
	s.age(time.Second)
	if n, err := s.keys.Clean(s.Context()); n != 1 || err != nil {
		s.Errorf("Clean = %d, %v, want 1", n, err)
	}
}

// age makes all keys older.
func (s *shop) age(by time.Duration) {
	s.Helper()
	mustExec(s, s.db, fmt.Sprintf(`UPDATE mainstay_idempotency SET expires_ms = expires_ms - %d, lease_ms = CASE lease_ms
		WHEN 0 THEN 0 ELSE lease_ms - %[1]d END`, by.Milliseconds()))
}
