package sqlxtest_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/auth"
	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/idempotency"
	"github.com/mainstay-go/mainstay/sqlx/outbox"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
	"github.com/mainstay-go/mainstay/transport"
	"github.com/mainstay-go/mainstay/transport/httpapi"
)

func TestIdempotencyInTx(t *testing.T) {
	none := idempotency.Options{}
	t.Run("AnErrorUndoesEverything", func(t *testing.T) { eachShop(t, none, errorUndoes) })
	t.Run("AConflictRunsTheHandlerAgain", func(t *testing.T) { eachShop(t, none, txConflict) })
	t.Run("EndlessConflictsAre409", func(t *testing.T) { eachShop(t, none, endlessConflict) })
	t.Run("IsolationLevels", isolationLevels)
	t.Run("ACommitOfUnknownOutcomeIs503AndTheKeyTells", txCommitUnknown)
	t.Run("TooLargeAnAnswerUndoesEverything", func(t *testing.T) {
		eachShop(t, idempotency.Options{MaxResponse: 20}, txTooLarge)
	})
	t.Run("WhatIsRefusedBeforeTheHandlerUsesNoKey", func(t *testing.T) { eachShop(t, none, refusedBefore) })
	t.Run("ReplaysPassTheAccessRule", func(t *testing.T) { eachShop(t, none, accessRule) })
	t.Run("EventsLeaveOnce", func(t *testing.T) { eachShop(t, none, eventsOnce) })
}

func errorUndoes(s *shop) {
	fail := true
	s.inTx(func(context.Context, *sql.Tx, newOrder) error {
		if fail {
			return transport.NewError(transport.NotFound, "no such item", nil) // kept by the middleware, undone here
		}
		return nil
	})
	for range 2 {
		s.want(req{key: `"k"`, body: mug}, 404, false)
	}
	s.wantEffects(0)
	if got := number(s, s.db, `SELECT count(*) FROM mainstay_idempotency`); got != 0 {
		s.Errorf("%d keys, want none", got)
	}
	fail = false
	s.want(req{key: `"k"`, body: mug}, 201, false)
	s.wantEffects(1)
}

func txConflict(s *shop) {
	runs, committed := 0, 0
	s.inTx(func(ctx context.Context, tx *sql.Tx, _ newOrder) error {
		runs++
		sqlx.AfterCommit(ctx, func() { committed++ })
		if runs < 3 {
			return fmt.Errorf("wrapped: %w", conflictError{})
		}
		return nil
	})
	r := s.want(req{key: `"k"`, body: mug}, 201, false)
	if got := text(r); !strings.Contains(got, "mug") {
		s.Errorf("answered %s, want the mug: each run reads the whole request", got)
	}
	if runs != 3 || committed != 1 {
		s.Errorf("%d runs and %d commits, want 3 and 1", runs, committed)
	}
	s.wantEffects(1)
}

func endlessConflict(s *shop) {
	s.inTx(func(context.Context, *sql.Tx, newOrder) error { return conflictError{} })
	r := s.want(req{key: `"k"`, body: mug}, 409, false)
	if r.Header.Get("Retry-After") != "1" {
		s.Errorf("Retry-After = %q, want 1", r.Header.Get("Retry-After"))
	}
	s.wantEffects(0)
}

// isolationLevels has twins meet whose snapshots are older than the other's commit.
func isolationLevels(t *testing.T) {
	for _, level := range []sql.IsolationLevel{sql.LevelRepeatableRead, sql.LevelSerializable} {
		t.Run(level.String(), func(t *testing.T) {
			s := newShop(t, sqlxtest.Postgres(t), sqlx.Postgres, idempotency.Options{Isolation: level})
			s.inTx(func(_ context.Context, tx *sql.Tx, _ newOrder) error { wantIsolation(t, tx, level); return nil })
			errs := together(20, func() error {
				for {
					switch r := s.do(req{key: `"k"`, body: mug}); r.StatusCode {
					case 201:
						return nil
					case 409:
					default:
						return fmt.Errorf("%d: %s", r.StatusCode, text(r))
					}
				}
			})
			if err := errors.Join(errs...); err != nil {
				t.Error(err)
			}
			s.wantEffects(1)
		})
	}
}

