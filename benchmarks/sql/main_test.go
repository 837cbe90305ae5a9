package main

import (
	"os"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	if _, err := binaries(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	var out strings.Builder
	e := effort{pairs: 1, writes: 20, relayed: 2000, backlogs: []int{1000, 2000}, retained: 1000, commits: 5}
	if err := run(t.Context(), &out, e, ""); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "target: "); got != 6 {
		t.Errorf("got %d target lines in\n%s\nwant 6", got, out.String())
	}
	if err := run(t.Context(), &out, e, "nothing"); err == nil {
		t.Error("got nil, want that there is no such group")
	}
}
