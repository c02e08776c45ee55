package plugin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// statusing is `status`.
type statusing struct {
	*access

	all    bool
	output string
}

func newStatus(access *access) *cobra.Command {
	s := &statusing{access: access}
	command := &cobra.Command{
		Use:     "status",
		Aliases: []string{"tree"},
		Short:   "Show the objects that are not Ready, by cause, and who has to act",
		Long: `Show the objects that are not Ready, by cause, and who has to act. The command reads only the cluster.

The exit code is 1 if any object is not Ready.`,
		Example: `  kubectl clientbindings status -n team-a
  kubectl clientbindings status --all-namespaces`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return s.run(command.Context()) },
	}
	command.Flags().BoolVarP(&s.all, "all-namespaces", "A", false, "Look at all namespaces.")
	command.Flags().StringVarP(&s.output, "output", "o", "", "json; when absent, a format for people.")
	return command
}

// The people who have to act.
const (
	nobody        = "nobody: the operator goes on by itself. Look again if it lasts"
	requester     = "the requester: correct the ClientBinding"
	delosAdmin    = "the platform's administrators: on the Delos platform"
	connectionOwn = "the owner of the APIConnection"
	reviewer      = "the reviewer of revocations"
	security      = "the person on call for access"
	operators     = "the administrators of the operator"
)

// notLookedAt is the reason of an object whose condition Ready is absent or of an earlier generation.
const notLookedAt = "NotLookedAt"

// actors are the people who have to act, for each reason of Ready.
var actors = map[string]string{
	notLookedAt:                        operators,
	v1alpha1.ReasonBound:               nobody,
	v1alpha1.ReasonExpired:             delosAdmin,
	v1alpha1.ReasonConfirming:          nobody,
	v1alpha1.ReasonSuspended:           requester,
	v1alpha1.ReasonUnclaimed:           nobody,
	v1alpha1.ReasonDryRun:              nobody,
	v1alpha1.ReasonUserNotFound:        requester,
	v1alpha1.ReasonUserDeleted:         requester,
	v1alpha1.ReasonClientNotFound:      requester,
	v1alpha1.ReasonRejected:            requester,
	v1alpha1.ReasonConnectionNotFound:  connectionOwn,
	v1alpha1.ReasonConnectionNotReady:  connectionOwn,
	v1alpha1.ReasonConnectionChanged:   connectionOwn,
	v1alpha1.ReasonNotAllowed:          connectionOwn,
	v1alpha1.ReasonConflict:            requester,
	v1alpha1.ReasonContested:           security,
	v1alpha1.ReasonUnverified:          connectionOwn,
	v1alpha1.ReasonRevoking:            nobody,
	v1alpha1.ReasonRevocationBlocked:   security,
	v1alpha1.ReasonRevocationHeld:      reviewer,
	v1alpha1.ReasonUnauthorized:        connectionOwn,
	v1alpha1.ReasonForbidden:           delosAdmin,
	v1alpha1.ReasonRateLimited:         nobody,
	v1alpha1.ReasonAPIUnavailable:      nobody,
	v1alpha1.ReasonUnexpectedAnswer:    connectionOwn,
	v1alpha1.ReasonInvalidSpec:         requester,
	v1alpha1.ReasonLoggedIn:            nobody,
	v1alpha1.ReasonTokenAccepted:       nobody,
	v1alpha1.ReasonTokenExpired:        connectionOwn,
	v1alpha1.ReasonLoginRefused:        connectionOwn,
	v1alpha1.ReasonOtherShard:          connectionOwn,
	v1alpha1.ReasonSecretNotFound:      connectionOwn,
	v1alpha1.ReasonSecretUnreadable:    connectionOwn,
	v1alpha1.ReasonSecretInvalid:       connectionOwn,
	v1alpha1.ReasonPoliciesEnforced:    nobody,
	v1alpha1.ReasonPoliciesNotEnforced: security,
	v1alpha1.ReasonPoliciesUnreadable:  security,
}

// cause is a reason why objects are not Ready.
type cause struct {
	Reason string `json:"reason"`
	// Stalled: a person has to act.
	Stalled bool     `json:"stalled"`
	Act     string   `json:"act"`
	Message string   `json:"message"`
	Objects []string `json:"objects"`
}

// state is the content of a status.
type state struct {
	Ready  int     `json:"ready"`
	Causes []cause `json:"causes"`
}

