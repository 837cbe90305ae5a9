package httpserver_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/transport/httpserver"
)

// answers serves the status that the path names, and panics at /panic.
func answers() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{status}", func(w http.ResponseWriter, r *http.Request) {
		status := 0
		if _, err := fmt.Sscan(r.PathValue("status"), &status); err != nil {
			panic("no status")
		}
		w.WriteHeader(status)
	})
	return mux
}

// logged sends n requests to each path and counts the lines by status.
func logged(t *testing.T, obs *observed, o *httpserver.ObserveOptions, n int, paths ...string) map[float64]int {
	t.Helper()
	h := httpserver.Observe(o)(answers())
	for range n {
		for _, path := range paths {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
		}
	}
	lines := map[float64]int{}
	for _, line := range obs.lines(t) {
		lines[line["status"].(float64)]++
	}
	return lines
}

func TestLogEvery(t *testing.T) {
	for name, c := range map[string]struct {
		every int
		want  map[float64]int
	}{
		"ZeroIsEach":              {0, map[float64]int{200: 10, 404: 10, 503: 10}},
		"OneIsEach":               {1, map[float64]int{200: 10, 404: 10, 503: 10}},
		"CountsEachOutcomeApart":  {4, map[float64]int{200: 3, 404: 3, 503: 10}},
		"TheFirstIsAlwaysThere":   {1000, map[float64]int{200: 1, 404: 1, 503: 10}},
		"NegativeIsFailuresAlone": {-1, map[float64]int{503: 10}},
		"MinimumIsFailuresAlone":  {-1 << 63, map[float64]int{503: 10}},
		"MaximumIsTheFirstOfEach": {1<<63 - 1, map[float64]int{200: 1, 404: 1, 503: 10}},
	} {
		t.Run(name, func(t *testing.T) {
			obs := newObserved()
			o := obs.options()
			o.LogEvery = c.every
			if got := logged(t, obs, o, 10, "/200", "/404", "/503"); !reflect.DeepEqual(got, c.want) {
				t.Errorf("lines by status: got %v, want %v", got, c.want)
			}
			want := map[string]uint64{"GET /{status} 200": 10, "GET /{status} 404": 10, "GET /{status} 503": 10}
			if got := obs.series(t); !reflect.DeepEqual(got, want) {
				t.Errorf("series: got %v, want %v", got, want)
			}
		})
	}
}

// yielding lets others run while it takes attributes.
type yielding struct{ slog.Handler }

func (y yielding) WithAttrs(attrs []slog.Attr) slog.Handler {
	for range 1000 {
		runtime.Gosched()
	}
	return yielding{y.Handler.WithAttrs(attrs)}
}

func TestLogEveryCountsThoseWhoAreFirstAtOnce(t *testing.T) {
	obs := newObserved()
	o := obs.options()
	o.LogEvery = 1000
	o.Logger = slog.New(yielding{o.Logger.Handler()})
	h := httpserver.Observe(o)(answers())
	var ready, wg sync.WaitGroup
	begin := make(chan struct{})
	for range 100 {
		ready.Add(1)
		wg.Go(func() {
			ready.Done()
			<-begin
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/200", nil))
		})
	}
	ready.Wait()
	close(begin)
	wg.Wait()
	if got := len(obs.lines(t)); got != 1 {
		t.Errorf("%d lines, want 1", got)
	}
}

func TestQuiet(t *testing.T) {
	obs := newObserved()
	o := obs.options()
	o.Quiet = func(r *http.Request) bool { return r.URL.Path != "/201" }
	got := logged(t, obs, o, 3, "/200", "/201", "/404", "/503", "/panic")
	if want := map[float64]int{201: 3, 503: 3, 500: 3}; !reflect.DeepEqual(got, want) {
		t.Errorf("lines by status: got %v, want those that are not quiet, and failures: %v", got, want)
	}
	if got := len(obs.spans.GetSpans()); got != 3 {
		t.Errorf("%d spans, want 3: of what is not quiet", got)
	}
	var n uint64
	for _, count := range obs.series(t) {
		n += count
	}
	if n != 15 {
		t.Errorf("%d requests counted, want all 15", n)
	}
}

func TestQuietKeepsTheCallersTrace(t *testing.T) {
	obs := newObserved()
	o := obs.options()
	o.Quiet = func(*http.Request) bool { return true }
	r := httptest.NewRequest("GET", "/503", nil)
	r.Header.Set("traceparent", "00-"+callersTrace+"-"+callersSpan+"-01")
	httpserver.Observe(o)(answers()).ServeHTTP(httptest.NewRecorder(), r)
	if got := obs.lines(t)[0]["trace_id"]; got != callersTrace {
		t.Errorf("trace in the log: got %v, want the caller's", got)
	}
}

// records is a handler that keeps what it is given, in the order in which a reader sees it.
type records struct {
	slog.Handler
	with []slog.Attr
	got  *[]string
	at   *time.Time
}

func (h records) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.with = append(h.with[:len(h.with):len(h.with)], attrs...)
	return h
}

func (h records) Enabled(context.Context, slog.Level) bool { return true }

func (h records) Handle(_ context.Context, r slog.Record) error {
	*h.at = r.Time
	line := r.Level.String() + " " + r.Message
	for _, a := range h.with {
		line += " " + a.Key
	}
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.Key
		return true
	})
	*h.got = append(*h.got, line)
	return nil
}

// TestAccessLogLine holds the names that dashboards are built on.
func TestAccessLogLine(t *testing.T) {
	var got []string
	obs := newObserved()
	o := obs.options()
	o.Logger = slog.New(records{got: &got, at: new(time.Time)})
	logged(t, obs, o, 1, "/200", "/panic")
	const fields = " method route status correlation_id path bytes duration"
	if want := []string{"INFO request" + fields, "ERROR request" + fields + " panic stack"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestAccessLogLineHasTheTimeOfTheEnd, as a logger would have written it then.
func TestAccessLogLineHasTheTimeOfTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		var at time.Time
		o := newObserved().options()
		o.Logger = slog.New(records{got: &got, at: &at})
		h := httpserver.Observe(o)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(time.Minute) }))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		if now := time.Now(); !at.Equal(now) {
			t.Errorf("line of %v, want %v", at, now)
		}
	})
}
