package plugin

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// importing is `import`.
type importing struct {
	*access

	directory     string
	by            string
	clients       []string
	users         []string
	status        string
	justification string
	restart       bool
}

func newImport(access *access) *cobra.Command {
	i := &importing{access: access}
	command := &cobra.Command{
		Use:   "import --directory DIRECTORY",
		Short: "Write a ClientBinding for every relation that the API shows",
		Long: `Write a ClientBinding for every relation that the API shows, as YAML for Git.

If you apply the files, they change nothing on the platform: the operator adopts the existing access. Names and order are the same in every run.
The command lists relations that it cannot declare. The exit code is then 1. An interrupted import goes on where it stopped. The command
writes no file before it has read all users.`,
		Example: `  # All relations, one file for each client
  kubectl clientbindings import --directory access

  # The relations of one client, one file for each user, in another namespace
  kubectl clientbindings import --directory access --client cust_789xyz --by user -n team-a

  # Without a cluster, with your own credentials
  DELOS_LOGIN=me@example.com DELOS_PASSWORD=… kubectl clientbindings import --directory access --url https://stagep.tst-apidmndelss.com`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return i.run(command.Context()) },
	}
	i.addFlags(command)
	flags := command.Flags()
	flags.StringVarP(&i.directory, "directory", "d", "", "The directory for the files. It is created if it does not exist.")
	flags.StringVar(&i.by, "by", "client", "One file for each client, or for each user.")
	flags.StringSliceVar(&i.clients, "client", nil, "Only relations to this client (cuid).")
	flags.StringSliceVar(&i.users, "user", nil, "Only this user (uuid); may be repeated. The command then lists no users, which some accounts may not do.")
	flags.StringVar(&i.status, "status", "", "Only users of this status, such as ACCEPT.")
	flags.StringVar(&i.justification, "justification", "", "The spec.justification in the files, such as the number of a ticket.")
	flags.BoolVar(&i.restart, "restart", false, "Start again, and drop the users that an interrupted import has read.")
	_ = command.MarkFlagRequired("directory")
	_ = command.RegisterFlagCompletionFunc("by", cobra.FixedCompletions([]string{"client", "user"}, cobra.ShellCompDirectiveNoFileComp))
	_ = command.MarkFlagDirname("directory")
	return command
}