func (s *statusing) run(ctx context.Context) error {
	if s.output != "" && s.output != "json" {
		return fmt.Errorf("--output is %q: it must be json, or absent", s.output)
	}
	kube, err := s.kube()
	if err != nil {
		return err
	}
	namespace := ""
	if !s.all {
		if namespace, err = s.namespace(); err != nil {
			return err
		}
	}
	bindings, err := listBindings(ctx, kube, namespace)
	if err != nil {
		return err
	}
	connections, err := s.connections(ctx, kube, namespace)
	if err != nil {
		return err
	}
	found := &state{Causes: []cause{}}
	for i := range connections {
		one := &connections[i]
		found.add("apiconnection", one, one.Status.Conditions)
		if policies := meta.FindStatusCondition(one.Status.Conditions, v1alpha1.ConditionPoliciesEnforced); policies != nil && policies.Status == metav1.ConditionFalse {
			found.note(cause{Reason: policies.Reason, Stalled: true, Message: policies.Message}, "apiconnection", one)
		}
	}
	for i := range bindings {
		found.add("clientbinding", &bindings[i], bindings[i].Status.Conditions)
	}
	slices.SortStableFunc(found.Causes, func(a, b cause) int {
		return cmp.Or(compareBool(b.Stalled, a.Stalled), cmp.Compare(len(b.Objects), len(a.Objects)), cmp.Compare(a.Reason, b.Reason))
	})
	if s.output == "json" {
		encoder := json.NewEncoder(s.program.Streams.Out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(found)
	} else {
		s.print(found, s.program.Streams.Out)
	}
	if err == nil && len(found.Causes) > 0 {
		err = errFindings
	}
	return err
}

// connections are the APIConnections of a namespace; none if the caller may not read them.
func (s *statusing) connections(ctx context.Context, kube client.Reader, namespace string) ([]v1alpha1.APIConnection, error) {
	list := &v1alpha1.APIConnectionList{}
	switch err := kube.List(ctx, list, client.InNamespace(namespace)); {
	case apierrors.IsForbidden(err):
		s.program.say("Note: you may not read APIConnections, so only ClientBindings are looked at")
	case err != nil:
		return nil, fmt.Errorf("reading APIConnections: %w", err)
	}
	return list.Items, nil
}

// add counts an object that is Ready, and notes why another one is not.
func (s *state) add(kind string, object client.Object, conditions []metav1.Condition) {
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	switch {
	case ready == nil || ready.ObservedGeneration != object.GetGeneration():
		s.note(cause{Reason: notLookedAt, Message: "The operator has not looked at the object as it is now: see whether it runs"}, kind, object)
	case ready.Status == metav1.ConditionTrue:
		s.Ready++
	default:
		stalled := meta.IsStatusConditionTrue(conditions, v1alpha1.ConditionStalled)
		s.note(cause{Reason: ready.Reason, Stalled: stalled, Message: ready.Message}, kind, object)
	}
}

// note adds an object to its cause. The message of one object stands for all.
func (s *state) note(why cause, kind string, object client.Object) {
	name := fmt.Sprintf("%s %s/%s", kind, object.GetNamespace(), object.GetName())
	i := slices.IndexFunc(s.Causes, func(known cause) bool { return known.Reason == why.Reason && known.Stalled == why.Stalled })
	if i < 0 {
		why.Act = actors[why.Reason]
		s.Causes = append(s.Causes, why)
		i = len(s.Causes) - 1
	}
	s.Causes[i].Objects = append(s.Causes[i].Objects, name)
}

// shownObjects is the number of objects of one cause that are named.
const shownObjects = 10

func (s *statusing) print(found *state, out io.Writer) {
	paint := s.program.paint(out)
	for _, one := range found.Causes {
		colour, kind := yellow, "goes on"
		if one.Stalled {
			colour, kind = red, "stalled"
		}
		fmt.Fprintf(out, "%s (%s): %d\n", paint(colour, one.Reason), kind, len(one.Objects))
		fmt.Fprintf(out, "├─ to act: %s\n", one.Act)
		fmt.Fprintf(out, "├─ for example: %s\n", visible(strings.Join(strings.Fields(one.Message), " ")))
		for i, name := range one.Objects[:min(len(one.Objects), shownObjects)] {
			branch := "├─"
			if i == len(one.Objects)-1 {
				branch = "└─"
			}
			fmt.Fprintf(out, "%s %s\n", branch, name)
		}
		if more := len(one.Objects) - shownObjects; more > 0 {
			fmt.Fprintf(out, "└─ and %d more\n", more)
		}
	}
	fmt.Fprintf(out, "%d Ready, %s to look at\n", found.Ready, amount(len(found.Causes), "cause"))
}
