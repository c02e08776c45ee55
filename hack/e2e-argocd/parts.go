package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/delos-financial/clientbinding-operator/hack/internal/progress"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// parts is where the programs are that run here.
type parts struct {
	// controlPlane and argocd are directories.
	controlPlane, argocd string
	kustomize, redis     string
}

// environment hands them over to the process in a network of its own.
func (p parts) environment() []string {
	return []string{
		"KUBEBUILDER_ASSETS=" + p.controlPlane,
		"E2E_ARGOCD=" + p.argocd,
		"E2E_KUSTOMIZE=" + p.kustomize,
		"E2E_REDIS=" + p.redis,
	}
}

func partsFromEnvironment() (found parts, inside bool) {
	found = parts{
		controlPlane: os.Getenv("KUBEBUILDER_ASSETS"),
		argocd:       os.Getenv("E2E_ARGOCD"),
		kustomize:    os.Getenv("E2E_KUSTOMIZE"),
		redis:        os.Getenv("E2E_REDIS"),
	}
	return found, found.argocd != ""
}

// prepare finds or builds all programs, and what the operator is built from: later there may be no network.
func prepare(ctx context.Context, report *progress.Report) (found parts, err error) {
	if found.redis, err = exec.LookPath("redis-server"); err != nil {
		return parts{}, errors.New("redis-server is missing, which Argo CD needs: install it, on Debian by `apt-get install redis-server`")
	}
	if _, err = exec.LookPath("git"); err != nil {
		return parts{}, errors.New("git is missing, which Argo CD needs: install it, on Debian by `apt-get install git`")
	}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"Finding etcd, kube-apiserver, kube-controller-manager and kubectl", func() error {
			found.controlPlane, err = sandbox.Assets(ctx, report, sandbox.ControllerManager)
			return err
		}},
		{"Finding Argo CD", func() error {
			found.argocd, err = goTool(ctx, report, "run", "./hack/argocd")
			return err
		}},
		{"Building kustomize and the operator", func() error {
			if found.kustomize, err = goTool(ctx, report, "tool", "-n", "-modfile=hack/tools/generate/go.mod", "kustomize"); err != nil {
				return err
			}
			_, err = goTool(ctx, report, "build", "-buildvcs=false", "-o", os.DevNull, ".")
			return err
		}},
	} {
		if err := report.Step(step.what, step.do); err != nil {
			return parts{}, err
		}
	}
	return found, nil
}

// goTool runs the go command and returns what it printed.
func goTool(ctx context.Context, progress io.Writer, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = progress
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.Output()
	if err != nil && ctx.Err() == nil {
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), errors.Join(err, ctx.Err())
}
