package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	// poll is the time between two checks.
	poll = 100 * time.Millisecond
	// endLimit is the time that the kernel has for its cleanup after the end of the init process.
	endLimit = 30 * time.Second
)

// startBare starts a cluster without a container engine.
func startBare(ctx context.Context, name string, progress io.Writer, stays bool) (_ *Cluster, err error) {
	if err := possible(); err != nil {
		return nil, err
	}
	assets, err := sandbox.Assets(ctx, progress, sandbox.ControllerManager, "kube-scheduler", "kube-proxy", "kubelet")
	if err != nil {
		return nil, err
	}
	lock, err := take(ctx, name, progress)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Kubeconfig: kubeconfigOf(name), stop: func() error { return downBare(context.WithoutCancel(ctx), name) }}
	defer func() {
		_ = lock.Close() // the init process has its own
		if err != nil {
			err = errors.Join(err, c.Stop())
		}
	}()
	if err := removeRest(ctx, name); err != nil {
		return nil, err
	}
	programs, err := build(ctx)
	if err != nil {
		return nil, err
	}
	init, err := launch(ctx, lock, settings{Name: name, Directory: directory(name), Assets: assets, Programs: programs}, stays)
	if err != nil {
		return nil, err
	}
	c.enter = enter(init)
	return c, nil
}

// possible reports missing programs and rights.
func possible() error {
	if os.Geteuid() != 0 {
		return errors.New("a cluster without Docker needs root: it makes namespaces and cgroups")
	}
	for command, debian := range map[string]string{
		"containerd": "containerd", "runc": "runc", "iptables": "iptables", "ip": "iproute2", "nsenter": "util-linux",
		filepath.Join(networkPlugins, "bridge"): "containernetworking-plugins",
	} {
		if _, err := exec.LookPath(command); err != nil {
			return fmt.Errorf("a cluster without Docker needs %s; on Debian: apt-get install --no-install-recommends %s", command, debian)
		}
	}
	return nil
}

// take creates the directory of a cluster and locks it. A cluster has the lock as long as it lives.
func take(ctx context.Context, name string, progress io.Writer) (lock *os.File, err error) {
	told := false
	err = wait.PollUntilContextCancel(ctx, poll, true, func(context.Context) (_ bool, err error) {
		if lock, err = tryLock(name); err != nil || lock != nil {
			return true, err
		}
		if !told {
			fmt.Fprintf(progress, "cluster %s is up; waiting until it has gone (`go run ./hack/cluster down --name=%s` ends it)\n", name, name)
			told = true
		}
		return false, nil
	})
	return lock, err
}

// tryLock returns nil if another process has the lock.
func tryLock(name string) (*os.File, error) {
	if err := os.MkdirAll(directory(name), 0o700); err != nil {
		return nil, err
	}
	lock, err := os.Open(directory(name))
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil && removed(lock) {
		err = syscall.EWOULDBLOCK // its owner has just gone
	}
	if err == nil {
		return lock, nil
	}
	_ = lock.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, fmt.Errorf("locking %s: %w", directory(name), err)
}

// removed reports whether an open directory has been removed.
func removed(directory *os.File) bool {
	locked, err := directory.Stat()
	now, nowErr := os.Stat(directory.Name())
	return err != nil || nowErr != nil || !os.SameFile(locked, now)
}

// build compiles the programs of the node, besides those of the control plane, and returns their directory.
func build(ctx context.Context) (string, error) {
	root, err := sandbox.ModuleRoot(ctx)
	if err != nil {
		return "", err
	}
	programs := filepath.Join(root, "bin", "node")
	for program, in := range map[string][2]string{
		initProgram: {"", "./hack/cluster"}, pauseProgram: {"", "./hack/cluster/pause"}, dnsProgram: {"hack/tools/coredns", "."},
	} {
		cmd := exec.CommandContext(ctx, "go", "build", "-C", filepath.Join(root, in[0]), "-buildvcs=false", "-trimpath", "-ldflags=-s -w",
			"-o", filepath.Join(programs, program), in[1])
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("building %s: %w\n%s", program, err, out)
		}
	}
	return programs, nil
}

