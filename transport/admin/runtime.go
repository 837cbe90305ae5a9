package admin

import (
	"math"
	"net/http"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// figures are what the Go runtime says of itself now; /metrics has their history where metrics.RegisterRuntime was
// called.
type figures struct {
	Goroutines  uint64 `json:"goroutines"`
	MaxProcs    uint64 `json:"gomaxprocs"`
	MemoryBytes uint64 `json:"memory_bytes"`                // mapped by the runtime
	HeapBytes   uint64 `json:"heap_bytes"`                  // objects, dead ones not yet swept among them
	HeapGoal    uint64 `json:"heap_goal_bytes"`             // at which a collection ends
	MemoryLimit uint64 `json:"memory_limit_bytes,omitzero"` // left out for none
	GC          gc     `json:"gc"`
}

type gc struct {
	Cycles       int64     `json:"cycles"`
	Last         time.Time `json:"last,omitzero"`
	PauseSeconds float64   `json:"pause_seconds_total"`
	// Of the last pauses, up to 256.
	PauseMedian float64 `json:"pause_seconds_median"`
	PauseMax    float64 `json:"pause_seconds_max"`
}

func runtimeFigures(w http.ResponseWriter, _ *http.Request) { writeJSON(w, readRuntime()) }

func readRuntime() figures {
	samples := []metrics.Sample{
		{Name: "/sched/goroutines:goroutines"}, {Name: "/sched/gomaxprocs:threads"}, {Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/goal:bytes"}, {Name: "/gc/gomemlimit:bytes"},
	}
	metrics.Read(samples)
	at := func(i int) uint64 {
		if v := samples[i].Value; v.Kind() == metrics.KindUint64 {
			return v.Uint64()
		}
		return 0 // unknown to this runtime
	}
	f := figures{
		Goroutines: at(0), MaxProcs: at(1), MemoryBytes: at(2), HeapBytes: at(3), HeapGoal: at(4), MemoryLimit: at(5),
	}
	if f.MemoryLimit == math.MaxInt64 {
		f.MemoryLimit = 0
	}
	stats := debug.GCStats{PauseQuantiles: make([]time.Duration, 3)} // least, median, most
	debug.ReadGCStats(&stats)
	f.GC = gc{Cycles: stats.NumGC, PauseSeconds: stats.PauseTotal.Seconds(),
		PauseMedian: stats.PauseQuantiles[1].Seconds(), PauseMax: stats.PauseQuantiles[2].Seconds()}
	if stats.NumGC > 0 {
		f.GC.Last = stats.LastGC.UTC()
	}
	return f
}
