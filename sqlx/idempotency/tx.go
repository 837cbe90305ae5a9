package idempotency

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
)

// Handle registers f as the handler of e under e's pattern, as [Handler] says. It panics where mux does: on a pattern
// that conflicts with another.
func Handle[Req, Res any](k *Keys, mux httpapi.Mux, e *httpapi.Endpoint[Req, Res],
	f func(ctx context.Context, tx *sql.Tx, req Req) (Res, error)) {
	mux.Handle(e.Pattern(), Handler(k, e, f, nil))
}

// Handler returns the http.Handler of e whose f runs once for each key: the key, what f writes through tx, and the
// answer that is stored commit together or not at all, however often processes die. The answer is sent after the
// commit. Without a key, where keys are optional, and for GET and HEAD, f runs in a transaction all the same.
//
// The transaction is one of sqlx.InTx: f runs again where the database reports a conflict, must use the ctx and the tx
// that it is given, and must neither commit nor roll back; sqlx.AfterCommit runs what depends on the commit. Events go
// out by way of package outbox.
//
// An error of f's rolls everything back and frees the key: the next request runs f again. What is to be answered again
// though it is a failure to the caller, such as a card that was declined, is a result. A request that is refused before
// it reaches f, by the endpoint's access rule or because it is not valid, uses no key; the rule holds for replays too.
//
// While a twin is handled, a request is refused with 409 on PostgreSQL, or waits as Options.Wait says. On SQLite it
// waits for its turn to write, as every transaction there, and is answered by what the twin has stored.
//
// The whole answer is held in memory until the commit. One that is larger than MaxResponse is an error, 500, and rolls
// back what was done. Where the outcome of the commit is unknown (sqlx.ErrCommitUnknown) the answer is 503: asked again
// by the same key, the database tells.
func Handler[Req, Res any](k *Keys, e *httpapi.Endpoint[Req, Res],
	f func(ctx context.Context, tx *sql.Tx, req Req) (Res, error), o *httpapi.HandlerOptions) http.Handler {
	return &inTx{k, e.Handler(func(ctx context.Context, req Req) (res Res, err error) {
		err = k.run(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
			res, err = f(ctx, tx, req)
			return err
		})
		return res, err
	}, o)}
}

// inTx is an endpoint whose handler runs in a transaction.
type inTx struct {
	keys *Keys
	next http.Handler
}

// Access tells a server whom to let through without a credential.
func (h *inTx) Access() transport.Access { return accessOf(h.next) }

func (h *inTx) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k := h.keys
	if safe(r.Method) {
		h.next.ServeHTTP(w, r)
		return
	}
	q, ok := k.begin(w, r)
	switch {
	case !ok:
		return
	case q.key == "":
		h.next.ServeHTTP(w, r)
		return
	}
	waits := newWaiter(k.opt.Wait)
	for {
		c := &call{keys: k, request: q, holder: uuid.NewString()}
		rec, err := c.attempt(w, r, h.next)
		if errors.Is(err, errTwin) && waits.again(r.Context()) {
			continue
		}
		c.answer(w, r, rec, err)
		return
	}
}

// run runs f in the transaction of the request's key, or in one of its own.
func (k *Keys) run(ctx context.Context, f func(context.Context, *sql.Tx) error) error {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c.run(ctx, f)
	}
	if k.err != nil {
		return k.err
	}
	err := sqlx.InTx(ctx, k.db, f, &sqlx.TxOptions{Isolation: k.opt.Isolation})
	switch {
	case errors.Is(err, sqlx.ErrCommitUnknown):
		return unavailable(err)
	case sqlx.IsConflict(err):
		return busy(err)
	}
	return err
}

// call is one request of a key, in a transaction.
type call struct {
	keys    *Keys
	request *request
	holder  string

	// Of the attempt that was made last.
	tx      *sql.Tx
	entered bool   // the endpoint has let the request through
	err     error  // why the endpoint's code was left
	stored  *found // the answer that is to be replayed
}

type callKey struct{}

