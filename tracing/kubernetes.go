package tracing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// Where a container of a pod finds out about itself, from the root of its file system.
const (
	namespaceFile = "var/run/secrets/kubernetes.io/serviceaccount/namespace" // mounted with the service account's token
	mountsFile    = "proc/self/mountinfo"                                    // see proc(5)
	hostnameFile  = "proc/sys/kernel/hostname"
)

// Kubernetes returns a detector of the pod that the process runs in, which reads files only, no environment and no API:
//
//   - k8s.namespace.name, where the service account's token is mounted;
//   - k8s.pod.uid and k8s.container.name, where the kubelet's mounts of /etc/hosts and /dev/termination-log are seen;
//   - k8s.pod.name, which is the host name: it is not the pod's in a pod with a hostname of its own or on the host's
//     network, and the kubelet cuts it off at 63 bytes.
//
// OTEL_RESOURCE_ATTRIBUTES, filled from the downward API, wins over each. Outside of a pod there is nothing to find,
// and that is no error. The container's ID is resource.WithContainer's, see [Detector].
func Kubernetes() resource.Detector { return kubernetes{os.DirFS("/")} }

type kubernetes struct{ root fs.FS }

func (k kubernetes) Detect(context.Context) (*resource.Resource, error) {
	namespace, err1 := k.read(namespaceFile)
	mounts, err2 := k.read(mountsFile)
	uid, container := podOf(mounts)
	if namespace == "" && uid == "" {
		return resource.Empty(), partial(err1, err2)
	}
	name, err3 := k.read(hostnameFile)
	var attrs []attribute.KeyValue
	for _, a := range []attribute.KeyValue{
		semconv.K8SNamespaceName(strings.TrimSpace(namespace)), semconv.K8SPodName(strings.TrimSpace(name)),
		semconv.K8SPodUID(uid), semconv.K8SContainerName(container),
	} {
		if a.Value.AsString() != "" {
			attrs = append(attrs, a)
		}
	}
	return resource.NewWithAttributes(semconv.SchemaURL, attrs...), partial(err1, err2, err3)
}

// partial has the SDK keep what was found beside errs.
func partial(errs ...error) error {
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("tracing: kubernetes: %w: %w", resource.ErrPartialResource, err)
	}
	return nil
}

// read returns what is in a file, "" for one that is not there.
func (k kubernetes) read(name string) (string, error) {
	b, err := fs.ReadFile(k.root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(b), err
}

// podOf finds, in a mountinfo, the files that the kubelet keeps for a pod in its folder pods/UID: etc-hosts, and
// containers/NAME/…, to which a container writes its last words. The fourth field is the file, the fifth where it is
// mounted.
func podOf(mountinfo string) (uid, container string) {
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		file := strings.Split(fields[3], "/")
		n := len(file)
		switch mounted := fields[4]; {
		case mounted == "/etc/hosts" && n >= 3 && file[n-3] == "pods" && file[n-1] == "etc-hosts":
			uid = file[n-2]
		case mounted == "/dev/termination-log" && n >= 5 && file[n-5] == "pods" && file[n-3] == "containers":
			container = file[n-2]
		}
	}
	// The folder of a static pod is named by a hash, which is not the UID that the API has.
	if len(uid) != 36 || uuid.Validate(uid) != nil {
		uid = ""
	}
	return uid, container
}
