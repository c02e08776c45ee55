package plugin

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
)

// listLimit is how many objects are read from the API server at once.
const listLimit = 500

// bindings are the ClientBindings that the caller may see.
type bindings struct {
	items []v1alpha1.ClientBinding
	// namespace is the only one that the caller may read; "" where all were read.
	namespace string
}

// bindings reads the ClientBindings of all namespaces, or only of the caller's namespace if the caller may not read the others.
func (a *access) bindings(ctx context.Context, kube client.Reader) (bindings, error) {
	items, err := listBindings(ctx, kube, "")
	if !apierrors.IsForbidden(err) {
		return bindings{items: items}, err
	}
	namespace, err := a.namespace()
	if err != nil {
		return bindings{}, err
	}
	a.program.say("Note: you may not read ClientBindings of all namespaces, so only those of %s are looked at", namespace)
	items, err = listBindings(ctx, kube, namespace)
	return bindings{items: items, namespace: namespace}, err
}

func listBindings(ctx context.Context, kube client.Reader, namespace string) (items []v1alpha1.ClientBinding, err error) {
	list := &v1alpha1.ClientBindingList{}
	for {
		if err := kube.List(ctx, list, client.InNamespace(namespace), client.Limit(listLimit), client.Continue(list.Continue)); err != nil {
			return nil, fmt.Errorf("reading ClientBindings: %w", err)
		}
		items = append(items, list.Items...)
		if list.Continue == "" {
			return items, nil
		}
		list.Items = nil
	}
}

// complete offers ids that the ClientBindings of the cluster name.
func (a *access) complete(id func(*v1alpha1.ClientBinding) string) cobra.CompletionFunc {
	return func(command *cobra.Command, arguments []string, _ string) ([]string, cobra.ShellCompDirective) {
		kube, err := a.kube()
		if err != nil || len(arguments) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		found, err := a.bindings(command.Context(), kube)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ids := map[string]bool{}
		for i := range found.items {
			ids[id(&found.items[i])] = true
		}
		return sortedKeys(ids), cobra.ShellCompDirectiveNoFileComp
	}
}

// connectionOf is the APIConnection that a binding uses. For a binding that names none, the claim has the operator's default.
func (a *access) connectionOf(binding *v1alpha1.ClientBinding) types.NamespacedName {
	namespace, name, shared := strings.Cut(a.defaultConnection, "/")
	switch reference, claim := binding.Spec.ConnectionRef, binding.Status.Claim; {
	case reference != nil:
		return types.NamespacedName{Namespace: cmp.Or(reference.Namespace, binding.Namespace), Name: reference.Name}
	case shared:
		return types.NamespacedName{Namespace: namespace, Name: name}
	case claim != nil:
		return types.NamespacedName{Namespace: claim.Connection.Namespace, Name: claim.Connection.Name}
	default:
		return types.NamespacedName{Namespace: binding.Namespace, Name: v1alpha1.DefaultConnectionName}
	}
}

// refuseDefault refuses a --default-connection that names no APIConnection, as the operator does.
func (a *access) refuseDefault() error {
	if namespace, name, _ := strings.Cut(a.defaultConnection, "/"); a.defaultConnection != "" && (namespace == "" || name == "") {
		return fmt.Errorf("--default-connection is %q: give it as NAMESPACE/NAME, such as platform/delos", a.defaultConnection)
	}
	return nil
}

// hint ends a message about a missing APIConnection that the operator's default may replace; "" if the binding or the caller names it.
func (a *access) hint(binding *v1alpha1.ClientBinding) string {
	if binding.Spec.ConnectionRef != nil || a.defaultConnection != "" {
		return ""
	}
	return " (see --default-connection)"
}

// ended reports whether a binding no longer declares access.
func ended(binding *v1alpha1.ClientBinding, now time.Time) bool {
	return !binding.DeletionTimestamp.IsZero() || expired(binding, now)
}

func expired(binding *v1alpha1.ClientBinding, now time.Time) bool {
	at := binding.Spec.ExpiresAt
	return binding.Status.ExpiredTime != nil || at != nil && !at.After(now)
}

