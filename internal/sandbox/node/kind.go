package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// dockerLimit is how long Docker may take to say that it is there.
const dockerLimit = 10 * time.Second

// dockerRuns reports whether there is a Docker engine.
func dockerRuns(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, dockerLimit)
	defer cancel()
	return exec.CommandContext(ctx, "docker", "version", "--format={{.Server.Version}}").Run() == nil
}

// startKind starts a cluster with kind. The cluster does not end with this process, but with the next cluster of its name.
func startKind(ctx context.Context, name string, progress io.Writer) (_ *Cluster, err error) {
	if err := deleteKind(ctx, name, progress); err != nil {
		return nil, err
	}
	// Remove a half-started cluster.
	defer func() {
		if err != nil {
			err = errors.Join(err, deleteKind(context.WithoutCancel(ctx), name, progress))
		}
	}()
	if err := os.Mkdir(directory(name), 0o700); err != nil {
		return nil, err
	}
	if err := runKind(ctx, progress, "create", "cluster", "--name="+title(name), "--wait=2m", "--kubeconfig="+kubeconfigOf(name)); err != nil {
		return nil, err
	}
	return openKind(ctx, name)
}

// openKind returns a cluster that kind has started.
func openKind(ctx context.Context, name string) (*Cluster, error) {
	if _, err := os.Stat(kubeconfigOf(name)); err != nil {
		return nil, fmt.Errorf("cluster %s is not up: %w", name, err)
	}
	return &Cluster{
		Kubeconfig: kubeconfigOf(name),
		enter:      []string{"docker", "exec", "--interactive", title(name) + "-control-plane"},
		stop:       func() error { return deleteKind(context.WithoutCancel(ctx), name, io.Discard) },
	}, nil
}

// deleteKind removes a cluster; it is no error if there is none.
func deleteKind(ctx context.Context, name string, progress io.Writer) error {
	return errors.Join(
		runKind(ctx, progress, "delete", "cluster", "--name="+title(name), "--kubeconfig="+kubeconfigOf(name)),
		os.RemoveAll(directory(name)))
}

func runKind(ctx context.Context, progress io.Writer, args ...string) error {
	_, err := sandbox.Go(ctx, progress, append([]string{"tool", "-modfile=hack/tools/kind/go.mod", "kind"}, args...)...)
	return err
}

func kubeconfigOf(name string) string { return filepath.Join(directory(name), "kubeconfig") }