func txCommitUnknown(t *testing.T) {
	p := newProxy(t, sqlxtest.DSN(t, sqlx.Postgres))
	p.start(t)
	s := newShop(t, inboxReplica(t, sqlx.Postgres, p.DSN), sqlx.Postgres, idempotency.Options{})
	runs := 0
	s.inTx(func(ctx context.Context, tx *sql.Tx, _ newOrder) error {
		if runs++; runs == 1 {
			sqlx.AfterCommit(ctx, func() { t.Error("the commit is known") })
			p.cut("commit")
		}
		return nil
	})
	s.want(req{key: `"k"`, body: mug}, 503, false)
	eventually(t, func() bool { // the server may still be at it
		return s.do(req{key: `"k"`, body: mug}).StatusCode != 409
	})
	s.want(req{key: `"k"`, body: mug}, 201, true)
	if runs != 1 {
		t.Errorf("%d runs, want 1: the commit had arrived", runs)
	}
	s.wantEffects(1)
}

func txTooLarge(s *shop) {
	s.inTx(nil)
	s.want(req{key: `"k"`, body: `{"item":"a mug that is longer than that"}`}, 500, false)
	s.wantEffects(0)
	s.wantWarning("too large to be kept")
	s.want(req{key: `"k"`, body: mug}, 201, false)
}

func refusedBefore(s *shop) {
	s.inTx(func(context.Context, *sql.Tx, newOrder) error { return nil })
	s.want(req{key: `"k"`, body: `{`}, 400, false)
	s.want(req{key: `"k"`, body: mug}, 201, false)
	s.want(req{key: `"k"`, body: `{`}, 400, false)
	s.wantOutcomes(map[string]int{"POST /orders executed": 1})
}

func accessRule(s *shop) {
	e := httpapi.NewEndpoint[newOrder, madeOrder]("POST /orders",
		&httpapi.EndpointOptions{Access: transport.Authenticated, Scopes: []string{"orders"}})
	h := idempotency.Handler(s.keys, e, func(context.Context, *sql.Tx, newOrder) (madeOrder, error) {
		return madeOrder{}, nil
	}, nil)
	s.mux.Handle(e.Pattern(), h)
	if got := h.(interface{ Access() transport.Access }).Access(); got != transport.Authenticated {
		s.Errorf("Access = %v, want the endpoint's", got)
	}
	if got := s.keys.Middleware(h).(interface{ Access() transport.Access }).Access(); got != transport.Authenticated {
		s.Errorf("Access of the middleware = %v, want the endpoint's", got)
	}
	if got := s.keys.Middleware(http.NotFoundHandler()).(interface{ Access() transport.Access }).Access(); got != transport.InternalOnly {
		s.Errorf("Access of a plain handler = %v, want %v", got, transport.InternalOnly)
	}
	ann := auth.Principal{Subject: "ann", Scopes: []string{"orders"}}
	with := func() context.Context { return auth.NewContext(s.Context(), ann) }
	s.want(req{ctx: with(), key: `"k"`, body: mug}, 200, false)
	s.want(req{ctx: with(), key: `"k"`, body: mug}, 200, true)
	ann.Scopes = nil
	s.want(req{ctx: with(), key: `"k"`, body: mug}, 403, false)
	s.want(req{key: `"k"`, body: mug}, 401, false)
}

func eventsOnce(s *shop) {
	box := outbox.New(s.db, s.d, &outbox.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := box.Migrate(s.Context()); err != nil {
		s.Fatal(err)
	}
	made := pubsub.NewTopic[newOrder]("orders", nil)
	fails := 1
	s.inTx(func(ctx context.Context, tx *sql.Tx, o newOrder) error {
		if err := made.Publish(ctx, box.In(tx), o); err != nil {
			return err
		}
		if fails--; fails >= 0 {
			return errors.New("after the event")
		}
		return nil
	})
	s.want(req{key: `"k"`, body: mug}, 500, false)
	s.want(req{key: `"k"`, body: mug}, 201, false)
	s.want(req{key: `"k"`, body: mug}, 201, true)
	if got := number(s, s.db, `SELECT count(*) FROM mainstay_outbox`); got != 1 {
		s.Errorf("%d events, want 1", got)
	}
	if strings.Contains(s.logs.String(), "level") {
		s.Errorf("logged %s, want nothing", s.logs)
	}
}
