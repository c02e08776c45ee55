package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// interruptDelay is the time between the interrupt and the kill of a command.
const interruptDelay = 5 * time.Second

// run runs a command and returns its standard output. Its standard error is part of the error.
func run(ctx context.Context, cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout = &stdout
	if cmd.Stderr == nil {
		cmd.Stderr = &stderr
	}
	err := cmd.Run()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// command prepares a command that is interrupted, not killed, when the context ends, so that it can clean up. The
// signal is for its children as well: `go run` does not pass it on.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = interruptDelay
	return cmd
}

// Go runs the go command at the top of this repository and returns its standard output. Its standard error goes to
// progress or, without one, into the error.
func Go(ctx context.Context, progress io.Writer, args ...string) (string, error) {
	root, err := ModuleRoot(ctx)
	if err != nil {
		return "", err
	}
	cmd := command(ctx, "go", args...)
	cmd.Dir, cmd.Stderr = root, progress
	out, err := run(ctx, cmd)
	return strings.TrimSpace(out), err
}

// ModuleRoot is the top directory of this repository; tests run in the directories of their packages.
func ModuleRoot(ctx context.Context) (string, error) {
	file, err := run(ctx, command(ctx, "go", "env", "GOMOD"))
	if err != nil {
		return "", err
	}
	return filepath.Dir(strings.TrimSpace(file)), nil
}

// Assets returns the directory of the control plane's binaries: KUBEBUILDER_ASSETS if that is set, else the one
// that hack/controlplane finds, downloads or builds. Its output goes to progress. It builds extra binaries, such as
// [ControllerManager], only if they are requested and missing.
func Assets(ctx context.Context, progress io.Writer, extra ...string) (string, error) {
	return Go(ctx, progress, "run", "./hack/controlplane", "--with="+strings.Join(extra, ","))
}

// Render returns the manifests of a kustomization of this repository, such as config/default, as
// `make deploy` applies them.
func Render(ctx context.Context, path string) (Manifests, error) {
	text, err := Go(ctx, nil, "tool", "-modfile=hack/tools/generate/go.mod", "kustomize", "build", path)
	if err != nil {
		return nil, err
	}
	return parseManifests(text)
}