// launch starts the init process, and returns its id when pods can run.
func launch(ctx context.Context, lock *os.File, s settings, stays bool) (init int, err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = listener.Close() }() // the init process has its own
	door, err := listener.(*net.TCPListener).File()
	if err != nil {
		return 0, err
	}
	defer func() { _ = door.Close() }()
	log, err := os.Create(filepath.Join(directory(s.Name), "init.log"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(filepath.Join(s.Programs, initProgram), s.args(stays)...) //nolint:noctx // it outlives the context of its start
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true, // a Ctrl-C is for the caller alone
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
	}
	cmd.ExtraFiles, cmd.Stderr = []*os.File{lock, door}, log
	said, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if !stays {
		// When this process ends, the other end closes, and the cluster goes.
		if _, err := cmd.StdinPipe(); err != nil {
			return 0, err
		}
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("making namespaces: %w", err)
	}
	go func() { _ = cmd.Wait() }()
	if err := os.WriteFile(filepath.Join(directory(s.Name), "pid"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o600); err != nil {
		return 0, errors.Join(err, cmd.Process.Kill())
	}
	return cmd.Process.Pid, awaitReady(ctx, said, log.Name())
}

// awaitReady waits for the line that the init process writes when the cluster is up.
func awaitReady(ctx context.Context, said io.ReadCloser, log string) error {
	ready := make(chan bool, 1)
	go func() {
		line, _ := bufio.NewReader(said).ReadString('\n')
		ready <- strings.TrimSpace(line) == readyLine
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case up := <-ready:
		if up {
			return nil
		}
	}
	why, err := os.ReadFile(log)
	return errors.Join(fmt.Errorf("the cluster did not start:\n%s", why), err)
}

// enter is the command that runs another command in the namespaces of the init process.
func enter(init int) []string {
	return []string{"nsenter", "--target=" + strconv.Itoa(init), "--mount", "--net", "--pid", "--ipc", "--uts", "--"}
}

// openBare returns a running cluster.
func openBare(ctx context.Context, name string) (*Cluster, error) {
	init, err := initOf(name)
	if err != nil {
		return nil, fmt.Errorf("cluster %s is not up: %w", name, err)
	}
	return &Cluster{Kubeconfig: kubeconfigOf(name), enter: enter(init), stop: func() error { return downBare(context.WithoutCancel(ctx), name) }}, nil
}

// initOf is the id of the init process of a running cluster.
func initOf(name string) (int, error) {
	id, err := os.ReadFile(filepath.Join(directory(name), "pid"))
	if err != nil {
		return 0, err
	}
	// The id may be that of another process by now.
	args, err := os.ReadFile(filepath.Join("/proc", string(id), "cmdline"))
	if err != nil {
		return 0, err
	}
	if !slices.Contains(strings.Split(string(args), "\x00"), settings{Name: name}.nameFlag()) {
		return 0, fmt.Errorf("process %s is another one", id)
	}
	return strconv.Atoi(string(id))
}

// downBare ends the init process, and so all other processes, and removes the remaining files.
func downBare(ctx context.Context, name string) error {
	if _, err := os.Stat(directory(name)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	err := wait.PollUntilContextTimeout(ctx, poll, endLimit, true, func(ctx context.Context) (bool, error) {
		lock, err := tryLock(name)
		if err != nil {
			return false, err
		}
		if lock != nil {
			return true, errors.Join(removeRest(ctx, name), os.RemoveAll(directory(name)), lock.Close())
		}
		if init, err := initOf(name); err == nil {
			_ = syscall.Kill(init, syscall.SIGKILL) // it may have ended by itself
		}
		return false, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("cluster %s has not ended within %s", name, endLimit)
	}
	return err
}

// removeRest removes the files and cgroups of a cluster that has ended.
func removeRest(ctx context.Context, name string) error {
	entries, err := os.ReadDir(directory(name))
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(directory(name), entry.Name())))
	}
	return errors.Join(err, removeCgroups(ctx, title(name)))
}
