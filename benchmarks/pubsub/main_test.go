package main

import (
	"context"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out, effort{pairs: 1, memory: 1000, broker: 200}, ""); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "target: "); got != 13 {
		t.Errorf("got %d target lines in\n%s\nwant 13", got, out.String())
	}
}

func TestRunKnowsItsGroups(t *testing.T) {
	if err := run(t.Context(), &strings.Builder{}, effort{pairs: 1}, "carrier pigeons"); err == nil {
		t.Error("got nil, want that there is no such group")
	}
}

// What is not handled exactly once is not reported as measured.
func TestMeasureSeesLossAndDuplicates(t *testing.T) {
	for name, times := range map[string]int{"Loss": 0, "Duplicates": 2} {
		t.Run(name, func(t *testing.T) {
			w := way{name, func(_ context.Context, handled func()) (line, error) {
				return line{publish: func(_ context.Context, n int) error {
					for range n * times {
						handled()
					}
					return nil
				}, close: func() {}}, nil
			}}
			ctx, cancel := context.WithCancel(t.Context())
			s, err := w.start(ctx)
			if err != nil {
				t.Fatal(err)
			}
			cancel() // nobody waits for what was lost
			if _, err := s.measure(10)(); err == nil {
				t.Error("got nil, want an error")
			}
		})
	}
}

// Benchmark is for profiles; the comparison is the command's.
func Benchmark(b *testing.B) {
	for _, g := range groups() {
		seen := make(map[string]bool)
		for _, c := range g.contests {
			for _, w := range []way{c.kit, c.peer} {
				if seen[w.name] {
					continue
				}
				seen[w.name] = true
				b.Run(g.name+"/"+w.name, func(b *testing.B) {
					s, err := w.start(b.Context())
					if err != nil {
						b.Fatal(err)
					}
					defer s.stop()
					b.ReportAllocs()
					b.ResetTimer()
					if _, err := s.measure(b.N)(); err != nil {
						b.Fatal(err)
					}
				})
			}
		}
	}
}
