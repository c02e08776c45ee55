package plugin

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
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

// connectionOf is the APIConnection that a binding uses.
func (a *access) connectionOf(binding *v1alpha1.ClientBinding) types.NamespacedName {
	reference := binding.Spec.ConnectionRef
	if reference == nil {
		if namespace, name, shared := strings.Cut(a.defaultConnection, "/"); shared {
			return types.NamespacedName{Namespace: namespace, Name: name}
		}
		return types.NamespacedName{Namespace: binding.Namespace, Name: v1alpha1.DefaultConnectionName}
	}
	name := types.NamespacedName{Namespace: reference.Namespace, Name: reference.Name}
	if name.Namespace == "" {
		name.Namespace = binding.Namespace
	}
	return name
}

// ended reports whether a binding no longer declares access.
func ended(binding *v1alpha1.ClientBinding, now time.Time) bool {
	return !binding.DeletionTimestamp.IsZero() || expired(binding, now)
}

func expired(binding *v1alpha1.ClientBinding, now time.Time) bool {
	at := binding.Spec.ExpiresAt
	return binding.Status.ExpiredTime != nil || at != nil && !at.After(now)
}

// key names an object.
type key = types.NamespacedName

// hosts finds the host of a binding's relation: the host of its claim, or else of its connection.
type hosts struct {
	access *access
	kube   client.Reader
	known  map[key]string
}

// of returns "" if the connection does not exist, or may not be read.
func (h *hosts) of(ctx context.Context, binding *v1alpha1.ClientBinding) (string, error) {
	if claim := binding.Status.Claim; claim != nil {
		return claim.Connection.Host, nil
	}
	name := h.access.connectionOf(binding)
	if host, known := h.known[name]; known {
		return host, nil
	}
	found := &v1alpha1.APIConnection{}
	err := h.kube.Get(ctx, name, found)
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		return "", fmt.Errorf("reading APIConnection %s: %w", name, err)
	}
	h.known[name] = connection.Host(found.Spec)
	return h.known[name], nil
}

func sortedKeys[V any](of map[string]V) []string { return slices.Sorted(maps.Keys(of)) }
