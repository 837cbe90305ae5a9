package sqlxtest_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/sqlx"
	"github.com/mainstay-go/mainstay/sqlx/idempotency"
	"github.com/mainstay-go/mainstay/sqlx/sqlxtest"
)

func TestIdempotencyMiddleware(t *testing.T) {
	short := idempotency.Options{Lease: 1500 * time.Millisecond}
	t.Run("ALiveHandlerKeepsItsLease", func(t *testing.T) { eachShop(t, short, leaseExtended) })
	t.Run("ALateAnswerIsNotStoredOverAnothers", func(t *testing.T) { eachShop(t, short, lateAnswer) })
	t.Run("ALateAnswerIsRefusedWhileAnotherRuns", func(t *testing.T) { eachShop(t, short, lateWhileAnotherRuns) })
	t.Run("ALateAnswerIsStoredWhereNobodyElseRuns", func(t *testing.T) { eachShop(t, short, lateButAlone) })
	t.Run("ALostDatabaseEndsTheHandler", leaseRunsOut)
	t.Run("WhatWasLeftBehindIsTakenOverByTheSame", func(t *testing.T) { eachShop(t, idempotency.Options{}, takenOver) })
	t.Run("StatusesThatAreKept", func(t *testing.T) { eachShop(t, idempotency.Options{}, statuses) })
	t.Run("HeadersThatAreKept", func(t *testing.T) { eachShop(t, idempotency.Options{}, headers) })
	t.Run("TheAnswerIsKeptThoughTheCallerLeft", func(t *testing.T) { eachShop(t, idempotency.Options{}, callerLeft) })
	t.Run("ACallerWhoLeftHoldsNoKey", func(t *testing.T) { eachShop(t, idempotency.Options{}, leftBefore) })
	t.Run("WhatIsFlushedArrivesAtOnceAndIsKept", func(t *testing.T) {
		eachShop(t, idempotency.Options{MaxResponse: 100}, flushed)
	})
	t.Run("WhatIsTooLargeIsPassedOnAndNotRunAgain", func(t *testing.T) {
		eachShop(t, idempotency.Options{MaxResponse: 100}, tooLarge)
	})
	t.Run("ALargeRequestIsRefused", func(t *testing.T) { eachShop(t, idempotency.Options{MaxBody: 10}, largeRequest) })
	t.Run("AnAnswerThatCannotBeKeptIsSent", cannotKeep)
	t.Run("AConnectionLostWhileItIsKeptIsNoLeaseLost", keptTwice)
}

func leaseExtended(s *shop) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s.leased("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-leave
		if err := r.Context().Err(); err != nil {
			s.Errorf("the handler's context ended with %v", err)
		}
		s.order(w, r)
	})
	var first sync.WaitGroup
	first.Go(func() { s.want(req{key: `"k"`, body: mug}, 201, false) })
	<-entered
	until := number(s, s.db, `SELECT lease_ms + 2000 FROM mainstay_idempotency`) // more than another lease
	eventually(s.T, func() bool {
		s.want(req{key: `"k"`, body: mug}, 409, false)
		return number(s, s.db, `SELECT `+s.d.Now()) > until
	})
	close(leave)
	first.Wait()
	s.want(req{key: `"k"`, body: mug}, 201, true)
	s.wantEffects(1)
}

// another changes the row as another process would that has taken the key over.
func (s *shop) another(set string) {
	s.Helper()
	mustExec(s, s.db, `UPDATE mainstay_idempotency SET holder = 'another', `+set)
}

// late mounts a handler that goes on, after its lease was lost, to an answer of its own.
func (s *shop) late(lose func()) {
	s.leased("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		lose()
		<-r.Context().Done()
		if err := context.Cause(r.Context()); !errors.Is(err, idempotency.ErrLeaseLost) {
			s.Errorf("the handler's context ended with %v, want %v", err, idempotency.ErrLeaseLost)
		}
		s.order(w, r)
	})
}

func (s *shop) wantWarning(text string) {
	s.Helper()
	if logs := s.logs.String(); strings.Count(logs, "\n") != 1 || !strings.Contains(logs, text) {
		s.Errorf("logged %q, want one line with %q", logs, text)
	}
}

func lateAnswer(s *shop) {
	s.late(func() { s.another(`lease_ms = 0, status = 202, body = '` + s.blob("theirs") + `'`) })
	r := s.want(req{key: `"k"`, body: mug}, 202, true)
	if got := text(r); got != "theirs" {
		s.Errorf("answered %q, want what is stored, theirs", got)
	}
	s.want(req{key: `"k"`, body: mug}, 202, true)
	s.wantWarning("lease was lost")
}

// blob is text as a literal of bytes, without the quotes.
func (s *shop) blob(text string) string {
	if s.d == sqlx.Postgres {
		return fmt.Sprintf(`\x%x`, text)
	}
	return text
}

