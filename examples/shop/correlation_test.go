package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/mainstay-go/mainstay/pubsub"
	"github.com/mainstay-go/mainstay/pubsub/driver"
	"github.com/mainstay-go/mainstay/pubsub/mempubsub"
	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/inbox"
	"github.com/mainstay-go/mainstay/sqlx/outbox"
	"github.com/mainstay-go/mainstay/tracing/correlation"
	"github.com/mainstay-go/mainstay/tracing/logging"
	"github.com/mainstay-go/mainstay/transport/httpclient"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

// hop is a service in small: an endpoint that writes an event to an outbox, and what the kit has for the rest of its
// way, all with one log in text.
type hop struct {
	t      *testing.T
	logs   *logs
	logger *slog.Logger
	reg    *prometheus.Registry
	broker *mempubsub.Broker
	client *pubsub.Client
	db     *sql.DB
	box    *outbox.Outbox
	in     *inbox.Inbox
	url    string
}

type noted struct{ Request string }

var notedTopic = pubsub.NewTopic[noted]("noted", nil)

func newHop(t *testing.T) *hop {
	t.Helper()
	h := &hop{t: t, logs: &logs{}, reg: prometheus.NewRegistry(), broker: &mempubsub.Broker{}}
	h.logger = logging.New(h.logs, &logging.Options{Format: logging.Text})
	h.client = pubsub.NewClient(h.broker, &pubsub.Options{Logger: h.logger, Registerer: h.reg})
	db, err := sqlx.Open(t.Context(), sqlx.SQLite, "file:"+filepath.Join(t.TempDir(), "hop.db"),
		&sqlx.Options{Logger: h.logger, Registerer: h.reg})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	h.db = db
	h.box = outbox.New(db, sqlx.SQLite, &outbox.Options{Logger: h.logger})
	h.in = inbox.New(db, sqlx.SQLite, &inbox.Options{Logger: h.logger, Registerer: h.reg})
	if err := errors.Join(h.box.Migrate(t.Context()), h.in.Migrate(t.Context())); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(httpserver.Observe(&httpserver.ObserveOptions{Logger: h.logger, Registerer: h.reg})(
		http.HandlerFunc(h.note)))
	t.Cleanup(srv.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	h.url = srv.URL
	return h
}

func (h *hop) note(_ http.ResponseWriter, r *http.Request) {
	err := sqlx.InTx(r.Context(), h.db, func(ctx context.Context, tx *sql.Tx) error {
		return notedTopic.Publish(ctx, h.box.In(tx), noted{r.URL.Query().Get("request")})
	}, nil)
	if err != nil {
		h.t.Errorf("note: %v", err)
	}
}

// request calls the endpoint under a correlation ID.
func (h *hop) request(id string) {
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.url+"/?request="+id, nil)
	if err != nil {
		h.t.Error(err)
		return
	}
	r.Header.Set(correlation.Header, id)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Error(err)
		return
	}
	resp.Body.Close()
}

// run runs what runs until the test ends, and wants it to end well.
func (h *hop) run(r interface{ Run(context.Context) error }) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	h.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Errorf("Run: %v", err)
		}
	})
}

func (h *hop) subscribe(s *pubsub.Subscription) {
	h.t.Helper()
	h.run(s)
	select {
	case <-s.Ready():
	case <-time.After(patience):
		h.t.Fatalf("%v is not ready", s)
	}
}

// refusing is a way to the broker that fails n times.
type refusing struct {
	next pubsub.Publisher
	n    atomic.Int64
}

func (p *refusing) Publish(ctx context.Context, topic string, ms ...*pubsub.Message) error {
	if p.n.Add(-1) >= 0 {
		return errors.New("broker is away")
	}
	return p.next.Publish(ctx, topic, ms...)
}

// fields returns the fields of a line of text that are called key.
func fields(line, key string) (values []string) {
	for _, field := range strings.Fields(line) {
		if v, ok := strings.CutPrefix(field, key+"="); ok {
			values = append(values, v)
		}
	}
	return values
}