func (i *importing) run(ctx context.Context) (err error) {
	switch {
	case i.by != "client" && i.by != "user":
		return fmt.Errorf("--by is %q: it must be client or user", i.by)
	case len(i.clients) > 1:
		return errors.New("--client may be given once: run import for each client, into a directory of its own")
	}
	platform, err := i.platform(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(i.directory, 0o755); err != nil {
		return err
	}
	if err := removeHalfWritten(i.directory); err != nil {
		return err
	}
	if i.restart {
		if err := os.Remove(filepath.Join(i.directory, journalName)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	journal, err := openJournal(i.directory, scope{
		Host: platform.host, Client: strings.Join(i.clients, ""), Status: i.status, Users: i.users, Began: i.program.Now().UTC(),
	})
	if err != nil {
		return err
	}
	finished := false
	defer func() { err = errors.Join(err, journal.close(finished)) }()
	names, err := i.read(ctx, platform, journal)
	if err != nil {
		return fmt.Errorf("%w\n%s read so far; run the same command to go on", err, amount(len(journal.people), "user"))
	}
	found, err := i.sort(ctx, journal.people, names)
	if err != nil {
		return err
	}
	if err := i.write(platform.host, found); err != nil {
		return err
	}
	finished = true
	return i.tell(found, len(journal.people))
}

// read reads all users that are not in the journal.
func (i *importing) read(ctx context.Context, platform *platform, journal *journal) (names map[string]string, err error) {
	if len(journal.people) > 0 {
		i.program.say("Going on with the import of %s, which has read %s", journal.scope.Began.Format("2006-01-02 15:04 MST"), amount(len(journal.people), "user"))
	}
	uuids := slices.Clone(i.users)
	if len(uuids) == 0 {
		if uuids, err = i.list(ctx, platform, delos.UserFilter{CUID: journal.scope.Client, Status: i.status}); err != nil {
			return nil, err
		}
	}
	known := map[string]bool{}
	for _, one := range journal.people {
		known[one.UUID] = true
	}
	total := len(uuids)
	uuids = slices.DeleteFunc(uuids, func(uuid string) bool { return known[uuid] })
	progress := i.program.progress("users read", total-len(uuids), total)
	err = platform.people(ctx, uuids, func(one person) error {
		defer func() { progress.at(len(journal.people)) }()
		return journal.add(one)
	})
	progress.done(len(journal.people))
	if err != nil {
		return nil, err
	}
	names, why, err := platform.clientNames(ctx)
	if why != "" {
		i.program.say("Note: %s", why)
	}
	if note := almost(names, journal.scope.Client); note != "" {
		i.program.say("Note: client %q: %s", journal.scope.Client, note)
	}
	return names, err
}

// list lists users.
func (a *access) list(ctx context.Context, platform *platform, filter delos.UserFilter) ([]string, error) {
	progress := a.program.progress("users listed", 0, 0)
	uuids, err := readList(ctx, platform, platform.api.Users(filter), progress.at)
	progress.done(len(uuids))
	if delos.KindOf(err) == delos.KindForbidden {
		return nil, fmt.Errorf("the account may not list users: name users by --user, or use another account: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("listing users: %w", err)
	}
	return uuids, nil
}

// declaration is a relation that is to be declared.
type declaration struct {
	person     person
	relation   relation
	clientName string
}

// undeclared is a relation that cannot be declared, and the reason.
type undeclared struct{ user, cuid, why string }

// findings are the result of an import.
type findings struct {
	declarations []declaration
	undeclared   []undeclared
	// elsewhere are relations that another ClientBinding declares already.
	elsewhere []undeclared
	listless  int
	files     int
	stale     []string
}

// sort separates the relations that can be declared from the others.
func (i *importing) sort(ctx context.Context, people []person, names map[string]string) (*findings, error) {
	declared, err := i.declared(ctx)
	if err != nil {
		return nil, err
	}
	found := &findings{}
	for _, one := range people {
		if i.status != "" && one.Status != i.status && one.Problem == "" {
			continue // The API did not filter.
		}
		if one.Listless {
			found.listless++
		}
		if one.Problem != "" {
			found.undeclared = append(found.undeclared, undeclared{user: one.UUID, why: one.Problem})
		}
		for _, has := range one.Access {
			if len(i.clients) > 0 && has.CUID != i.clients[0] {
				continue
			}
			found.add(one, has, names[has.CUID], declared)
		}
	}
	slices.SortFunc(found.declarations, func(a, b declaration) int {
		byClient := cmp.Compare(a.relation.CUID, b.relation.CUID)
		byUser := cmp.Compare(a.person.UUID, b.person.UUID)
		if i.by == "user" {
			return cmp.Or(byUser, byClient)
		}
		return cmp.Or(byClient, byUser)
	})
	for _, list := range [][]undeclared{found.undeclared, found.elsewhere} {
		slices.SortFunc(list, func(a, b undeclared) int {
			return cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(a.cuid, b.cuid))
		})
	}
	return found, nil
}

func (f *findings) add(one person, has relation, clientName string, declared map[pair]string) {
	not := func(why string) {
		f.undeclared = append(f.undeclared, undeclared{one.UUID, has.CUID, why})
	}
	switch {
	case one.Deleted:
		not("the user is deleted, and has no access while that is so")
	case has.Problem != "":
		not(has.Problem)
	case !declarable.MatchString(one.UUID):
		not("a ClientBinding cannot have this userUUID: only letters, digits, '_' and '-' are allowed, 128 at most")
	case !declarable.MatchString(has.CUID):
		not("a ClientBinding cannot have this cuid: only letters, digits, '_' and '-' are allowed, 128 at most")
	case declared[pair{one.UUID, has.CUID}] != "":
		f.elsewhere = append(f.elsewhere, undeclared{one.UUID, has.CUID, declared[pair{one.UUID, has.CUID}]})
	default:
		f.declarations = append(f.declarations, declaration{one, has, clientName})
	}
}

// pair is a user and a client.
type pair struct{ user, cuid string }

// declared are the relations that ClientBindings of other names declare already. A second ClientBinding would be in conflict.
func (i *importing) declared(ctx context.Context) (map[pair]string, error) {
	if i.url != "" {
		return nil, nil
	}
	kube, err := i.kube()
	if err != nil {
		return nil, err
	}
	bindings, err := i.bindings(ctx, kube)
	switch {
	case apierrors.IsForbidden(err):
		i.program.say("Note: you may not read these ClientBindings either, so the import may declare what they declare already: have the right given to you")
	case err != nil:
		return nil, err
	}
	namespace, err := i.namespace()
	if err != nil {
		return nil, err
	}
	name, err := i.name()
	if err != nil {
		return nil, err
	}
	declared := map[pair]string{}
	for _, binding := range bindings.items {
		own := types.NamespacedName{Namespace: namespace, Name: objectName(binding.Spec.UserUUID, binding.Spec.CUID)}
		there := types.NamespacedName{Namespace: binding.Namespace, Name: binding.Name}
		if there != own && i.connectionOf(&binding) == name && !ended(&binding, i.program.Now()) {
			declared[pair{binding.Spec.UserUUID, binding.Spec.CUID}] = there.String()
		}
	}
	return declared, nil
}

// write writes one file for each client or user.
func (i *importing) write(host string, found *findings) error {
	files := map[string][]declaration{}
	of := map[string]string{}
	objects := map[string]pair{}
	for _, one := range found.declarations {
		id := one.relation.CUID
		if i.by == "user" {
			id = one.person.UUID
		}
		file, object := fileName(id), objectName(one.person.UUID, one.relation.CUID)
		if other, taken := of[file]; taken && other != id {
			return fmt.Errorf("the files of %s and %s would have the same name %s", other, id, file)
		}
		if other, taken := objects[object]; taken {
			return fmt.Errorf("the ClientBindings of %s and %s would have the same name %s", other, pair{one.person.UUID, one.relation.CUID}, object)
		}
		of[file], objects[object] = id, pair{one.person.UUID, one.relation.CUID}
		files[file] = append(files[file], one)
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		content, err := i.document(host, files[file])
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(i.directory, file), content); err != nil {
			return err
		}
	}
	found.files = len(files)
	var err error
	found.stale, err = i.stale(files)
	return err
}

// wroteThis is the beginning of each file that an import writes.
const wroteThis = "# Written by kubectl clientbindings import"

// stale are files that an earlier import wrote and this one did not: the relations in them no longer exist.
func (i *importing) stale(files map[string][]declaration) (stale []string, err error) {
	there, err := filepath.Glob(filepath.Join(i.directory, "*.yaml"))
	if err != nil {
		return nil, err
	}
	for _, path := range there {
		if _, now := files[filepath.Base(path)]; now {
			continue
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if bytes.HasPrefix(content, []byte(wroteThis)) {
			stale = append(stale, path)
		}
	}
	return stale, nil
}

// document is the content of a file.
func (i *importing) document(host string, declarations []declaration) ([]byte, error) {
	namespace, err := i.namespace()
	if err != nil {
		return nil, err
	}
	name, err := i.name()
	if err != nil {
		return nil, err
	}
	text := &bytes.Buffer{}
	fmt.Fprintf(text, "%s from %s: what the API showed.\n", wroteThis, host)
	for _, one := range declarations {
		spec := map[string]any{"userUUID": one.person.UUID, "cuid": one.relation.CUID, "isOwner": one.relation.Owner}
		if reference := reference(name, namespace); len(reference) > 0 {
			spec["connectionRef"] = reference
		}
		if i.justification != "" {
			spec["justification"] = i.justification
		}
		body, err := yaml.Marshal(map[string]any{
			"apiVersion": v1alpha1.GroupVersion.String(),
			"kind":       "ClientBinding",
			"metadata":   map[string]any{"name": objectName(one.person.UUID, one.relation.CUID), "namespace": namespace},
			"spec":       spec,
		})
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(text, "---\n# %s\n%s", one.words(), body)
	}
	return text.Bytes(), nil
}

// words are a line for people. Names from the platform contain no line break.
func (d declaration) words() string {
	kind := "standard access to"
	if d.relation.Owner {
		kind = "owner of"
	}
	user := cmp.Or(d.person.Username, d.person.UUID)
	return strings.TrimSpace(fmt.Sprintf("%s: %s %s", user, kind, cmp.Or(d.clientName, d.relation.CUID)))
}

// reference is the connectionRef of a binding in a namespace; none for the default connection.
func reference(name types.NamespacedName, namespace string) map[string]any {
	switch {
	case name.Namespace != namespace:
		return map[string]any{"name": name.Name, "namespace": name.Namespace}
	case name.Name != v1alpha1.DefaultConnectionName:
		return map[string]any{"name": name.Name}
	default:
		return nil
	}
}

// tell prints the result of an import.
func (i *importing) tell(found *findings, people int) error {
	out := i.program.Streams.Out
	fmt.Fprintf(out, "%s of %s in %s in %s\n", amount(len(found.declarations), "ClientBinding"), amount(people, "user"), amount(found.files, "file"), i.directory)
	if found.listless > 0 {
		fmt.Fprintf(out, "Shown without a list of clients, so without access as far as the API tells: %s\n", amount(found.listless, "user"))
	}
	for _, one := range found.elsewhere {
		fmt.Fprintf(out, "Declared already: user %s at client %s, by ClientBinding %s\n", one.user, one.cuid, one.why)
	}
	for _, one := range found.undeclared {
		if one.cuid == "" {
			fmt.Fprintf(out, "Cannot be declared: what user %q may have: %s\n", one.user, one.why)
			continue
		}
		fmt.Fprintf(out, "Cannot be declared: user %q at client %q: %s\n", one.user, one.cuid, one.why)
	}
	for _, path := range found.stale {
		fmt.Fprintf(out, "Of an earlier import: %s. Remove it: the API no longer shows what it declares, or another ClientBinding declares it\n", path)
	}
	if len(found.undeclared)+len(found.stale) > 0 {
		return errFindings
	}
	return nil
}
