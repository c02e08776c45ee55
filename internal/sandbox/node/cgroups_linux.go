package node

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"k8s.io/apimachinery/pkg/util/wait"
)

// cgroupRoot is the mount point of the hierarchies of cgroups, or of the only one.
const cgroupRoot = "/sys/fs/cgroup"

// hierarchies are the roots of the cgroups of this machine.
func hierarchies() ([]string, error) {
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
		return []string{cgroupRoot}, nil // version 2
	}
	found, err := filepath.Glob(filepath.Join(cgroupRoot, "*", "cgroup.procs"))
	for i, path := range found {
		found[i] = filepath.Dir(path)
	}
	return found, err
}

// makeCgroups creates a cgroup in each hierarchy, for the cgroups of the kubelet.
func makeCgroups(name string) error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	for _, root := range roots {
		cgroup := filepath.Join(root, name)
		if err := os.MkdirAll(cgroup, 0o755); err != nil {
			return err
		}
		// In version 1 a new one has no processors and no memory.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if all, err := os.ReadFile(filepath.Join(root, file)); err == nil {
				if err := os.WriteFile(filepath.Join(cgroup, file), all, 0o644); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// removeCgroups removes them with their content. Killed processes may still be in them for a moment.
func removeCgroups(ctx context.Context, name string) error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	for _, root := range roots {
		err = errors.Join(err, removeCgroup(ctx, filepath.Join(root, name)))
	}
	return err
}

func removeCgroup(ctx context.Context, top string) error {
	var left error
	err := wait.PollUntilContextTimeout(ctx, poll, endLimit, true, func(context.Context) (bool, error) {
		left = nil
		var all []string
		if err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				all = append(all, path)
			}
			return nil // it has gone by now
		}); err != nil {
			return false, err
		}
		for _, cgroup := range slices.Backward(all) {
			if failed := syscall.Rmdir(cgroup); failed != nil && !errors.Is(failed, os.ErrNotExist) {
				left = &os.PathError{Op: "rmdir", Path: cgroup, Err: failed}
			}
		}
		return left == nil, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return left
	}
	return err
}
