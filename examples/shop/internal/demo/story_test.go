package demo

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/examples/shop/internal/spanfile"
)

func TestStory(t *testing.T) {
	t.Run("TellsEachHopFromTheFirstAndSumsUpItsStatements", func(t *testing.T) {
		begin := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
		sql := map[string]string{"db.system.name": "sqlite"}
		var out bytes.Buffer
		err := tell(&out, []spanfile.Span{
			{SpanID: "1", Service: "orders", Kind: "server", Name: "POST /orders", Start: begin, Duration: 9 * time.Millisecond},
			{SpanID: "2", ParentID: "1", Start: begin, Duration: time.Millisecond, Attrs: sql},
			{SpanID: "3", ParentID: "1", Start: begin, Duration: 2 * time.Millisecond, Attrs: sql},
			{SpanID: "4", ParentID: "1", Service: "inventory", Kind: "consumer", Name: "process order.created",
				Start: begin.Add(12 * time.Millisecond), Duration: 500 * time.Microsecond},
		})
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
		if len(lines) != 3 {
			t.Fatalf("got %d lines, want a head and two hops:\n%s", len(lines), out.String())
		}
		for i, want := range []string{
			"at took service hop",
			"0.0ms 9.0ms orders server POST /orders SQL: 2 in 3.0ms",
			"12.0ms 0.5ms inventory consumer process order.created",
		} {
			if got := strings.Join(strings.Fields(lines[i]), " "); got != want {
				t.Errorf("line %d = %q, want %q", i, got, want)
			}
		}
	})
}
