package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/google/uuid"

	"github.com/mainstay-go/mainstay/tracing/correlation"
)

// correlator is a middleware, and how to ask for the ID behind it.
type correlator struct {
	handler func(http.Handler) http.Handler
	id      func(context.Context) string
}

func correlationTables() ([]table, error) {
	kit := correlator{correlation.Handler, correlation.FromContext}
	var tables []table
	for _, p := range []struct {
		name            string
		peer            correlator
		header          string // that both sides adopt an ID from
		adopted, minted target
	}{
		{"by hand", correlator{byHandCorrelation, byHandID}, correlation.Header, target{ns: 250}, target{ns: 500}},
		{"chi", correlator{chiCorrelation, middleware.GetReqID}, middleware.RequestIDHeader, target{}, target{}},
	} {
		sent := http.Header{p.header: {correlationID}}
		for side, c := range map[string]correlator{"mainstay": kit, p.name: p.peer} {
			if err := c.check(sent); err != nil {
				return nil, fmt.Errorf("%s: %w", side, err)
			}
		}
		nobody := http.HandlerFunc(nothing)
		ours, theirs := kit.handler(nobody), p.peer.handler(nobody)
		tables = append(tables, table{"a correlation ID: adopted or minted, stored, echoed", p.name, []contest{
			{"ID adopted", caller(ours, sent), caller(theirs, sent), p.adopted},
			{"ID minted", caller(ours, http.Header{}), caller(theirs, http.Header{}), p.minted},
		}})
	}
	return tables, nil
}

// check reports where c does not adopt the ID that was sent, mints one twice, or echoes another than the handler sees.
func (c correlator) check(sent http.Header) error {
	seen := map[string]bool{}
	for _, header := range []http.Header{sent, {}, {}} {
		var id, echo string
		caller(c.handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, echo = c.id(r.Context()), w.Header().Get(correlation.Header)
		})), header)()
		if id == "" || echo != id || seen[id] {
			return fmt.Errorf("got %q, echoed %q after %v, want a new one, echoed", id, echo, seen)
		}
		seen[id] = true
	}
	if !seen[correlationID] {
		return fmt.Errorf("got %v, want %s among them", seen, correlationID)
	}
	return nil
}

type idKey struct{}

func byHandID(ctx context.Context) string {
	id, _ := ctx.Value(idKey{}).(string)
	return id
}

func byHandCorrelation(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(correlation.Header)
		if id == "" {
			id = uuid.NewString()
		}
		w.Header().Set(correlation.Header, id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), idKey{}, id)))
	})
}

// chiCorrelation echoes the ID, which RequestID leaves to others.
func chiCorrelation(next http.Handler) http.Handler {
	return middleware.RequestID(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(correlation.Header, middleware.GetReqID(r.Context()))
		next.ServeHTTP(w, r)
	}))
}