func lateWhileAnotherRuns(s *shop) {
	s.late(func() { s.another(`lease_ms = lease_ms + 100000`) })
	s.want(req{key: `"k"`, body: mug}, 409, false)
	if got := number(s, s.db, `SELECT count(*) FROM mainstay_idempotency WHERE holder = 'another' AND status IS NULL`); got != 1 {
		s.Error("the late handler has changed what is another's")
	}
	s.wantWarning("lease was lost")
	if got := s.outcomes()["POST /orders lost"]; got != 1 {
		s.Errorf("%d lost counted, want 1", got)
	}
}

func lateButAlone(s *shop) {
	s.late(func() { mustExec(s, s.db, `DELETE FROM mainstay_idempotency`) })
	s.want(req{key: `"k"`, body: mug}, 201, false)
	s.want(req{key: `"k"`, body: mug}, 201, true)
	s.wantEffects(1)
}

// leaseRunsOut has the database stop answering while the handler runs.
func leaseRunsOut(t *testing.T) {
	p := newProxy(t, sqlxtest.DSN(t, sqlx.Postgres))
	p.start(t)
	s := newShop(t, inboxReplica(t, sqlx.Postgres, p.DSN), sqlx.Postgres, idempotency.Options{Lease: time.Second})
	s.leased("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		p.stop()
		<-r.Context().Done()
		if err := context.Cause(r.Context()); !errors.Is(err, idempotency.ErrLeaseLost) {
			t.Errorf("the handler's context ended with %v, want %v", err, idempotency.ErrLeaseLost)
		}
		w.WriteHeader(http.StatusCreated)
	})
	s.want(req{key: `"k"`, body: mug}, 201, false)
	s.wantWarning("could not be kept")
}

func takenOver(s *shop) {
	runs := 0
	s.leased("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		if runs++; runs == 1 {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		s.order(w, r)
	})
	s.want(req{key: `"k"`, body: mug}, 202, false)
	s.another(`status = NULL, lease_ms = 1`) // it has died
	s.want(req{key: `"k"`, body: `{"item":"cup"}`}, 422, false)
	s.want(req{key: `"k"`, body: mug}, 201, false)
	s.want(req{key: `"k"`, body: mug}, 201, true)
	s.wantEffects(1)
}

func statuses(s *shop) {
	kept := map[int]bool{}
	for _, status := range []int{200, 201, 202, 204, 301, 302, 303, 304, 402, 404, 405, 406, 410, 411, 412, 424, 428, 451} {
		kept[status] = true
	}
	for _, status := range []int{400, 401, 403, 408, 409, 413, 415, 421, 422, 425, 429, 499, 500, 501, 502, 503, 504, 599} {
		kept[status] = false
	}
	for status, keep := range kept {
		pattern := fmt.Sprintf("POST /%d", status)
		s.leased(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
		})
		s.want(req{path: pattern[5:], key: `"k"`}, status, false)
		s.want(req{path: pattern[5:], key: `"k"`}, status, keep)
	}
	s.keys = idempotency.New(s.db, s.d, &idempotency.Options{
		Registerer: s.reg, Keep: func(status int) bool { return status == 503 },
	})
	for status, keep := range map[int]bool{503: true, 200: false} {
		pattern := fmt.Sprintf("POST /own/%d", status)
		s.leased(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
		})
		s.want(req{path: pattern[5:], key: `"k"`}, status, false)
		s.want(req{path: pattern[5:], key: `"k"`}, status, keep)
	}
}

func headers(s *shop) {
	outer := 0
	h := s.keys.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if h.Get("X-Outer") == "" {
			s.Error("the handler does not see the header that was set outside")
		}
		h.Add("Link", "</a>; rel=a")
		h.Add("Link", "</b>; rel=b")
		h.Set("X-Bytes", "\xe9 \t: x")
		h.Set("X-Empty", "")
		h.Set("X-Changed", "inner")
		h.Del("X-Removed")
		h.Set("Set-Cookie", "session=1")
		h.Set("Connection", "close")
		h.Set("Date", "Thu, 01 Jan 1970 00:00:00 GMT")
		w.WriteHeader(http.StatusEarlyHints) // dropped
		w.WriteHeader(http.StatusCreated)
		h.Set("X-Late", "1")
		w.WriteHeader(http.StatusTeapot)
	}))
	s.mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		outer++
		w.Header().Set("X-Outer", fmt.Sprint(outer))
		w.Header().Set("X-Changed", "outer")
		w.Header().Set("X-Removed", "outer")
		h.ServeHTTP(w, r)
	})
	first := s.want(req{key: `"k"`}, 201, false).Header
	if first.Get("Set-Cookie") == "" || first.Get("Connection") == "" || first.Get("X-Late") != "" || first["X-Removed"] != nil {
		s.Errorf("the first answer has %v, want all that was set in time", first)
	}
	again := s.want(req{key: `"k"`}, 201, true).Header
	for name, want := range map[string]string{
		"Link": "</a>; rel=a,</b>; rel=b", "X-Bytes": "\xe9 \t: x", "X-Empty": "", "X-Changed": "inner", "X-Outer": "2",
		"Set-Cookie": "", "Connection": "", "Date": "", "X-Late": "",
	} {
		if got := strings.Join(again[name], ","); got != want {
			s.Errorf("replayed %s = %q, want %q", name, got, want)
		}
	}
	if _, there := again["X-Empty"]; !there {
		s.Error("an empty header is not replayed")
	}
}