var (
	errTwin   = errors.New("idempotency: the key's twin is being handled")
	errStored = errors.New("idempotency: the key's answer is stored")
	errAnswer = errors.New("idempotency: the answer is an error")
)

// attempt runs next in a transaction. It returns what next has answered, and why that was not committed.
func (c *call) attempt(w http.ResponseWriter, r *http.Request, next http.Handler) (rec *recorder, err error) {
	err = sqlx.InTx(r.Context(), c.keys.db, func(ctx context.Context, tx *sql.Tx) error {
		c.tx, c.entered, c.err, c.stored = tx, false, nil, nil
		rec = newRecorder(w, c.keys.opt.MaxResponse, true)
		inner := r.WithContext(context.WithValue(ctx, callKey{}, c))
		inner.Body = c.request.reader()
		c.serve(rec, inner, next)
		switch {
		case c.err != nil:
			return c.err
		case rec.tooLarge:
			return errTooLarge
		case rec.status >= 400:
			return errAnswer
		}
		return c.keep(ctx, rec)
	}, &sqlx.TxOptions{Isolation: c.keys.opt.Isolation})
	return rec, err
}

// serve runs next until it returns, or is left. A panic of the handler's goes on as it was.
func (c *call) serve(rec *recorder, r *http.Request, next http.Handler) {
	defer func() {
		if c.err != nil {
			_ = recover()
		}
	}()
	next.ServeHTTP(rec, r)
}

// leave ends the run of the endpoint's code. An error would do, but for the server's log, which would have it that the
// request failed.
func (c *call) leave(err error) {
	c.err = err
	panic(http.ErrAbortHandler)
}

// run claims the key and runs f.
func (c *call) run(ctx context.Context, f func(context.Context, *sql.Tx) error) error {
	c.entered = true
	if err := c.claim(ctx); err != nil {
		c.leave(err)
	}
	err := f(ctx, c.tx)
	if sqlx.IsConflict(err) {
		c.leave(err)
	}
	return err
}

func (c *call) claim(ctx context.Context) error {
	f, took, err := c.keys.store.take(ctx, c.tx, c.request, c.holder, true)
	switch {
	case err != nil:
		return fmt.Errorf("idempotency: claim a key: %w", err)
	case took:
		return nil
	case f == nil:
		return errTwin
	case !c.request.is(f):
		return mismatch()
	case !f.status.Valid:
		return errTwin
	}
	c.stored = f
	return errStored
}

func (c *call) keep(ctx context.Context, rec *recorder) error {
	kept, err := c.keys.store.keep(ctx, c.tx, c.request, c.holder, rec.answer(c.keys))
	if err == nil && !kept {
		err = errors.New("the key is another's")
	}
	if err != nil {
		return fmt.Errorf("idempotency: keep an answer: %w", err)
	}
	return nil
}

// answer sends what became of the request, where err is why nothing was committed.
func (c *call) answer(w http.ResponseWriter, r *http.Request, rec *recorder, err error) {
	k, q := c.keys, c.request
	_, refused := errors.AsType[*refusal](err)
	switch {
	case err == nil:
		k.counts.add(q.pattern, outcomeExecuted)
		rec.finish()
	case errors.Is(err, errAnswer): // the endpoint has put it into words
		if c.entered {
			k.counts.add(q.pattern, outcomeUnkept)
		}
		rec.finish()
	case errors.Is(err, errStored):
		k.replay(w, r, q, c.stored)
	case errors.Is(err, errTwin):
		k.refuse(w, r, q, outcomeConflict, inFlight())
	case refused:
		k.refuse(w, r, q, outcomeMismatch, err)
	case errors.Is(err, errTooLarge):
		k.opt.Logger.ErrorContext(r.Context(), "idempotency: an answer is too large to be kept, and what was done is undone",
			"route", q.route, "limit", k.opt.MaxResponse)
		k.refuse(w, r, q, outcomeFailed, err)
	case sqlx.IsConflict(err):
		k.refuse(w, r, q, outcomeFailed, busy(err))
	default:
		k.refuse(w, r, q, outcomeFailed, unavailable(err))
	}
}
