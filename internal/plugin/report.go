package plugin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// reporting is `report`, `who` and `what`.
type reporting struct {
	*access

	output     string
	file       string
	clients    []string
	users      []string
	owners     bool
	undeclared bool
}

const reportFormats = "table, wide, json, csv or html"

func newReport(access *access) *cobra.Command {
	r := &reporting{access: access}
	command := &cobra.Command{
		Use:   "report",
		Short: "Compare what is declared with what the API shows",
		Long: `Compare what is declared in the cluster with what the API shows, for every user and client. The report lists who has access, who declared it, and
access that no ClientBinding declares.

The exit code is 1 if anything is not as declared.`,
		Example: `  # Everything, findings first
  kubectl clientbindings report

  # An HTML page for an auditor
  kubectl clientbindings report --output html --file access.html

  # For a pipeline: find owners that no ClientBinding declares
  kubectl clientbindings report --owners --undeclared`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return r.run(command.Context()) },
	}
	r.addReportFlags(command)
	flags := command.Flags()
	flags.StringSliceVar(&r.clients, "client", nil, "Only this client (cuid); may be repeated.")
	flags.StringSliceVar(&r.users, "user", nil, "Only this user (uuid); may be repeated. The command then lists no users.")
	flags.BoolVar(&r.owners, "owners", false, "Only access as owner.")
	flags.BoolVar(&r.undeclared, "undeclared", false, "Only access that no ClientBinding declares.")
	return command
}

func newWho(access *access) *cobra.Command {
	r := &reporting{access: access}
	command := &cobra.Command{
		Use:               "who CUID",
		Short:             "Show the users of a client, with declared and actual access",
		Example:           "  kubectl clientbindings who cust_789xyz",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: access.complete(func(binding *v1alpha1.ClientBinding) string { return binding.Spec.CUID }),
		RunE: func(command *cobra.Command, arguments []string) error {
			r.clients = arguments
			return r.run(command.Context())
		},
	}
	r.addReportFlags(command)
	return command
}

func newWhat(access *access) *cobra.Command {
	r := &reporting{access: access}
	command := &cobra.Command{
		Use:               "what USER",
		Short:             "Show the clients of a user, with declared and actual access",
		Example:           "  kubectl clientbindings what user_abc123def",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: access.complete(func(binding *v1alpha1.ClientBinding) string { return binding.Spec.UserUUID }),
		RunE: func(command *cobra.Command, arguments []string) error {
			r.users = arguments
			return r.run(command.Context())
		},
	}
	r.addReportFlags(command)
	return command
}

func (r *reporting) addReportFlags(command *cobra.Command) {
	r.addFlags(command)
	r.addDefaultConnection(command)
	command.Flags().StringVarP(&r.output, "output", "o", "table", "The output format: "+reportFormats+".")
	command.Flags().StringVar(&r.file, "file", "", "Write the output to this file. The file is complete, or is not written.")
	_ = command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "wide", "json", "csv", "html"}, cobra.ShellCompDirectiveNoFileComp))
}

// report has the scope and the result of a comparison.
type report struct {
	GeneratedAt time.Time `json:"generatedAt"`
	// API is the host and port.
	API string `json:"api"`
	// Connection is the APIConnection; "" if the API was named by its URL.
	Connection string `json:"connection,omitempty"`
	// Clients and Users are the requested ones; all when empty.
	Clients []string `json:"clients,omitempty"`
	Users   []string `json:"users,omitempty"`
	// Only names the shown entries, if not all are shown.
	Only []string `json:"only,omitempty"`
	// UsersRead is the number of users of the API that were read, and BindingsRead the number of ClientBindings that declare access there.
	UsersRead    int `json:"usersRead"`
	BindingsRead int `json:"bindingsRead"`
	// Namespace is the only one whose ClientBindings were read; all when empty.
	Namespace string `json:"namespace,omitempty"`
	// Notes name the parts that could not be read.
	Notes   []string        `json:"notes,omitempty"`
	Version string          `json:"version"`
	Counts  map[Verdict]int `json:"counts"`
	Entries []entry         `json:"entries"`
}

func (r *reporting) run(ctx context.Context) error {
	write, known := map[string]func(*report, io.Writer) error{
		"table": r.table, "wide": r.wide, "json": asJSON, "csv": asCSV, "html": asHTML,
	}[r.output]
	if !known {
		return fmt.Errorf("--output is %q: it must be %s", r.output, reportFormats)
	}
	if r.file != "" {
		if err := mayWrite(r.file); err != nil {
			return fmt.Errorf("--file: %w", err)
		}
	}
	made, err := r.make(ctx)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	out := io.Writer(&text)
	if r.file == "" {
		out = r.program.Streams.Out
	}
	if err := write(made, out); err != nil {
		return err
	}
	if r.file != "" {
		if err := writeFile(r.file, text.Bytes()); err != nil {
			return err
		}
		r.program.say("%s: %s", r.file, countInWords(made.Entries))
	}
	if slices.ContainsFunc(made.Entries, func(one entry) bool { return one.Verdict.IsFinding() }) {
		return errFindings
	}
	return nil
}

