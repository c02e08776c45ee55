package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// processKube is the operator's Kubernetes client: it reads our kinds from the process's cache, as a manager's client
// does, and writes to the API server. On each of these occasions the walk may interrupt the run.
type processKube struct {
	client.Client
	process     *process
	undisturbed bool
}

func (k *processKube) interrupt(at occasion) fate {
	if k.undisturbed {
		return goesOn
	}
	return k.process.interrupt(at)
}

func (k *processKube) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	k.interrupt(beforeKubeRead)
	switch into := object.(type) {
	case *v1alpha1.ClientBinding:
		return found(k.process.cache.bindings, key, "clientbindings", func(present *v1alpha1.ClientBinding) { present.DeepCopyInto(into) })
	case *v1alpha1.APIConnection:
		return found(k.process.cache.connections, key, "apiconnections", func(present *v1alpha1.APIConnection) { present.DeepCopyInto(into) })
	}
	err := k.Client.Get(ctx, key, object, options...)
	k.process.identities.hide(object)
	return err
}

func found[T any](among map[types.NamespacedName]*T, key client.ObjectKey, resource string, take func(*T)) error {
	present := among[key]
	if present == nil {
		return apierrors.NewNotFound(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: resource}, key.Name)
	}
	take(present)
	return nil
}

func (k *processKube) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	k.interrupt(beforeKubeRead)
	wanted := (&client.ListOptions{}).ApplyOptions(options)
	matches := func(key types.NamespacedName, indexed fields.Set) bool {
		return (wanted.Namespace == "" || wanted.Namespace == key.Namespace) &&
			(wanted.FieldSelector == nil || wanted.FieldSelector.Matches(indexed))
	}
	cache := k.process.cache
	switch list := list.(type) {
	case *v1alpha1.ClientBindingList:
		for _, key := range sortedKeys(cache.bindings) {
			binding := cache.bindings[key]
			// A binding may be indexed under several connections.
			if slices.ContainsFunc((Connections{}).Of(binding), func(connection types.NamespacedName) bool {
				return matches(key, fields.Set{
					userField: binding.Spec.UserUUID, cuidField: binding.Spec.CUID, connectionIndex: connection.String(),
				})
			}) {
				list.Items = append(list.Items, *binding.DeepCopy())
			}
		}
	case *v1alpha1.APIConnectionList:
		for _, key := range sortedKeys(cache.connections) {
			connection := cache.connections[key]
			if matches(key, nil) {
				list.Items = append(list.Items, *connection.DeepCopy())
			}
		}
	default:
		err := k.Client.List(ctx, list, options...)
		k.interrupt(afterKubeRead)
		return err
	}
	k.interrupt(afterKubeRead)
	return nil
}

// liveKube reads from the API server what the operator does not trust its cache with.
type liveKube struct{ *processKube }

func (k liveKube) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	k.interrupt(beforeKubeRead)
	err := k.Client.Get(ctx, key, object, options...)
	k.process.identities.hide(object)
	return err
}

func (k liveKube) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	k.interrupt(beforeKubeRead)
	err := k.Client.List(ctx, list, append(options, client.MatchingLabels(k.process.labels()))...)
	for _, object := range objectsOf(list) {
		k.process.identities.hide(object)
	}
	k.interrupt(afterKubeRead)
	return err
}

func (k *processKube) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.PatchOption) error {
	return k.write("patch", object, func() error { return k.Client.Patch(ctx, object, patch, options...) })
}

func (k *processKube) Status() client.SubResourceWriter {
	return &processStatus{SubResourceWriter: k.Client.Status(), kube: k}
}

type processStatus struct {
	client.SubResourceWriter
	kube *processKube
}

func (s *processStatus) Patch(ctx context.Context, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	return s.kube.write("status", object, func() error { return s.SubResourceWriter.Patch(ctx, object, patch, options...) })
}

var errNoAnswer = errors.New("the API server gave no answer")

// write writes to the API server, unless the walk has it that the write, or its answer, is lost.
func (k *processKube) write(what string, object client.Object, send func() error) error {
	p, key := k.process, client.ObjectKeyFromObject(object)
	if k.interrupt(beforeKubeWrite) == isLost {
		p.log("    %s %s: lost", what, p.short(key))
		return errNoAnswer
	}
	p.identities.reveal(object)
	err := send()
	p.identities.hide(object)
	switch object.(type) {
	case *v1alpha1.ClientBinding:
		p.stale.bindings = true
	case *v1alpha1.APIConnection, *corev1.Secret, *metav1.PartialObjectMetadata:
		p.stale.connections = true
	}
	p.log("    %s %s%s", what, p.short(key), failed(err))
	if k.interrupt(afterKubeWrite) == isLost {
		p.log("    the answer was lost")
		return errNoAnswer
	}
	return err
}

func failed(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprintf(": %s", apierrors.ReasonForError(err))
}
