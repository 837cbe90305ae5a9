package metrics

import (
	"errors"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// RegisterRuntime registers with reg, nil for prometheus.DefaultRegisterer, what every process should show: build_info,
// and client_golang's collectors of the Go runtime (go_*) and of the process (process_*, nothing where the platform has
// none). What reg has already is left as it is, so that it may be called more than once.
//
// The gauge build_info is always 1 and says in its labels what runs, from debug.ReadBuildInfo: path of the main module,
// its version ("(devel)" where the build knew none), the revision of its sources, with "-modified" behind it where
// there were changes that no commit has, and goversion. What is not known is "unknown".
func RegisterRuntime(reg prometheus.Registerer) error {
	bi, _ := debug.ReadBuildInfo()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "build_info", Help: "Always 1; the labels say which build runs.", ConstLabels: buildLabels(bi),
	})
	build.Set(1)
	var errs [3]error
	_, errs[0] = Register[prometheus.Collector](reg, build)
	_, errs[1] = Register(reg, collectors.NewGoCollector())
	_, errs[2] = Register(reg, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return errors.Join(errs[:]...)
}

// buildLabels describes a build, nil for one without information.
func buildLabels(bi *debug.BuildInfo) prometheus.Labels {
	const unknown = "unknown"
	labels := prometheus.Labels{
		"path": unknown, "version": unknown, "revision": unknown, "goversion": runtime.Version(),
	}
	if bi == nil {
		return labels
	}
	set := func(label, value string) {
		if value != "" {
			labels[label] = value
		}
	}
	set("path", bi.Main.Path)
	set("version", bi.Main.Version)
	settings := make(map[string]string, len(bi.Settings))
	for _, s := range bi.Settings {
		settings[s.Key] = s.Value
	}
	set("revision", settings["vcs.revision"])
	if settings["vcs.modified"] == "true" {
		labels["revision"] += "-modified"
	}
	return labels
}
