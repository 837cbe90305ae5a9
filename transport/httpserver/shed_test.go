package httpserver_test

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mainstay-go/mainstay/resilience"
	"github.com/mainstay-go/mainstay/transport/health"
	"github.com/mainstay-go/mainstay/transport/httpserver"
)

func TestShed(t *testing.T) {
	t.Run("AnswersWhatThereIsNoRoomForAndNeverShedsProbes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			checks := health.New(nil)
			mux := http.NewServeMux()
			mux.Handle("GET /livez", checks.Liveness())
			mux.Handle("GET /readyz", checks.Readiness())
			mux.HandleFunc("GET /work", func(http.ResponseWriter, *http.Request) { <-release })
			s := resilience.NewShedder(&resilience.ShedderOptions{Limit: 2})
			obs := newObserved()
			h := httpserver.Observe(obs.options())(httpserver.Shed(s, &httpserver.ShedOptions{
				Priority: func(r *http.Request) int { return len(r.Header["Important"]) },
				Never:    func(r *http.Request) bool { return r.URL.Path == "/special" },
			})(httpserver.Deadline(time.Minute)(mux)))
			important := func(path string) *http.Request {
				r := request(t, "GET", path, nil)
				r.Header.Set("Important", "yes")
				return r
			}
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					if w := serve(h, important("/work")); w.Code != 200 {
						t.Errorf("what has room: status %d, want 200", w.Code)
					}
				})
				synctest.Wait()
			}
			for _, c := range []struct {
				path string
				want int
			}{{"/work", 503}, {"/livez", 200}, {"/readyz", 200}, {"/special", 404}, {"/nowhere", 503}} {
				w := serve(h, important(c.path))
				if w.Code != c.want {
					t.Errorf("%s under load: status %d, want %d", c.path, w.Code, c.want)
				}
				if got := w.Header().Get("Retry-After"); (got == "1") != (c.want == 503) {
					t.Errorf("%s: Retry-After %q", c.path, got)
				}
			}
			close(release)
			wg.Wait()
			if s.Running() != 0 {
				t.Errorf("%d still hold room", s.Running())
			}
			if got := obs.series(t)["GET  503"]; got != 2 {
				t.Errorf("%d counted as 503, want 2", got)
			}
		})
	})
	t.Run("TellsTheShedderWhatCameOfIt", func(t *testing.T) {
		var told []bool
		s := tellTale{&told}
		for _, h := range []http.HandlerFunc{
			func(http.ResponseWriter, *http.Request) {},
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGatewayTimeout) },
			func(http.ResponseWriter, *http.Request) { panic("a bug") },
		} {
			func() {
				defer func() { _ = recover() }()
				serve(httpserver.Shed(s, nil)(h), request(t, "GET", "/", nil))
			}()
		}
		want := []bool{false, false, true, true, true}
		if len(told) != len(want) {
			t.Fatalf("told %v, want %v", told, want)
		}
		for i := range want {
			if told[i] != want[i] {
				t.Errorf("told %v, want %v", told, want)
			}
		}
	})
}

type tellTale struct{ told *[]bool }

func (tellTale) Enter(int) bool                       { return true }
func (s tellTale) Leave(_ time.Duration, failed bool) { *s.told = append(*s.told, failed) }
