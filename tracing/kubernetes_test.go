package tracing_test

import (
	"errors"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"go.opentelemetry.io/otel/sdk/resource"

	"github.com/mainstay-go/mainstay/tracing"
)

const podUID = "5f3ad0d1-6f3c-4b52-9f0c-1f6f0f4c7a11"

// pod is what a container of a pod sees of itself, as the kubelet and containerd set it up.
func pod() fstest.MapFS {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	return fstest.MapFS{
		"var/run/secrets/kubernetes.io/serviceaccount/namespace": file("shop"),
		"proc/sys/kernel/hostname":                               file("orders-7d9f8c6b5-x2x7k\n"),
		"proc/self/mountinfo": file(`1203 1097 0:117 / / rw,relatime master:340 - overlay overlay rw,lowerdir=/l1,upperdir=/u
1204 1203 0:119 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
1213 1203 259:1 /var/lib/kubelet/pods/` + podUID + `/etc-hosts /etc/hosts rw,relatime - ext4 /dev/root rw
1214 1205 259:1 /var/lib/kubelet/pods/` + podUID + `/containers/orders/0b5c /dev/termination-log rw - ext4 /dev/x rw
1215 1203 259:1 /var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/1a2b/hostname /etc/hostname rw - ext4 /dev/x rw
1216 1203 0:105 / /var/run/secrets/kubernetes.io/serviceaccount ro,relatime - tmpfs tmpfs rw
`),
	}
}

func TestKubernetes(t *testing.T) {
	const (
		namespaceFile = "var/run/secrets/kubernetes.io/serviceaccount/namespace"
		mountsFile    = "proc/self/mountinfo"
	)
	all := map[string]string{
		"k8s.namespace.name": "shop", "k8s.pod.name": "orders-7d9f8c6b5-x2x7k", "k8s.pod.uid": podUID,
		"k8s.container.name": "orders",
	}
	without := func(keys ...string) map[string]string {
		m := maps.Clone(all)
		for _, key := range keys {
			delete(m, key)
		}
		return m
	}
	withoutMounts := without("k8s.pod.uid", "k8s.container.name")
	for name, c := range map[string]struct {
		change func(fstest.MapFS)
		want   map[string]string
	}{
		"FindsThePod":          {func(fstest.MapFS) {}, all},
		"WithoutATokenMounted": {func(f fstest.MapFS) { delete(f, namespaceFile) }, without("k8s.namespace.name")},
		"WithoutMountsToSee":   {func(f fstest.MapFS) { delete(f, mountsFile) }, withoutMounts},
		"OfAStaticPod": {func(f fstest.MapFS) { // its folder has a hash for a name
			data := strings.ReplaceAll(string(f[mountsFile].Data), podUID, "0123456789abcdef0123456789abcdef")
			f[mountsFile] = &fstest.MapFile{Data: []byte(data)}
		}, without("k8s.pod.uid")},
		"WithTheKubeletOnADiskOfItsOwn": {func(f fstest.MapFS) {
			data := strings.ReplaceAll(string(f[mountsFile].Data), "/var/lib/kubelet/pods", "/pods")
			f[mountsFile] = &fstest.MapFile{Data: []byte(data)}
		}, all},
		"NotOutsideOfOne": {func(f fstest.MapFS) {
			delete(f, namespaceFile)
			data := "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n22 21 8:1 /x/" + podUID + "/etc-hosts /etc/hosts rw"
			f[mountsFile] = &fstest.MapFile{Data: []byte(data)}
		}, map[string]string{}},
		"NotWithoutAnyFile": {func(f fstest.MapFS) { clear(f) }, map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			files := pod()
			c.change(files)
			res, err := tracing.KubernetesIn(files).Detect(t.Context())
			if got := attributes(res); err != nil || !maps.Equal(got, c.want) {
				t.Errorf("got %v, %v; want %v, nil", got, err, c.want)
			}
		})
	}

	t.Run("KeepsWhatItCanRead", func(t *testing.T) {
		for name, root := range map[string]fs.FS{
			"UnlessOpeningFails": broken{pod(), mountsFile},
			"UnlessReadingFails": func() fs.FS { f := pod(); f[mountsFile] = &fstest.MapFile{Mode: fs.ModeDir}; return f }(),
		} {
			res, err := tracing.KubernetesIn(root).Detect(t.Context())
			if got := attributes(res); !errors.Is(err, resource.ErrPartialResource) || !maps.Equal(got, withoutMounts) {
				t.Errorf("%s: got %v, %v; want %v, %v", name, got, err, withoutMounts, resource.ErrPartialResource)
			}
		}
	})

	t.Run("ReadsTheRealRoot", func(t *testing.T) {
		if _, err := tracing.Kubernetes().Detect(t.Context()); err != nil {
			t.Errorf("got %v, want nil in or outside of a pod", err)
		}
	})
}

// broken is a file system with a file that must not be opened.
type broken struct {
	fs.FS
	name string
}

func (b broken) Open(name string) (fs.File, error) {
	if name == b.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return b.FS.Open(name)
}

// attributes returns those of a resource.
func attributes(res *resource.Resource) map[string]string {
	m := map[string]string{}
	for _, a := range res.Attributes() {
		m[string(a.Key)] = a.Value.AsString()
	}
	return m
}

func FuzzKubernetes(f *testing.F) {
	f.Add(pod()["proc/self/mountinfo"].Data)
	f.Add([]byte("1 2 3 /pods//etc-hosts /etc/hosts\n1 2 3 pods/u/containers/c/x /dev/termination-log"))
	f.Fuzz(func(t *testing.T, mounts []byte) {
		root := fstest.MapFS{"proc/self/mountinfo": &fstest.MapFile{Data: mounts}}
		res, err := tracing.KubernetesIn(root).Detect(t.Context())
		if err != nil {
			t.Errorf("got %v, want nil", err)
		}
		for key, value := range attributes(res) {
			if value == "" || !strings.Contains(string(mounts), value) {
				t.Errorf("%s: got %q, which is not in the file", key, value)
			}
		}
	})
}