// make compares the cluster with the API.
func (r *reporting) make(ctx context.Context) (*report, error) {
	platform, err := r.platform(ctx)
	if err != nil {
		return nil, err
	}
	made := &report{
		GeneratedAt: r.program.Now().UTC().Truncate(time.Second), API: platform.host, Clients: r.clients, Users: r.users,
		Version: r.program.Version, Counts: map[Verdict]int{}, Entries: []entry{},
	}
	if r.url == "" {
		name, err := r.name()
		if err != nil {
			return nil, err
		}
		made.Connection = name.String()
	}
	declared, barred, err := r.declaredAt(ctx, platform.host, made)
	if err != nil {
		return nil, err
	}
	people, err := r.peopleOf(ctx, platform, declared)
	if err != nil {
		return nil, err
	}
	names, why, err := platform.clientNames(ctx)
	if err != nil {
		return nil, err
	}
	if why != "" {
		made.Notes = append(made.Notes, why)
	}
	for _, cuid := range r.clients {
		if note := almost(names, cuid); note != "" {
			made.Notes = append(made.Notes, fmt.Sprintf("client %q: %s", cuid, note))
		}
	}
	made.UsersRead = len(people)
	slices.Sort(made.Notes)
	for _, one := range compare(declared, barred, people, r.program.Now()) {
		if r.wanted(one) {
			one.ClientName = names[one.Client]
			made.Entries = append(made.Entries, one)
		}
	}
	made.Counts = count(made.Entries)
	if r.owners {
		made.Only = append(made.Only, "access as owner")
	}
	if r.undeclared {
		made.Only = append(made.Only, "access that nobody declares")
	}
	return made, nil
}

// declaredAt are the requested ClientBindings of a host, and the reasons why some of them may not hold their relation.
func (r *reporting) declaredAt(ctx context.Context, host string, made *report) (declared []v1alpha1.ClientBinding, barred map[key]string, err error) {
	kube, err := r.kube()
	if err != nil {
		return nil, nil, err
	}
	all, err := r.bindings(ctx, kube)
	if err != nil {
		return nil, nil, err
	}
	made.Namespace, barred = all.namespace, map[key]string{}
	hosts := newHosts(r.access, kube)
	var without, unjudged int
	for _, binding := range all.items {
		at, err := hosts.of(ctx, &binding)
		if err != nil {
			return nil, nil, err
		}
		if at == "" {
			without++
		}
		if at != host || !r.asked(binding.Spec.UserUUID, binding.Spec.CUID) {
			continue
		}
		declared = append(declared, binding)
		if ended(&binding, r.program.Now()) {
			continue
		}
		switch why, err := hosts.barred(ctx, &binding); {
		case apierrors.IsForbidden(err):
			unjudged++
		case err != nil:
			return nil, nil, err
		default:
			barred[client.ObjectKeyFromObject(&binding)] = why
		}
	}
	made.BindingsRead = len(declared)
	if note := leftOut(without); note != "" {
		made.Notes = append(made.Notes, note)
	}
	if unjudged > 0 {
		made.Notes = append(made.Notes, fmt.Sprintf("counted as allowed: %s whose APIConnection, or Namespace with the labels for spec.allowed, may not be read by you", amount(unjudged, "ClientBinding")))
	}
	return declared, barred, nil
}

// asked reports whether a relation is requested.
func (r *reporting) asked(user, cuid string) bool {
	return (len(r.users) == 0 || slices.Contains(r.users, user)) && (len(r.clients) == 0 || slices.Contains(r.clients, cuid))
}

func (r *reporting) wanted(one entry) bool {
	// An entry that cannot be read may be access as owner, and of any user.
	owner := one.Actual == v1alpha1.AccessOwner || one.Declared == v1alpha1.AccessOwner || one.Actual == unknown
	undeclared := one.Verdict == Undeclared || one.Verdict == Unreadable && one.Binding == "" || one.Bare && one.Actual != v1alpha1.AccessNone
	return (one.Client == "" || r.asked(one.User, one.Client)) && (!r.owners || owner) && (!r.undeclared || undeclared)
}

