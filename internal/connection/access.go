package connection

import (
	"fmt"
	"path"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// Use is the use that a ClientBinding would make of an APIConnection.
type Use struct {
	// Namespace of the binding.
	Namespace string
	// Labels of that namespace; see NeedsLabels.
	Labels map[string]string
	// CUID is the client, and Owner whether the user is to own it.
	CUID  string
	Owner bool
}

// Denial is the part of a use that an APIConnection does not allow; "" when it allows all.
type Denial string

// The parts of a use, in the order in which they are judged: a binding whose namespace is denied learns nothing about
// the other parts.
const (
	NamespaceDenied Denial = "namespace"
	ClientDenied    Denial = "client"
	OwnerDenied     Denial = "owner"
)

// Judge returns the part of a use that a connection does not allow. A setting that is not understood allows nothing.
func Judge(connection *v1alpha1.APIConnection, use Use) Denial {
	allowed := ptr.Deref(connection.Spec.Allowed, v1alpha1.Allowed{})
	switch {
	case !servesNamespace(connection.Namespace, allowed.Namespaces, use):
		return NamespaceDenied
	case len(allowed.CUIDs) > 0 && !slices.ContainsFunc(allowed.CUIDs, func(glob string) bool { return matches(glob, use.CUID) }):
		return ClientDenied
	case use.Owner && !ptr.Deref(allowed.Owner, true):
		return OwnerDenied
	default:
		return ""
	}
}

// NeedsLabels reports whether a connection judges namespaces by their labels.
func NeedsLabels(connection *v1alpha1.APIConnection) bool {
	allowed := connection.Spec.Allowed
	return allowed != nil && allowed.Namespaces != nil && allowed.Namespaces.From == v1alpha1.NamespacesSelector
}

func servesNamespace(own string, allowed *v1alpha1.AllowedNamespaces, use Use) bool {
	if allowed == nil {
		return use.Namespace == own
	}
	switch allowed.From {
	case "", v1alpha1.NamespacesSame:
		return use.Namespace == own
	case v1alpha1.NamespacesAll:
		return true
	case v1alpha1.NamespacesSelector:
		// No selector selects nothing; an empty one selects all, as everywhere in Kubernetes.
		selector, err := metav1.LabelSelectorAsSelector(allowed.Selector)
		return err == nil && selector.Matches(labels.Set(use.Labels))
	default:
		return false
	}
}

// CheckSelector returns an error if the selector by which a connection judges namespaces is not valid, and so allows no
// ClientBinding. The API server checks the operators, and not the form of the labels.
func CheckSelector(connection *v1alpha1.APIConnection) error {
	if !NeedsLabels(connection) {
		return nil
	}
	if _, err := metav1.LabelSelectorAsSelector(connection.Spec.Allowed.Namespaces.Selector); err != nil {
		return fmt.Errorf("spec.allowed.namespaces.selector is not valid, so no ClientBinding is allowed until it is corrected: %w", err)
	}
	return nil
}

// matches reports whether a glob matches a whole cuid. No character of a cuid is special to path.Match.
func matches(glob, cuid string) bool {
	matched, err := path.Match(glob, cuid)
	return err == nil && matched
}
