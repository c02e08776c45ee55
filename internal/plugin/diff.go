package plugin

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// diffing is `diff`.
type diffing struct {
	*access

	files     []string
	kustomize string
	recursive bool
	prune     bool
	selector  string
}

func newDiff(access *access) *cobra.Command {
	d := &diffing{access: access}
	command := &cobra.Command{
		Use:   "diff (-f FILE | -k DIRECTORY)",
		Short: "Show the access that manifests would grant, change or revoke",
		Long: `Show the access that manifests would grant, change or revoke now, person by person. The command changes nothing.

A dry run on the API server asks the admission policies, with your rights. The exit code is 1 if the manifests would change anything or would be
refused, 0 if not, and 2 when the command failed.`,
		Example: `  # The manifests of a pull request
  kubectl clientbindings diff -f access/

  # As Argo CD would deliver a kustomization: objects that it no longer has are deleted
  kubectl clientbindings diff -k access/ --prune -l app.kubernetes.io/instance=access`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return d.run(command.Context()) },
	}
	d.addFlags(command)
	d.addDefaultConnection(command)
	flags := command.Flags()
	flags.StringSliceVarP(&d.files, "filename", "f", nil, "Files, directories, URLs, or - for the standard input.")
	flags.StringVarP(&d.kustomize, "kustomize", "k", "", "A directory with a kustomization.")
	flags.BoolVarP(&d.recursive, "recursive", "R", false, "Also read the directories below those of -f.")
	flags.BoolVar(&d.prune, "prune", false, "Count ClientBindings in the manifests' namespaces that are not in the manifests as deleted.")
	flags.StringVarP(&d.selector, "selector", "l", "", "With --prune: only ClientBindings with these labels.")
	command.MarkFlagsOneRequired("filename", "kustomize")
	command.MarkFlagsMutuallyExclusive("filename", "kustomize")
	return command
}

// change is the change of one relation.
type change struct {
	host         string
	pair         pair
	person       person
	before, then v1alpha1.Access
	// notes say why the access would not be as a manifest declares it.
	notes []string
}

func (d *diffing) run(ctx context.Context) error {
	manifests, err := d.manifests()
	if err != nil {
		return err
	}
	kube, err := d.kube()
	if err != nil {
		return err
	}
	all, err := d.bindings(ctx, kube)
	if err != nil {
		return err
	}
	plan, err := d.plan(ctx, kube, all.items, manifests)
	if err != nil {
		return err
	}
	changes, err := d.changes(ctx, kube, plan)
	if err != nil {
		return err
	}
	warnings, err := d.ownerless(ctx, plan, changes)
	if err != nil {
		return err
	}
	return d.print(plan, changes, warnings)
}

// relationKey is a relation at an API.
type relationKey struct {
	host string
	pair pair
}

// members are the ClientBindings by their relation. A note says how many have no host.
func (d *diffing) members(ctx context.Context, kube client.Client, hosts *hosts, p *plan) (map[relationKey][]v1alpha1.ClientBinding, error) {
	members := map[relationKey][]v1alpha1.ClientBinding{}
	without := 0
	for _, name := range slices.SortedFunc(maps.Keys(p.bindings), byName) {
		binding := p.bindings[name]
		host, err := hosts.of(ctx, &binding)
		if err == nil && slices.Contains(p.touched, name) {
			var platform *platform
			if platform, err = d.connect(ctx, kube, p, d.connectionOf(&binding)); err == nil {
				host = platform.host
			}
		}
		if err != nil {
			return nil, err
		}
		if host == "" {
			without++
		}
		of := relationKey{host, pair{binding.Spec.UserUUID, binding.Spec.CUID}}
		members[of] = append(members[of], binding)
	}
	if note := leftOut(without); note != "" {
		d.program.say("Note: %s", note)
	}
	return members, nil
}

