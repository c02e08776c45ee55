package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Cluster is a cluster of one node that is up.
type Cluster struct {
	// Kubeconfig is a file for an administrator.
	Kubeconfig string

	// enter is the command that runs another one on the node.
	enter []string
	stop  func() error
}

// Start starts a cluster and returns when pods can run in it. The cluster ends with Stop or with this process. If a
// cluster of this name runs, Start waits for its end. It removes the remains of a cluster that has ended.
// Messages go to progress.
func Start(ctx context.Context, name string, progress io.Writer) (*Cluster, error) {
	return start(ctx, name, progress, false)
}

// Up starts a cluster that stays until Down.
func Up(ctx context.Context, name string, progress io.Writer) (*Cluster, error) {
	return start(ctx, name, progress, true)
}

func start(ctx context.Context, name string, progress io.Writer, stays bool) (*Cluster, error) {
	if dockerRuns(ctx) {
		return startKind(ctx, name, progress)
	}
	return startBare(ctx, name, progress, stays)
}

// Open returns a cluster that Up has started.
func Open(ctx context.Context, name string) (*Cluster, error) {
	if dockerRuns(ctx) {
		return openKind(ctx, name)
	}
	return openBare(ctx, name)
}

// Down ends a cluster and removes its remains. A missing cluster is not an error.
func Down(ctx context.Context, name string) error {
	if dockerRuns(ctx) {
		return deleteKind(ctx, name, io.Discard)
	}
	return downBare(ctx, name)
}

// Stop ends the cluster and leaves nothing behind. It may be called again.
func (c *Cluster) Stop() error { return c.stop() }

// LoadImage loads the images of an archive (of Docker or OCI) into the node.
func (c *Cluster) LoadImage(ctx context.Context, archive string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return c.load(ctx, file)
}

// LoadBinary loads an image of one static executable into the node.
func (c *Cluster) LoadBinary(ctx context.Context, image, binary string) error {
	archive, err := imageOf(image, binary)
	if err != nil {
		return err
	}
	return c.load(ctx, archive)
}

func (c *Cluster) load(ctx context.Context, archive io.Reader) error {
	_, err := c.containerd(ctx, archive, "images", "import", "-")
	return err
}

// Signal sends a signal, such as SIGKILL, to the first process of a container, without the API server and the kubelet.
func (c *Cluster) Signal(ctx context.Context, container corev1.ContainerStatus, signal string) error {
	_, id, found := strings.Cut(container.ContainerID, "://")
	if !found {
		return fmt.Errorf("container %s has not started yet", container.Name)
	}
	_, err := c.containerd(ctx, nil, "tasks", "kill", "--signal", signal, id)
	return err
}

// containerd runs a command of containerd's client in the kubelet's namespace of containers and images.
func (c *Cluster) containerd(ctx context.Context, input io.Reader, args ...string) (string, error) {
	return c.Run(ctx, input, append([]string{"ctr", "--namespace=k8s.io"}, args...)...)
}

// Run runs a command on the node and returns its output.
func (c *Cluster) Run(ctx context.Context, input io.Reader, args ...string) (string, error) {
	args = append(append([]string{}, c.enter...), args...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin = input
	out, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		err = fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, failed.Stderr)
	}
	return string(out), err
}

// directory has the kubeconfig and the logs of a cluster.
func directory(name string) string {
	return filepath.Join(os.TempDir(), title(name))
}

// title is the name of a cluster outside of this package.
func title(name string) string { return "clientbinding-cluster-" + name }
