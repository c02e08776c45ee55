package node

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
)

// Names of the programs that build makes.
const (
	initProgram  = "cluster"
	pauseProgram = "pause"
	dnsProgram   = "coredns"
)

// InitCommand is the first argument with which hack/cluster is the init process of a cluster: it calls Init.
const InitCommand = "init"

// readyLine is what the init process writes when the cluster is up.
const readyLine = "ready"

// doorFile is the file number of the listener that makes the API server reachable from outside.
const doorFile = 4

// settings are the input of the init process.
type settings struct {
	Name string
	// Directory is for the kubeconfig and the logs.
	Directory string
	// Assets and Programs are the directories of the control plane's programs and of those that build makes.
	Assets, Programs string
}

func (s settings) nameFlag() string { return "--name=" + s.Name }

func (s settings) args(stays bool) []string {
	return []string{InitCommand, s.nameFlag(), "--directory=" + s.Directory, "--assets=" + s.Assets, "--programs=" + s.Programs, fmt.Sprintf("--stays=%t", stays)}
}

// Init is the init process of a cluster, and starts and ends all others. It returns when the cluster should end: when
// its standard input is closed, or its first process has ended. The kernel then ends the other processes.
func Init(ctx context.Context, args []string) error {
	var s settings
	flags := flag.NewFlagSet(InitCommand, flag.ContinueOnError)
	flags.StringVar(&s.Name, "name", "", "")
	flags.StringVar(&s.Directory, "directory", "", "")
	flags.StringVar(&s.Assets, "assets", "", "")
	flags.StringVar(&s.Programs, "programs", "", "")
	stays := flags.Bool("stays", false, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if os.Getpid() == 1 {
		return first()
	}
	if err := s.run(ctx); err != nil {
		return err
	}
	fmt.Println(readyLine)
	if *stays {
		<-ctx.Done()
		return nil
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// first is the first process of the PID namespace. It runs the working process, and reaps processes whose parents
// have ended, such as those between containerd and the containers.
func first() error {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...) //nolint:noctx,gosec // it is this program, as it was called
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{os.NewFile(doorFile-1, "lock"), os.NewFile(doorFile, "door")}
	if err := cmd.Start(); err != nil {
		return err
	}
	// Its end of standard output is that process's alone.
	_ = os.Stdout.Close()
	for {
		ended, err := syscall.Wait4(-1, nil, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || ended == cmd.Process.Pid {
			return err
		}
	}
}

// forward makes the API server reachable from outside of the network namespace. The listener belongs to the network namespace
// in which it was opened.
func forward(ctx context.Context) (address string, err error) {
	listener, err := net.FileListener(os.NewFile(doorFile, "door"))
	if err != nil {
		return "", err
	}
	go func() {
		for {
			outside, err := listener.Accept()
			if err != nil {
				return
			}
			go connect(ctx, outside)
		}
	}()
	return listener.Addr().String(), nil
}

// connect copies between a caller and the API server until both have ended.
func connect(ctx context.Context, outside net.Conn) {
	defer func() { _ = outside.Close() }()
	inside, err := new(net.Dialer).DialContext(ctx, "tcp", apiServer)
	if err != nil {
		return // the caller sees that it was closed
	}
	defer func() { _ = inside.Close() }()
	ended := make(chan bool, 2)
	for _, pair := range [][2]net.Conn{{outside, inside}, {inside, outside}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1]) // both callers see that it ended
			ended <- true
		}()
	}
	<-ended
}
