package controller

import (
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// readAnnotations are those that the operator reads.
var readAnnotations = []string{
	v1alpha1.RequestedAtAnnotation, v1alpha1.FluxRequestedAtAnnotation, v1alpha1.RequestedByAnnotation, v1alpha1.ApprovedRevocationsAnnotation,
}

// longestAnnotation is how much of a value is kept: more than is read of any.
const longestAnnotation = 300

// StripButLabels is Strip, and leaves the labels, by which shards choose APIConnections.
func StripButLabels(object any) (any, error) {
	if metadata, err := meta.Accessor(object); err == nil {
		defer metadata.SetLabels(metadata.GetLabels())
	}
	return Strip(object)
}

// Strip leaves of an object what the operator uses, before a cache keeps it: the rest is as long as its writers like. Of our
// own kinds the annotations stay that are read, and no labels; of namespaces the labels, and no annotations. It is a
// transform of the manager's cache. What is written is a patch of what the operator changed, and touches nothing else.
func Strip(object any) (any, error) {
	metadata, err := meta.Accessor(object)
	if err != nil {
		return object, nil //nolint:nilerr // a tombstone, and no object
	}
	metadata.SetManagedFields(nil)
	metadata.SetOwnerReferences(nil)
	switch object.(type) {
	case *v1alpha1.ClientBinding, *v1alpha1.APIConnection:
		metadata.SetLabels(nil)
		kept := map[string]string{}
		for _, read := range readAnnotations {
			if value, there := metadata.GetAnnotations()[read]; there {
				kept[read] = cut(value, longestAnnotation)
			}
		}
		metadata.SetAnnotations(kept)
	default:
		metadata.SetAnnotations(nil)
	}
	return object, nil
}
