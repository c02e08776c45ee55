package controller

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// Connections tells which APIConnection a ClientBinding uses.
type Connections struct {
	// Default is the connection of bindings that name none. When it is empty, that is "default" in their own namespace.
	Default types.NamespacedName
	// Namespaces are the namespaces that the operator serves; all when there are none.
	Namespaces []string
}

// ParseNamespaces reads the names of namespaces, separated by commas.
func ParseNamespaces(text string) ([]string, error) {
	names := strings.Split(text, ",")
	for _, name := range names {
		if len(validation.IsDNS1123Label(name)) > 0 {
			return nil, fmt.Errorf("%q is not the name of a namespace, such as team-a", name)
		}
	}
	return names, nil
}

// Serve reports whether the operator serves a namespace.
func (c Connections) Serve(namespace string) bool {
	return len(c.Namespaces) == 0 || slices.Contains(c.Namespaces, namespace)
}

// ParseConnectionName reads the namespace/name of an APIConnection; "" is none.
func ParseConnectionName(text string) (types.NamespacedName, error) {
	if text == "" {
		return types.NamespacedName{}, nil
	}
	namespace, name, _ := strings.Cut(text, "/")
	if len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return types.NamespacedName{}, fmt.Errorf("%q is not the namespace/name of an APIConnection, such as platform/delos", text)
	}
	return types.NamespacedName{Namespace: namespace, Name: name}, nil
}

// Declared is the connection that a binding is to use: the one that it names, or the default.
func (c Connections) Declared(binding *v1alpha1.ClientBinding) types.NamespacedName {
	switch ref := binding.Spec.ConnectionRef; {
	case ref == nil && c.Default.Name != "":
		return c.Default
	case ref == nil:
		return types.NamespacedName{Namespace: binding.Namespace, Name: v1alpha1.DefaultConnectionName}
	case ref.Namespace == "":
		return types.NamespacedName{Namespace: binding.Namespace, Name: ref.Name}
	default:
		return types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}
	}
}

// Of are all connections that a binding may need: the declared one, and the one through which its relation was
// made. These differ only after a change of the default.
func (c Connections) Of(binding *v1alpha1.ClientBinding) []types.NamespacedName {
	names := []types.NamespacedName{c.Declared(binding)}
	if claimed, is := claimedConnection(binding); is && claimed != names[0] {
		names = append(names, claimed)
	}
	return names
}

// candidates are the connections that a run may use, in order of preference. A grant goes through the declared one. A revocation goes
// through the one that made the relation, and through the declared one if that is gone: access can be revoked as long as one of them
// leads to the relation's API.
func (c Connections) candidates(binding *v1alpha1.ClientBinding, removing bool) []types.NamespacedName {
	names := c.Of(binding)
	if !removing {
		return names[:1]
	}
	slices.Reverse(names)
	return names
}

// claimedConnection is the connection through which a binding's relation was made.
func claimedConnection(binding *v1alpha1.ClientBinding) (name types.NamespacedName, is bool) {
	claim := binding.Status.Claim
	if claim == nil {
		return name, false
	}
	return types.NamespacedName{Namespace: claim.Connection.Namespace, Name: claim.Connection.Name}, true
}
