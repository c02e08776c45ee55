package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// required is what envtest starts or calls; a directory with less is no control plane.
var required = []string{"etcd", "kube-apiserver", "kubectl"}

// optional is what --with may add. The controller manager garbage-collects objects and ends
// terminating namespaces; the others run pods. No envtest download has them.
var optional = []string{"kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet"}

// packages says what each binary is built from.
var packages = map[string]string{
	"etcd":                    "go.etcd.io/etcd/server/v3",
	"kube-apiserver":          "k8s.io/kubernetes/cmd/kube-apiserver",
	"kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
	"kube-proxy":              "k8s.io/kubernetes/cmd/kube-proxy",
	"kube-scheduler":          "k8s.io/kubernetes/cmd/kube-scheduler",
	"kubectl":                 "k8s.io/kubernetes/cmd/kubectl",
	"kubelet":                 "k8s.io/kubernetes/cmd/kubelet",
}

// parseExtra reads the value of --with.
func parseExtra(with string) ([]string, error) {
	if with == "" {
		return nil, nil
	}
	extra := strings.Split(with, ",")
	for _, name := range extra {
		if !slices.Contains(optional, name) {
			return nil, fmt.Errorf("--with=%s: only %s can be added", with, strings.Join(optional, ", "))
		}
	}
	return extra, nil
}

// combine fills dir with links to the required files of base and to the extra files of built, so
// that one directory holds them all. Links that point elsewhere are replaced.
func combine(dir, base, built string, extra []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	link := func(from string, names []string) error {
		for _, name := range names {
			if err := replaceLink(filepath.Join(from, name), filepath.Join(dir, name)); err != nil {
				return err
			}
		}
		return nil
	}
	return errors.Join(link(base, required), link(built, extra))
}

// replaceLink makes path a symbolic link to target without a moment in which path is absent.
func replaceLink(target, path string) error {
	if now, err := os.Readlink(path); err == nil && now == target {
		return nil
	}
	fresh := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.Symlink(target, fresh); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}
