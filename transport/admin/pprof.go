package admin

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	defaultProfile = 30 * time.Second // what go tool pprof asks for
	defaultTrace   = time.Second
	maxProfile     = 5 * time.Minute
)

func profileIndex(w http.ResponseWriter, _ *http.Request) {
	var b strings.Builder
	b.WriteString("<!doctype html><title>profiles</title><ul>\n")
	names := []string{"profile?seconds=30", "trace?seconds=1"}
	for _, p := range pprof.Profiles() {
		names = append(names, p.Name()+"?debug=1")
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "<li><a href=\"%s\">%s</a>\n", name, name)
	}
	b.WriteString("</ul>\n")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(b.String()))
}

// profile sends one of runtime/pprof's profiles, such as "heap" or "goroutine".
func profile(w http.ResponseWriter, r *http.Request) {
	p := pprof.Lookup(r.PathValue("name"))
	if p == nil {
		http.NotFound(w, r)
		return
	}
	debug := 0
	if s := r.FormValue("debug"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > 2 {
			http.Error(w, "debug must be 0, 1 or 2", http.StatusBadRequest)
			return
		}
		debug = n
	}
	if p.Name() == "heap" && r.FormValue("gc") != "" {
		runtime.GC()
	}
	binary(w, debug == 0)
	_ = p.WriteTo(w, debug)
}

func cpuProfile(w http.ResponseWriter, r *http.Request) {
	record(w, r, defaultProfile, func() error { return pprof.StartCPUProfile(w) }, pprof.StopCPUProfile)
}

func executionTrace(w http.ResponseWriter, r *http.Request) {
	record(w, r, defaultTrace, func() error { return trace.Start(w) }, trace.Stop)
}

// record runs what takes time to record, for as long as the request asks, or until it ends.
func record(w http.ResponseWriter, r *http.Request, ask time.Duration, start func() error, stop func()) {
	d, err := seconds(r, ask)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	// Beyond the server's own time-outs; a writer that cannot move them has none.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d + time.Minute))
	binary(w, true)
	if err := start(); err != nil {
		w.Header().Del("Content-Disposition")
		http.Error(w, err.Error(), http.StatusConflict) // somebody else is recording
		return
	}
	defer stop()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
}

func seconds(r *http.Request, ask time.Duration) (time.Duration, error) {
	s := r.FormValue("seconds")
	if s == "" {
		return ask, nil
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(n > 0) || n > maxProfile.Seconds() {
		return 0, errors.New("seconds must be above 0 and at most 300")
	}
	return time.Duration(n * float64(time.Second)), nil
}

func binary(w http.ResponseWriter, yes bool) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if yes {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", "attachment")
	}
}