// TestOneCorrelationID follows the ID of a request through the outbox's row, the relay, three attempts, and the dead
// letter, and through every line that is logged on the way.
func TestOneCorrelationID(t *testing.T) {
	h := newHop(t)
	h.request("c-1")
	var row string
	if err := h.db.QueryRowContext(t.Context(), `SELECT envelope FROM mainstay_outbox`).Scan(&row); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(row, `"correlation_id":"c-1"`) {
		t.Errorf("the row is %s, want c-1 in it", row)
	}

	var mu sync.Mutex
	var attempts []string
	letters := make(chan *pubsub.Message, 1)
	h.subscribe(h.client.Subscribe("noted.dead-letter.mail", "operator", func(_ context.Context, m *pubsub.Message) error {
		letters <- m
		return nil
	}, nil))
	h.subscribe(inbox.Subscribe(h.in, h.client, notedTopic, "mail", func(ctx context.Context, _ *sql.Tx, _ noted) error {
		mu.Lock()
		defer mu.Unlock()
		attempts = append(attempts, correlation.FromContext(ctx)+" "+pubsub.MessageFrom(ctx).CorrelationID)
		h.logger.InfoContext(ctx, "handler was here")
		return errors.New("mailbox full")
	}, &pubsub.SubscriptionOptions{
		Retry: pubsub.Retry{MaxAttempts: 3, MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond},
	}))
	way := &refusing{next: h.client}
	way.n.Store(1)
	h.run(h.box.Relay(way, &outbox.RelayOptions{Registerer: h.reg}))
	var letter *pubsub.Message
	select {
	case letter = <-letters:
	case <-time.After(patience):
		t.Fatalf("no dead letter within %v:\n%s", patience, h.logs)
	}
	await(t, "the dead letter to be logged", func() bool { return len(h.logs.linesWith("dead-lettered")) > 0 })

	if letter.CorrelationID != "c-1" || letter.DeadLetter.Attempts != 3 {
		t.Errorf("dead letter of %q after %d attempts, want c-1 after 3", letter.CorrelationID, letter.DeadLetter.Attempts)
	}
	mu.Lock()
	defer mu.Unlock()
	if got, want := strings.Join(attempts, ", "), "c-1 c-1, c-1 c-1, c-1 c-1"; got != want {
		t.Errorf("the attempts ran as %s, want %s", got, want)
	}
	for what, want := range map[string]struct{ lines, ids int }{
		"method=POST": {1, 1}, `msg="handler was here"`: {3, 1}, "mailbox full": {3, 1}, "broker is away": {1, 0},
	} {
		lines := h.logs.linesWith(what)
		if len(lines) != want.lines {
			t.Errorf("%d lines with %s, want %d:\n%s", len(lines), what, want.lines, h.logs)
		}
		for _, line := range lines {
			ids := fields(line, correlation.Attr)
			if len(ids) != want.ids || want.ids == 1 && ids[0] != "c-1" {
				t.Errorf("correlation IDs %q, want %d of c-1, in: %s", ids, want.ids, line)
			}
		}
	}
}