// peopleOf reads all requested users: those that the API lists, and those for whom access is declared.
func (r *reporting) peopleOf(ctx context.Context, platform *platform, declared []v1alpha1.ClientBinding) (people []person, err error) {
	users := map[string]bool{}
	for _, user := range r.users {
		users[user] = true
	}
	if len(r.users) == 0 {
		clients := r.clients
		if len(clients) == 0 {
			clients = []string{""}
		}
		for _, cuid := range clients {
			listed, err := r.list(ctx, platform, delos.UserFilter{CUID: cuid})
			if err != nil {
				return nil, err
			}
			for _, user := range listed {
				users[user] = true
			}
		}
		for _, binding := range declared {
			users[binding.Spec.UserUUID] = true
		}
	}
	uuids := sortedKeys(users)
	progress := r.program.progress("users read", 0, len(uuids))
	err = platform.people(ctx, uuids, func(one person) error {
		people = append(people, one)
		progress.at(len(people))
		return nil
	})
	progress.done(len(people))
	return people, err
}

func (r *reporting) table(made *report, out io.Writer) error { return r.columns(made, out, false) }
func (r *reporting) wide(made *report, out io.Writer) error  { return r.columns(made, out, true) }

// columns prints the entries for a terminal, and then the scope of the report.
func (r *reporting) columns(made *report, out io.Writer, wide bool) error {
	paint := r.program.paint(out)
	table := printers.GetNewTabWriter(out)
	heading := []string{"VERDICT", "CLIENT", "USER", "DECLARED", "ACTUAL", "CLIENTBINDING"}
	if wide {
		heading = append(heading, "CLIENT NAME", "USERNAME", "STATUS", "REQUESTER", "SINCE", "EXPIRES", "JUSTIFICATION", "WHY")
	}
	fmt.Fprintln(table, strings.Join(heading, "\t"))
	for _, one := range made.Entries {
		cells := []string{string(one.Verdict), cmp.Or(one.Client, "-"), one.User, string(one.Declared), string(one.Actual), cmp.Or(one.Binding, "-")}
		if wide {
			cells = append(cells, one.ClientName, one.Username, one.UserStatus, one.Requester, shown(one.DeclaredSince), shown(one.ExpiresAt), one.Justification, one.Why)
		}
		for i := range cells {
			cells[i] = visible(cells[i])
		}
		colour := green
		if one.Verdict.IsFinding() {
			colour = red
		}
		cells[0] = paint(colour, cells[0])
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s\n%s\n", countInWords(made.Entries), made.scope())
	for _, note := range made.Notes {
		fmt.Fprintf(out, "Note: %s\n", visible(note))
	}
	return nil
}

// scope describes the scope of the report.
func (r *report) scope() string {
	text := fmt.Sprintf("Looked at %s: %s of %s", r.GeneratedAt.Format(time.RFC3339), amount(r.UsersRead, "user"), r.API)
	if r.Connection != "" {
		text += " through APIConnection " + r.Connection
	}
	text += fmt.Sprintf(", %s of ", amount(r.BindingsRead, "ClientBinding"))
	if r.Namespace != "" {
		text += "namespace " + r.Namespace
	} else {
		text += "all namespaces"
	}
	if len(r.Clients) > 0 {
		text += "; only clients " + visible(strings.Join(r.Clients, ", "))
	}
	if len(r.Users) > 0 {
		text += "; only users " + visible(strings.Join(r.Users, ", "))
	}
	if len(r.Only) > 0 {
		text += "; only " + strings.Join(r.Only, ", ")
	}
	return text
}

func shown(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.Format(time.RFC3339)
}

// visible removes characters that a terminal does not show as text.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return -1
		}
		return r
	}, text)
}

func asJSON(made *report, out io.Writer) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(made)
}

// asCSV prints a line with the names of the columns, and one for each entry.
func asCSV(made *report, out io.Writer) error {
	table := csv.NewWriter(out)
	lines := [][]string{{
		"verdict", "client", "clientName", "user", "username", "userStatus", "declared", "actual", "binding", "requester",
		"declaredSince", "expiresAt", "justification", "why", "api", "generatedAt",
	}}
	for _, one := range made.Entries {
		lines = append(lines, []string{
			string(one.Verdict), one.Client, one.ClientName, one.User, one.Username, one.UserStatus, string(one.Declared), string(one.Actual),
			one.Binding, one.Requester, shown(one.DeclaredSince), shown(one.ExpiresAt), one.Justification, one.Why,
			made.API, shown(&made.GeneratedAt),
		})
	}
	for _, line := range lines {
		for i := range line {
			line[i] = inert(line[i])
		}
		if err := table.Write(line); err != nil {
			return err
		}
	}
	table.Flush()
	return table.Error()
}

// inert prevents a spreadsheet from reading a text as a formula.
func inert(text string) string {
	text = visible(text)
	if text != "" && strings.ContainsRune("=+-@\t\r＝＋－＠", []rune(text)[0]) {
		return "'" + text
	}
	return text
}
