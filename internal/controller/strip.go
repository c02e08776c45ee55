package controller

import (
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// readAnnotations are those that the operator reads.
var readAnnotations = []string{
	v1alpha1.RequestedAtAnnotation, v1alpha1.FluxRequestedAtAnnotation, v1alpha1.RequestedByAnnotation, v1alpha1.ApprovedRevocationsAnnotation,
}

// longestAnnotation is the length at which a value is cut: no value is read beyond it.
const longestAnnotation = 300

// StripButLabels is Strip, but keeps the labels, by which shards select APIConnections.
func StripButLabels(object any) (any, error) {
	if metadata, err := meta.Accessor(object); err == nil {
		defer metadata.SetLabels(metadata.GetLabels())
	}
	return Strip(object)
}

// Strip is a transform of the manager's cache: it removes the parts of an object that the operator does not use, since they
// may have any size. ClientBindings and APIConnections keep the annotations that are read, and no labels; Namespaces keep the
// labels, and no annotations. Writes are not affected: a patch has only the fields that the operator changed.
func Strip(object any) (any, error) {
	metadata, err := meta.Accessor(object)
	if err != nil {
		return object, nil //nolint:nilerr // a tombstone is no object
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