// changes finds the change of each relation that the manifests touch.
func (d *diffing) changes(ctx context.Context, kube client.Client, p *plan) (changes []change, err error) {
	hosts := newHosts(d.access, kube)
	members, err := d.members(ctx, kube, hosts, p)
	if err != nil {
		return nil, err
	}
	people := map[pair]person{}
	seen := map[relationKey]bool{}
	for _, name := range p.touched {
		binding := p.bindings[name]
		platform, err := d.connect(ctx, kube, p, d.connectionOf(&binding))
		if err != nil {
			return nil, err
		}
		of := relationKey{platform.host, pair{binding.Spec.UserUUID, binding.Spec.CUID}}
		if seen[of] {
			continue
		}
		seen[of] = true
		one, read := people[pair{platform.host, of.pair.user}]
		if !read {
			if one, err = platform.person(ctx, of.pair.user); err != nil {
				return nil, err
			}
			people[pair{platform.host, of.pair.user}] = one
		}
		made := change{host: of.host, pair: of.pair, person: one, before: one.at(of.pair.cuid).Actual}
		if why := one.at(of.pair.cuid).Why; why != "" {
			made.notes = append(made.notes, why)
		}
		if err := d.outcome(ctx, hosts, platform, &made, members[of]); err != nil {
			return nil, err
		}
		changes = append(changes, made)
	}
	slices.SortFunc(changes, func(a, b change) int {
		return cmp.Or(cmp.Compare(a.pair.cuid, b.pair.cuid), cmp.Compare(a.pair.user, b.pair.user))
	})
	return changes, nil
}

// noteAlmost adds a note if the API knows the client of a grant only in another case.
func (p *platform) noteAlmost(ctx context.Context, made *change) (err error) {
	if made.before != v1alpha1.AccessNone || made.then == v1alpha1.AccessNone {
		return nil
	}
	if p.names == nil {
		if p.names, _, err = p.clientNames(ctx); err != nil {
			return err
		}
	}
	if note := almost(p.names, made.pair.cuid); note != "" {
		made.notes = append(made.notes, note)
	}
	return nil
}

// outcome says which access the operator would give a relation with these members.
func (d *diffing) outcome(ctx context.Context, hosts *hosts, platform *platform, made *change, members []v1alpha1.ClientBinding) error {
	holder, err := d.holder(ctx, hosts, made, members)
	if err != nil {
		return err
	}
	made.then = made.before
	switch {
	case holder == nil && slices.ContainsFunc(members, d.revokes):
		made.then = v1alpha1.AccessNone
	case holder == nil:
	case holder.Spec.Suspend != nil && *holder.Spec.Suspend:
		made.notes = append(made.notes, fmt.Sprintf("ClientBinding %s/%s is suspended, so nothing is granted or corrected", holder.Namespace, holder.Name))
	case made.person.Absent || made.person.Deleted:
		// The access cannot change until the user is restored. The note says so.
	default:
		made.then = accessOf(holder.Spec.IsOwner)
	}
	return platform.noteAlmost(ctx, made)
}

// holder is the oldest of the members that is allowed and has not ended, as for the operator. It adds notes about the other members.
func (d *diffing) holder(ctx context.Context, hosts *hosts, made *change, members []v1alpha1.ClientBinding) (holder *v1alpha1.ClientBinding, err error) {
	slices.SortFunc(members, byForce(d.program.Now()))
	for i := range members {
		member := &members[i]
		name := member.Namespace + "/" + member.Name
		if ended(member, d.program.Now()) || holder != nil && idle(member) {
			continue
		}
		if holder != nil {
			made.notes = append(made.notes, fmt.Sprintf("ClientBinding %s would be in conflict with the older one %s/%s", name, holder.Namespace, holder.Name))
			continue
		}
		if d.url == "" {
			why, err := hosts.barred(ctx, member)
			switch {
			case apierrors.IsForbidden(err):
				made.notes = append(made.notes, fmt.Sprintf("ClientBinding %s counts as allowed: %s", name, err))
			case err != nil:
				return nil, err
			case why != "":
				made.notes = append(made.notes, fmt.Sprintf("ClientBinding %s changes nothing: %s", name, why))
				continue
			}
		}
		holder = member
	}
	return holder, nil
}

// revokes reports whether the end of a binding revokes access: it answers for the relation, and is not orphaned.
func (d *diffing) revokes(binding v1alpha1.ClientBinding) bool {
	orphan := !binding.DeletionTimestamp.IsZero() && binding.Spec.DeletionPolicy == v1alpha1.DeletionPolicyOrphan
	return ended(&binding, d.program.Now()) && binding.Status.Claim != nil && !orphan
}