func callerLeft(s *shop) {
	ctx, leave := context.WithCancel(s.Context())
	s.leased("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		leave()
		s.order(w, r)
	})
	s.do(req{ctx: ctx, key: `"k"`, body: mug})
	s.want(req{key: `"k"`, body: mug}, 201, true)
	s.wantEffects(1)
}

func leftBefore(s *shop) {
	s.leased("POST /orders", s.order)
	ctx, leave := context.WithCancel(s.Context())
	leave()
	s.want(req{ctx: ctx, key: `"k"`, body: mug}, 499, false)
	s.wantEffects(0)
	s.want(req{key: `"k"`, body: mug}, 201, false)
}

func flushed(s *shop) {
	flushed, leave := make(chan error, 1), make(chan struct{})
	s.leased("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Order", "1")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, "one\n")
		c := http.NewResponseController(w)
		flushed <- errors.Join(c.Flush(), c.SetWriteDeadline(time.Now().Add(time.Minute)))
		<-leave
		fmt.Fprint(w, "two\n")
		if _, _, err := c.Hijack(); err == nil {
			s.Error("the connection was hijacked, past the record")
		}
	})
	server := httptest.NewServer(s.mux)
	defer server.Close()
	send := func() *http.Response {
		r, _ := http.NewRequestWithContext(s.Context(), "POST", server.URL+"/orders", strings.NewReader(mug))
		r.Header.Set("Idempotency-Key", `"k"`)
		resp, err := server.Client().Do(r)
		if err != nil {
			s.Fatal(err)
		}
		return resp
	}
	resp := send()
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	if first, err := lines.ReadString('\n'); first != "one\n" || err != nil {
		s.Errorf("the first line is %q, %v, want one", first, err)
	}
	if err := <-flushed; err != nil {
		s.Error(err)
	}
	close(leave)
	if rest, err := io.ReadAll(lines); string(rest) != "two\n" || err != nil {
		s.Errorf("the rest is %q, %v, want two", rest, err)
	}
	again := send()
	defer again.Body.Close()
	if got := text(again); again.StatusCode != 201 || got != "one\ntwo\n" || again.Header.Get("X-Order") != "1" ||
		again.Header.Get("Idempotency-Replayed") != "true" {
		s.Errorf("replayed %d %q %v, want 201, one, two", again.StatusCode, got, again.Header)
	}
}

func tooLarge(s *shop) {
	want := bytes.Repeat([]byte("0123456789"), 30)
	s.leased("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusCreated)
		for i := 0; i < len(want); i += 30 {
			if _, err := w.Write(want[i : i+30]); err != nil {
				s.Error(err)
			}
		}
		mustExec(s, s.db, `INSERT INTO effects VALUES ('order', 'mug')`)
	})
	if got := text(s.want(req{key: `"k"`}, 201, false)); got != string(want) {
		s.Errorf("the first answer is %d bytes, %q, want all 300", len(got), got)
	}
	if got := text(s.want(req{key: `"k"`}, 409, false)); !strings.Contains(got, "already_exists") {
		s.Errorf("the problem is %s, want one that says that it was done", got)
	}
	s.wantEffects(1)
}

func largeRequest(s *shop) {
	s.leased("POST /orders", s.order)
	s.want(req{key: `"k"`, body: "12345678901"}, 413, false)
	s.wantEffects(0)
	s.want(req{key: `"k"`, body: "1234567890"}, 201, false)
}

// cannotKeep has the table go away while the handler runs.
func cannotKeep(t *testing.T) {
	eachShop(t, idempotency.Options{}, func(s *shop) {
		s.leased("POST /orders", func(w http.ResponseWriter, r *http.Request) {
			s.order(w, r)
			mustExec(s, s.db, `ALTER TABLE mainstay_idempotency RENAME TO elsewhere`)
		})
		s.want(req{key: `"k"`, body: mug}, 201, false)
		s.wantWarning("level=ERROR")
		s.wantWarning("could not be kept")
	})
}

// keptTwice has the database store an answer and the connection break before it says so.
func keptTwice(t *testing.T) {
	p := newProxy(t, sqlxtest.DSN(t, sqlx.Postgres))
	p.start(t)
	s := newShop(t, inboxReplica(t, sqlx.Postgres, p.DSN), sqlx.Postgres, idempotency.Options{})
	s.leased("POST /orders", s.order)
	s.want(req{key: `"k-1"`, body: mug}, 201, false) // its statements are prepared from here on
	p.cut("made {")
	s.want(req{key: `"k-2"`, body: mug}, 201, false)
	if p.cuts([]byte("made {")) {
		t.Error("the connection was not cut while the answer was stored")
	}
	s.want(req{key: `"k-2"`, body: mug}, 201, true)
	s.wantEffects(2)
	if s.logs.String() != "" {
		t.Errorf("logged %s, want nothing: the answer was kept", s.logs)
	}
}
