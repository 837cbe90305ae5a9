package tracing

import (
	"io/fs"

	"go.opentelemetry.io/otel/sdk/resource"
)

// KubernetesIn is Kubernetes with a root of the test's own.
func KubernetesIn(root fs.FS) resource.Detector { return kubernetes{root} }

// NewSampler is what Setup makes of Options.Ratio.
var NewSampler = newSampler
