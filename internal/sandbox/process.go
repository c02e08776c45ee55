package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// startLimit is how long a program may take until it says that it is ready.
	startLimit = 30 * time.Second
	// stopLimit is how long it may take to end when it is asked to.
	stopLimit = 20 * time.Second
)

// process is a program that can be stopped, killed and started again.
type process struct {
	// LogFile is where all its processes write to, one after the other.
	LogFile string

	// name is what it is called in errors.
	name, binary, kubeconfig string
	// variables are added to its environment.
	variables []string

	mu      sync.Mutex
	process *os.Process
	// ended is closed when the process has; nil when there is none.
	ended chan struct{}
}

// start starts a process and returns when it is ready.
func (p *process) start(ctx context.Context, args []string, ready func(context.Context) bool) error {
	ended, err := p.launch(args)
	if err != nil {
		return err
	}
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, startLimit, true, func(ctx context.Context) (bool, error) {
		select {
		case <-ended:
			return false, errors.New("it ended")
		default:
			return ready(ctx), nil
		}
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("starting %s: %w\n%s", p.name, err, p.LogEnd())
	}
	return err
}

func (p *process) launch(args []string) (ended chan struct{}, err error) {
	log, err := os.OpenFile(p.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the process has its own
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended != nil {
		return nil, fmt.Errorf("%s runs already", p.name)
	}
	// Not bound to a context: it ends when it is told to, also when the caller is in a hurry.
	cmd := exec.Command(p.binary, args...) //nolint:noctx // see above
	// Nothing of this process's environment: no proxy, and no kubeconfig but its own.
	cmd.Env = append([]string{"KUBECONFIG=" + p.kubeconfig}, p.variables...)
	cmd.Stdout, cmd.Stderr = log, log
	// A Ctrl-C in the terminal is for the caller alone, who ends the parts in their order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended = make(chan struct{})
	p.process, p.ended = cmd.Process, ended
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(ended)
	}()
	return ended, nil
}

// Stop asks the process to end and waits until it has. It is no error if there is none.
func (p *process) Stop() error { return p.end(syscall.SIGTERM) }

// Kill ends the process without a warning (SIGKILL) and waits until it is gone. It is no error if there is none.
func (p *process) Kill() error { return p.end(syscall.SIGKILL) }

// Freeze stops the process where it is (SIGSTOP), as a machine does that is suspended. It returns when the process has stopped: on a
// busy machine that goes on for a moment after the signal.
func (p *process) Freeze(ctx context.Context) error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, 10*time.Millisecond, stopLimit, true, func(ctx context.Context) (bool, error) {
		state, err := p.ask(ctx, "stat")
		return strings.HasPrefix(state, "T"), err
	})
}

// Thaw lets a process go on that was frozen.
func (p *process) Thaw() error { return p.signal(syscall.SIGCONT) }

func (p *process) signal(signal os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		return fmt.Errorf("%s does not run", p.name)
	}
	return p.process.Signal(signal)
}

// Ended reports whether the process has ended by itself, or there is none.
func (p *process) Ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		return true
	}
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

func (p *process) end(signal os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		return nil
	}
	if err := p.process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	var err error
	select {
	case <-p.ended:
	case <-time.After(stopLimit):
		err = errors.Join(fmt.Errorf("%s did not end within %s and was killed", p.name, stopLimit), p.process.Kill())
		<-p.ended
	}
	p.process, p.ended = nil, nil
	return err
}

// Usage is what a process takes of the machine.
type Usage struct {
	// CPU is the processor time that it has used, in steps of 10 ms.
	CPU time.Duration
	// Memory is how many bytes it holds (its resident set), and Peak the most that it has held.
	Memory, Peak uint64
}

// Usage tells what the process has used so far. It needs Linux.
func (p *process) Usage() (Usage, error) {
	pid, err := p.pid()
	if err != nil {
		return Usage{}, err
	}
	running, err := procfs.NewProc(pid)
	if err != nil {
		return Usage{}, err
	}
	times, err := running.Stat()
	if err != nil {
		return Usage{}, err
	}
	status, err := running.NewStatus()
	return Usage{CPU: time.Duration(times.CPUTime() * float64(time.Second)), Memory: status.VmRSS, Peak: status.VmHWM}, err
}

func (p *process) pid() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process == nil {
		return 0, fmt.Errorf("%s does not run", p.name)
	}
	return p.process.Pid, nil
}

// ask returns what ps says of the process under one of its keywords.
func (p *process) ask(ctx context.Context, keyword string) (string, error) {
	pid, err := p.pid()
	if err != nil {
		return "", err
	}
	text, err := run(ctx, command(ctx, "ps", "-o", keyword+"=", "-p", strconv.Itoa(pid)))
	return strings.TrimSpace(text), err
}

// Log returns what all the processes wrote.
func (p *process) Log() (string, error) {
	text, err := os.ReadFile(p.LogFile)
	return string(text), err
}

// LogEnd is the end of the log, for the report of a failure.
func (p *process) LogEnd() string {
	const length = 2000
	text, err := os.ReadFile(p.LogFile)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(text[max(0, len(text)-length):]))
}
