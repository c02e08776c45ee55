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
	// startLimit is the time until a program has to be ready.
	startLimit = 30 * time.Second
	// stopLimit is the time until it has to end after a signal.
	stopLimit = 20 * time.Second
)

// process is a program that can be stopped, killed and started again.
type process struct {
	// LogFile has the output of all its processes, one after the other.
	LogFile string

	// name is its name in errors.
	name, binary, kubeconfig string
	// variables are added to its environment.
	variables []string

	mu      sync.Mutex
	process *os.Process
	// ended is closed when the process has ended; nil without a process.
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
	// Not bound to a context, so that it ends in order, also after an interrupt.
	cmd := exec.Command(p.binary, args...) //nolint:noctx // see above
	// It does not inherit this process's environment, such as a proxy or a kubeconfig.
	cmd.Env = append([]string{"KUBECONFIG=" + p.kubeconfig}, p.variables...)
	cmd.Stdout, cmd.Stderr = log, log
	// A Ctrl-C in the terminal reaches only the caller, which ends the parts in their order.
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

// Stop asks the process to end and waits until it has. A missing process is not an error.
func (p *process) Stop() error { return p.end(syscall.SIGTERM) }

// Kill ends the process by SIGKILL and waits until it is gone. A missing process is not an error.
func (p *process) Kill() error { return p.end(syscall.SIGKILL) }

// Freeze stops the process by SIGSTOP, like a suspended machine. It returns when the process has stopped. On a
// busy machine the process runs for a moment after the signal.
func (p *process) Freeze(ctx context.Context) error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, 10*time.Millisecond, stopLimit, true, func(ctx context.Context) (bool, error) {
		state, err := p.ask(ctx, "stat")
		return strings.HasPrefix(state, "T"), err
	})
}

// Thaw lets a frozen process go on.
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

// Usage is the use of the machine by a process.
type Usage struct {
	// CPU is the used processor time, in steps of 10 ms.
	CPU time.Duration
	// Memory is the resident set in bytes, and Peak its maximum.
	Memory, Peak uint64
}

// Usage returns the use until now. It needs Linux.
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

// ask returns the value of a keyword of ps for the process.
func (p *process) ask(ctx context.Context, keyword string) (string, error) {
	pid, err := p.pid()
	if err != nil {
		return "", err
	}
	text, err := run(ctx, command(ctx, "ps", "-o", keyword+"=", "-p", strconv.Itoa(pid)))
	return strings.TrimSpace(text), err
}

// Log returns the output of all the processes.
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
