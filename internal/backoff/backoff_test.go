package backoff_test

import (
	"math"
	"testing"
	"time"

	"github.com/mainstay-go/mainstay/internal/backoff"
)

func TestDelay(t *testing.T) {
	tests := []struct {
		name              string
		n                 int
		least, most       time.Duration
		wantLow, wantHigh time.Duration
	}{
		{"first", 1, time.Second, time.Minute, time.Second, 2 * time.Second},
		{"third", 3, time.Second, time.Minute, time.Second, 8 * time.Second},
		{"bounded", 100, time.Second, time.Minute, time.Second, time.Minute},
		{"exact", 5, time.Second, time.Second, time.Second, time.Second},
		{"most below least", 5, time.Second, time.Millisecond, time.Second, time.Second},
		{"none", 3, 0, time.Minute, 0, 0},
		{"negative", 3, -1, time.Minute, 0, 0},
		{"n of zero", 0, time.Second, time.Minute, time.Second, time.Second},
		{"no overflow", math.MaxInt, time.Hour, math.MaxInt64, time.Hour, math.MaxInt64},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for range 200 {
				if got := backoff.Delay(tt.n, tt.least, tt.most); got < tt.wantLow || got > tt.wantHigh {
					t.Fatalf("Delay(%d, %v, %v) = %v, want within [%v, %v]", tt.n, tt.least, tt.most, got, tt.wantLow, tt.wantHigh)
				}
			}
		})
	}
}

func TestDelaySpreads(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 100 {
		seen[backoff.Delay(4, time.Second, time.Minute)] = true
	}
	if len(seen) < 90 {
		t.Errorf("100 delays have %d distinct values, want at least 90: jitter keeps clients apart", len(seen))
	}
}