// TestCorrelationIDsDoNotMix has a thousand requests at once, each with an ID, and looks at what their events carry.
func TestCorrelationIDsDoNotMix(t *testing.T) {
	const requests = 1000
	h := newHop(t)
	seen := make(chan string, requests)
	h.subscribe(notedTopic.Subscribe(h.client, "mail", func(ctx context.Context, e noted) error {
		if m := pubsub.MessageFrom(ctx); e.Request != m.CorrelationID || e.Request != correlation.FromContext(ctx) {
			t.Errorf("the event of %s came as %s, and was handled as %s", e.Request, m.CorrelationID, correlation.FromContext(ctx))
		}
		seen <- e.Request
		return nil
	}, nil))
	h.run(h.box.Relay(h.client, &outbox.RelayOptions{Registerer: h.reg}))
	var wg sync.WaitGroup
	for i := range requests {
		wg.Go(func() { h.request(fmt.Sprintf("c-%d", i)) })
	}
	wg.Wait()
	different := map[string]bool{}
	for range requests {
		select {
		case id := <-seen:
			different[id] = true
		case <-time.After(patience):
			t.Fatalf("%d of %d events came within %v", len(different), requests, patience)
		}
	}
	if len(different) != requests {
		t.Errorf("%d IDs, want %d", len(different), requests)
	}
	for _, line := range h.logs.linesWith("method=POST") {
		id := fields(line, correlation.Attr)
		if len(id) != 1 || !different[id[0]] {
			t.Errorf("no ID of a request, or one twice, in: %s", line)
			continue
		}
		delete(different, id[0])
	}
	if len(different) != 0 {
		t.Errorf("%d requests have no line of their own", len(different))
	}
}

// TestHostileCorrelationID has a stranger's message bring an ID that is a header of its own. The handler calls another
// service, fails, and both are logged, in text.
func TestHostileCorrelationID(t *testing.T) {
	const hostile = "abc\r\nX-Evil: 1"
	h := newHop(t)
	got := make(chan http.Header, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header }))
	t.Cleanup(srv.Close)
	users := httpclient.New(srv.URL, &httpclient.Options{Registerer: h.reg})
	t.Cleanup(users.CloseIdleConnections)
	done := make(chan error, 1)
	h.subscribe(h.client.Subscribe("noted", "mail", func(ctx context.Context, m *pubsub.Message) error {
		h.logger.InfoContext(ctx, "handler was here", "id", m.ID, "metadata", m.Metadata["note"])
		if m.CorrelationID != correlation.FromContext(ctx) || !correlation.Valid(m.CorrelationID) {
			t.Errorf("the message has the ID %q, its context %q, want one that is valid",
				m.CorrelationID, correlation.FromContext(ctx))
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/users/ada", nil)
		if err != nil {
			return err
		}
		resp, err := users.Do(r)
		if err == nil {
			err = resp.Body.Close()
		}
		done <- err
		return fmt.Errorf("no such user: %s", m.Metadata["note"])
	}, &pubsub.SubscriptionOptions{Retry: pubsub.Retry{MaxAttempts: 1}}))
	err := h.broker.Publish(t.Context(), "noted", []driver.Message{{Attributes: driver.AttributesOf(map[string]string{
		"ce-correlationid": hostile, "ce-id": "m-1\r\nX-Evil: 1", "traceparent": hostile, "note": hostile,
	})}})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Fatalf("the outgoing call: %v, want an answer", err)
		}
	case <-time.After(patience):
		t.Fatalf("the message was not handled:\n%s", h.logs)
	}
	header := <-got
	ids := header.Values(correlation.Header)
	if len(ids) != 1 || !correlation.Valid(ids[0]) || header.Get("X-Evil") != "" {
		t.Fatalf("the call had the header %q, want one ID that is valid, and no X-Evil", header)
	}
	await(t, "the failure to be logged", func() bool { return len(h.logs.linesWith("no such user")) > 0 })
	all := bytes.Split(bytes.TrimSpace([]byte(h.logs.String())), []byte("\n"))
	for _, line := range all {
		if !bytes.HasPrefix(line, []byte("time=")) || bytes.ContainsAny(line, "\r\x00") {
			t.Errorf("a line of its own: %q", line)
		}
	}
	for _, what := range []string{"handler was here", "no such user"} {
		lines := h.logs.linesWith(what)
		if len(lines) != 1 || len(fields(lines[0], correlation.Attr)) != 1 || fields(lines[0], correlation.Attr)[0] != ids[0] {
			t.Errorf("lines %q, want one, of %s", lines, ids[0])
		}
	}
}
