package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// errToldAlready: the process in a network of its own has said what went wrong.
var errToldAlready = errors.New("failed")

// goodbye is how long the process in a network of its own may take to clean up.
const goodbye = time.Minute

// isolate runs this program again in a network namespace of its own, where nothing but its own parts reaches what it
// opens. Where the system does not let it, it reports false and why.
func isolate(ctx context.Context, found parts) (isolated bool, err error) {
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	cmd := exec.CommandContext(ctx, self, os.Args[1:]...) //nolint:gosec // it is this program, as it was called
	cmd.Env = append(os.Environ(), found.environment()...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	// Asked to end it cleans up; a Ctrl-C in the terminal reaches it by way of this process alone.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = goodbye
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
		// In the namespace, to set up its network.
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN}
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	err = cmd.Wait()
	if ctx.Err() != nil {
		return true, ctx.Err()
	}
	if err != nil {
		return true, errToldAlready
	}
	return true, nil
}

// loopbackUp makes a new network namespace usable: nothing in it is up at first.
func loopbackUp() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(socket) }()
	loopback, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	loopback.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, loopback)
}