// idle reports whether a binding is suspended and answers for nothing: it holds no relation.
func idle(binding *v1alpha1.ClientBinding) bool {
	return binding.Status.Claim == nil && ptr.Deref(binding.Spec.Suspend, false)
}

// key names an object.
type key = types.NamespacedName

// hosts finds the host of a binding's relation, and whether the binding may hold it.
type hosts struct {
	access      *access
	kube        client.Reader
	connections map[key]foundConnection
	namespaces  map[string]foundNamespace
}

type foundConnection struct {
	object *v1alpha1.APIConnection
	err    error
}

type foundNamespace struct {
	object corev1.Namespace
	err    error
}

func newHosts(access *access, kube client.Reader) *hosts {
	return &hosts{access: access, kube: kube, connections: map[key]foundConnection{}, namespaces: map[string]foundNamespace{}}
}

// connection is the one that a binding uses.
func (h *hosts) connection(ctx context.Context, binding *v1alpha1.ClientBinding) (*v1alpha1.APIConnection, error) {
	name := h.access.connectionOf(binding)
	found, known := h.connections[name]
	if !known {
		found.object = &v1alpha1.APIConnection{}
		if err := h.kube.Get(ctx, name, found.object); err != nil {
			found = foundConnection{err: fmt.Errorf("reading APIConnection %s: %w", name, err)}
		}
		h.connections[name] = found
	}
	return found.object, found.err
}

// of is the host of a binding's claim, or else of its connection; "" if the connection does not exist, or may not be read.
func (h *hosts) of(ctx context.Context, binding *v1alpha1.ClientBinding) (string, error) {
	if claim := binding.Status.Claim; claim != nil {
		return claim.Connection.Host, nil
	}
	found, err := h.connection(ctx, binding)
	switch {
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
		return "", nil
	case err != nil:
		return "", err
	default:
		return connection.Host(found.Spec), nil
	}
}

// leftOut says how many bindings have no host, as far as the caller can see; "" when there are none.
func leftOut(number int) string {
	if number == 0 {
		return ""
	}
	return fmt.Sprintf("left out: %s whose APIConnection is not there, or may not be read by you (see --default-connection)", amount(number, "ClientBinding"))
}

// barred says why a binding that has not ended cannot hold its relation, as for the operator; "" where it can. The error is Forbidden if the
// caller may not read what decides this. The binding then counts as allowed.
func (h *hosts) barred(ctx context.Context, binding *v1alpha1.ClientBinding) (why string, err error) {
	name := h.access.connectionOf(binding)
	found, err := h.connection(ctx, binding)
	switch claim := binding.Status.Claim; {
	case apierrors.IsNotFound(err):
		return fmt.Sprintf("APIConnection %s is not there%s", name, h.access.hint(binding)), nil
	case err != nil:
		return "", err
	case claim != nil && claim.Connection.Host != connection.Host(found.Spec):
		return fmt.Sprintf("APIConnection %s leads to another host than before", name), nil
	}
	use := connection.Use{Namespace: binding.Namespace, CUID: binding.Spec.CUID, Owner: binding.Spec.IsOwner}
	if connection.NeedsLabels(found) {
		if use.Labels, err = h.labelsOf(ctx, binding.Namespace); err != nil {
			return "", err
		}
	}
	if denial := connection.Judge(found, use); denial != "" {
		return fmt.Sprintf("APIConnection %s does not allow it (spec.allowed: %s)", name, denial), nil
	}
	return "", nil
}

func (h *hosts) labelsOf(ctx context.Context, name string) (map[string]string, error) {
	found, known := h.namespaces[name]
	if !known {
		if err := h.kube.Get(ctx, key{Name: name}, &found.object); err != nil {
			found.err = fmt.Errorf("reading the labels of namespace %s, by which the APIConnection allows: %w", name, err)
		}
		h.namespaces[name] = found
	}
	return found.object.Labels, found.err
}

func sortedKeys[V any](of map[string]V) []string { return slices.Sorted(maps.Keys(of)) }
