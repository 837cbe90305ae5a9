package main

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(&out, effort{pairs: 1, time: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "\ntarget: "); got != 2 {
		t.Errorf("got %d target lines in\n%s\nwant 2", got, out.String())
	}
}

func TestCheckAlike(t *testing.T) {
	kit := kitHandler()
	for name, change := range map[string]func(w http.ResponseWriter, r *http.Request){
		"AnotherStatus": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) },
		"AnotherBody": func(w http.ResponseWriter, r *http.Request) {
			kit.ServeHTTP(w, r)
			_, _ = w.Write([]byte(" "))
		},
	} {
		t.Run("Sees"+name, func(t *testing.T) {
			if err := checkAlike(kit, http.HandlerFunc(change)); err == nil {
				t.Error("got nil, want how they differ")
			}
		})
	}
}
