package main

import (
	"bytes"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTableHasTheLastPricesAndNoTombstones(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), "", &out); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), "tea 2.90\n"; got != want {
		t.Errorf("printed %q, want %q", got, want)
	}
}
