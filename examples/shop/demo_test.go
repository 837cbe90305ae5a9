package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/mainstay-go/mainstay/examples/shop/internal/demo"
)

// TestDemo runs the demo on fewer orders: six processes, two of them killed, duplicates, poison.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes and kills some")
	}
	t.Setenv("TMPDIR", t.TempDir())
	var out bytes.Buffer
	if err := demo.Run(t.Context(), demo.Options{Services: names(), Orders: 200, Out: &out}); err != nil {
		t.Fatalf("demo: %v\n%s", err, out.String())
	}
	t.Logf("report:\n%s", out.String())
	report := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{"orders accepted 200", "dead-lettered, poisoned 2", "lost 0"} {
		if !strings.Contains(report, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	left, err := os.ReadDir(os.TempDir())
	if err != nil || len(left) > 0 {
		t.Errorf("the demo left %v behind (%v), want nothing", left, err)
	}
}
