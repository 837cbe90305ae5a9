package metrics

import (
	"maps"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestRegisterRuntime(t *testing.T) {
	t.Run("ShowsBuildRuntimeAndProcessOnce", func(t *testing.T) {
		reg := prometheus.NewRegistry()
		for range 2 {
			if err := RegisterRuntime(reg); err != nil {
				t.Fatalf("RegisterRuntime: %v", err)
			}
		}
		families, err := reg.Gather()
		if err != nil {
			t.Fatalf("Gather: %v", err)
		}
		series := map[string]int{}
		for _, f := range families {
			series[f.GetName()] = len(f.GetMetric())
			if got := f.GetMetric()[0].GetGauge().GetValue(); f.GetName() == "build_info" && got != 1 {
				t.Errorf("build_info: got %v, want 1", got)
			}
		}
		names := []string{"build_info", "go_goroutines", "go_memstats_heap_alloc_bytes"}
		if runtime.GOOS == "linux" {
			names = append(names, "process_cpu_seconds_total", "process_open_fds")
		}
		for _, name := range names {
			if series[name] != 1 {
				t.Errorf("%s: got %d series, want 1", name, series[name])
			}
		}
	})

	t.Run("SharesWhatTheDefaultRegistererHas", func(t *testing.T) {
		if err := RegisterRuntime(nil); err != nil {
			t.Errorf("got %v, want the collectors that client_golang has put there already", err)
		}
	})

	t.Run("ReportsAnotherUseOfAName", func(t *testing.T) {
		names := []string{"build_info", "go_goroutines"}
		if runtime.GOOS == "linux" {
			names = append(names, "process_open_fds")
		}
		for _, name := range names {
			reg := prometheus.NewRegistry()
			reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: "Another."}))
			if err := RegisterRuntime(reg); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("got error %v, want one that names %s", err, name)
			}
		}
	})
}

func TestBuildLabels(t *testing.T) {
	module := debug.Module{Path: "example.com/shop", Version: "v1.2.3"}
	for name, c := range map[string]struct {
		info *debug.BuildInfo
		want prometheus.Labels
	}{
		"NoInformation": {nil, prometheus.Labels{"path": "unknown", "version": "unknown", "revision": "unknown"}},
		"NoSettings": {
			&debug.BuildInfo{Main: debug.Module{Path: "example.com/shop"}},
			prometheus.Labels{"path": "example.com/shop", "version": "unknown", "revision": "unknown"},
		},
		"Clean": {
			&debug.BuildInfo{Main: module, Settings: []debug.BuildSetting{
				{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "false"},
			}},
			prometheus.Labels{"path": "example.com/shop", "version": "v1.2.3", "revision": "abc"},
		},
		"Modified": {
			&debug.BuildInfo{Main: module, Settings: []debug.BuildSetting{
				{Key: "vcs.modified", Value: "true"}, {Key: "vcs.revision", Value: "abc"},
			}},
			prometheus.Labels{"path": "example.com/shop", "version": "v1.2.3", "revision": "abc-modified"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.want["goversion"] = runtime.Version()
			if got := buildLabels(c.info); !maps.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