// ownerless warns of the clients that would have an owner no more, and of those of which the account may not see it.
func (d *diffing) ownerless(ctx context.Context, p *plan, changes []change) (warnings []string, err error) {
	after := map[pair]map[string]v1alpha1.Access{} // by host and client, then by user
	losing := map[pair]bool{}
	for _, made := range changes {
		at := pair{made.host, made.pair.cuid}
		if after[at] == nil {
			after[at] = map[string]v1alpha1.Access{}
		}
		after[at][made.pair.user] = made.then
		losing[at] = losing[at] || made.before == v1alpha1.AccessOwner && made.then != v1alpha1.AccessOwner
	}
	platforms := map[string]*platform{}
	for _, platform := range p.platforms {
		platforms[platform.host] = platform
	}
	for at := range losing {
		if !losing[at] {
			continue
		}
		if slices.Contains(slices.Collect(maps.Values(after[at])), v1alpha1.AccessOwner) {
			continue
		}
		owners, err := platforms[at.user].others(ctx, at.cuid, after[at])
		switch {
		case delos.KindOf(err) == delos.KindForbidden:
			warnings = append(warnings, fmt.Sprintf("client %s may be left without any owner: the account may not list its users: %s", at.cuid, problem(err)))
		case err != nil:
			return nil, err
		case owners == 0:
			warnings = append(warnings, fmt.Sprintf("client %s would be left without any owner", at.cuid))
		}
	}
	slices.Sort(warnings)
	return warnings, nil
}

// others counts the owners of a client besides some users.
func (p *platform) others(ctx context.Context, cuid string, but map[string]v1alpha1.Access) (owners int, err error) {
	users, err := readList(ctx, p, p.api.Users(delos.UserFilter{CUID: cuid}), func(int) {})
	if err != nil {
		return 0, fmt.Errorf("listing the users of client %s, to see whether it keeps an owner: %w", cuid, err)
	}
	users = slices.DeleteFunc(users, func(user string) bool { _, known := but[user]; return known })
	err = p.people(ctx, users, func(one person) error {
		if one.at(cuid).Actual == v1alpha1.AccessOwner {
			owners++
		}
		return nil
	})
	return owners, err
}

// words describe the change of a person's access, after a sign as in a diff.
func (c change) words() (sign, text string) {
	who := c.pair.user
	if c.person.Username != "" {
		who = fmt.Sprintf("%s (%s)", c.person.Username, c.pair.user)
	}
	at := "client " + c.pair.cuid
	kind := map[v1alpha1.Access]string{v1alpha1.AccessOwner: "owner", v1alpha1.AccessStandard: "standard access"}
	switch {
	case c.before == unknown:
		return "?", fmt.Sprintf("what %s has at %s cannot be read", who, at)
	case c.before == c.then:
		return " ", fmt.Sprintf("%s stays at %s: %s", who, at, cmp.Or(kind[c.then], "no access"))
	case c.then == v1alpha1.AccessNone:
		return "-", fmt.Sprintf("%s loses all access to %s (was: %s)", who, at, kind[c.before])
	case c.before == v1alpha1.AccessNone && c.then == v1alpha1.AccessOwner:
		return "+", fmt.Sprintf("%s becomes owner of %s", who, at)
	case c.before == v1alpha1.AccessNone:
		return "+", fmt.Sprintf("%s gets standard access to %s", who, at)
	case c.then == v1alpha1.AccessOwner:
		return "~", fmt.Sprintf("%s becomes owner of %s (was: standard access)", who, at)
	default:
		return "~", fmt.Sprintf("%s is owner of %s no more, and keeps standard access", who, at)
	}
}

func (d *diffing) print(p *plan, changes []change, warnings []string) error {
	out := d.program.Streams.Out
	paint := d.program.paint(out)
	colours := map[string]string{"+": green, "-": red, "~": yellow, "?": red}
	unchanged, found := 0, len(p.refused) > 0
	for _, made := range changes {
		sign, text := made.words()
		if sign != " " {
			found = true
		} else if unchanged++; len(made.notes) == 0 {
			continue
		}
		line := visible(sign + " " + text)
		if colour := colours[sign]; colour != "" {
			line = paint(colour, line)
		}
		fmt.Fprintln(out, line)
		for _, note := range made.notes {
			fmt.Fprintln(out, "    "+visible(note))
		}
	}
	for _, warning := range warnings {
		fmt.Fprintln(out, paint(red, "! "+visible(warning)))
	}
	for _, refusal := range p.refused {
		fmt.Fprintln(out, paint(red, "! "+visible(refusal)))
	}
	fmt.Fprintf(out, "%s looked at, %d unchanged\n", amount(len(changes), "relation"), unchanged)
	if found {
		return errFindings
	}
	return nil
}
