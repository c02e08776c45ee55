// Package plugin is the kubectl plugin `kubectl clientbindings`. It reads the cluster with the caller's rights, and the Delos API with the
// credentials of an APIConnection or of the caller. Only `check --write-test` changes anything.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// Program has the plugin's connections to its environment.
type Program struct {
	// Streams are the input and the outputs.
	Streams genericiooptions.IOStreams
	// Version of the plugin, for the API and for --version.
	Version string
	// Now is the clock.
	Now func() time.Time
	// Getenv reads the environment, for credentials.
	Getenv func(string) string
}

// The exit codes of the process.
const (
	exitClean    = 0
	exitFindings = 1
	exitFailed   = 2
)

// errFindings ends a command that has findings. The command has printed them.
var errFindings = errors.New("there are findings")

// Run runs one command and returns the exit code of the process: 0 without findings, 1 with findings, and 2
// when the command failed.
func Run(ctx context.Context, program Program, arguments []string) int {
	root := newRoot(&program)
	root.SetArgs(arguments)
	root.SetIn(program.Streams.In)
	root.SetOut(program.Streams.Out)
	root.SetErr(program.Streams.ErrOut)
	switch err := root.ExecuteContext(ctx); {
	case err == nil:
		return exitClean
	case errors.Is(err, errFindings):
		return exitFindings
	default:
		fmt.Fprintf(program.Streams.ErrOut, "Error: %s\n", explain(ctx, err))
		return exitFailed
	}
}

// explain is the text of an error for people.
func explain(ctx context.Context, err error) string {
	if ctx.Err() != nil {
		return "interrupted: " + err.Error()
	}
	return err.Error()
}

func newRoot(program *Program) *cobra.Command {
	cluster := genericclioptions.NewConfigFlags(true)
	// Without these flags of the cluster, nobody takes them for the connection's credentials.
	cluster.Username, cluster.Password = nil, nil
	cluster.WithWrapConfigFn(program.identify)
	root := &cobra.Command{
		Use:   "kubectl-clientbindings",
		Short: "Bring access on the Delos platform under Git, and show who has it and who declared it",
		Long: `Bring access on the Delos platform under Git, and show who has it and who declared it.

The commands use the API of an APIConnection, and read its Secret with your rights. Or they use the API of --url. The credentials for --url
come from the environment (DELOS_LOGIN, DELOS_PASSWORD and DELOS_TOTP_SEED, or DELOS_TOKEN) or from the file of --credentials.

Exit codes: 0 when you have nothing to act on, 1 when the command has findings, 2 when the command failed.`,
		Version:           program.Version,
		SilenceUsage:      true,
		SilenceErrors:     true,
		DisableAutoGenTag: true,
		Annotations:       map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl clientbindings"},
	}
	cluster.AddFlags(root.PersistentFlags())
	access := &access{program: program, cluster: cluster}
	root.AddCommand(
		newImport(access),
		newReport(access),
		newWho(access),
		newWhat(access),
		newDiff(access),
		newCheck(access),
		newStatus(access),
	)
	for _, command := range root.Commands() {
		command.PreRunE = func(command *cobra.Command, arguments []string) error {
			if err := refuseEmpty(command, arguments); err != nil {
				return err
			}
			return access.refuseDefault()
		}
	}
	return root
}

// refuseEmpty refuses an argument or a list that was given and is empty, as by a script whose variable is: it would be taken for all, or for nothing.
func refuseEmpty(command *cobra.Command, arguments []string) (refusal error) {
	if slices.Contains(arguments, "") {
		return fmt.Errorf("the argument of %s is empty: use %s", command.Name(), command.UseLine())
	}
	command.Flags().Visit(func(flag *pflag.Flag) {
		if list, is := flag.Value.(pflag.SliceValue); is && (len(list.GetSlice()) == 0 || slices.Contains(list.GetSlice(), "")) {
			refusal = fmt.Errorf("--%s is empty: give it a value, or leave it out", flag.Name)
		}
	})
	return refusal
}

// amount is a number of things in words.
func amount(number int, thing string) string {
	if number == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", number, thing)
}

// identify names the plugin to the API server, and removes the limit of five calls a second, with which a diff of many manifests would
// take minutes. The API server protects itself (priority and fairness).
func (p *Program) identify(config *restConfig) *restConfig {
	config.UserAgent, config.QPS = p.userAgent(), -1
	return config
}

func (p *Program) userAgent() string { return "kubectl-clientbindings/" + p.Version }

// say writes a line of progress, separate from the result.
func (p *Program) say(format string, arguments ...any) {
	fmt.Fprintf(p.Streams.ErrOut, format+"\n", arguments...)
}

// terminal returns the width of a terminal, and false if a stream is not a terminal.
func terminal(stream any) (width int, is bool) {
	file, is := stream.(*os.File)
	if !is || !term.IsTerminal(int(file.Fd())) {
		return 0, false
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil || width < 20 {
		width = 80
	}
	return width, true
}

// paint returns a function that colours words, if the output is a terminal and the environment allows colours.
func (p *Program) paint(out io.Writer) func(colour, text string) string {
	_, is := terminal(out)
	if !is || p.Getenv("NO_COLOR") != "" || p.Getenv("TERM") == "dumb" {
		return func(_, text string) string { return text }
	}
	return func(colour, text string) string { return "\x1b[" + colour + "m" + text + "\x1b[0m" }
}

// The colours of a verdict.
const (
	red    = "31"
	yellow = "33"
	green  = "32"
)
