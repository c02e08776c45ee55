package controller

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// Writes remembers what this process wrote, so that no reconciler acts on an older version, which the cache may still have. All reconcilers
// share it.
type Writes struct {
	// Kube writes to the API server, and Live reads from it.
	Kube client.Client
	Live client.Reader

	mu sync.Mutex
	// versions are the resource versions of ClientBindings after the last write.
	versions map[types.UID]string
	// connections are APIConnections after the last write. There are few of them, and several reconcilers write parts of their
	// status.
	connections map[types.UID]*v1alpha1.APIConnection
	// patching is held during a write of a connection's status.
	patching sync.Mutex
}

// wrote remembers an object as the API server has it after a write.
func (w *Writes) wrote(object client.Object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch object := object.(type) {
	case *v1alpha1.ClientBinding:
		if w.versions == nil {
			w.versions = map[types.UID]string{}
		}
		w.versions[object.UID] = object.ResourceVersion
	case *v1alpha1.APIConnection:
		if w.connections == nil {
			w.connections = map[types.UID]*v1alpha1.APIConnection{}
		}
		w.connections[object.UID] = object.DeepCopy()
	}
}

// lacks reports whether a version of a ClientBinding is older than the last write.
func (w *Writes) lacks(binding *v1alpha1.ClientBinding) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	written, remembered := w.versions[binding.UID]
	if remembered && older(binding.ResourceVersion, written) {
		return true
	}
	delete(w.versions, binding.UID)
	return false
}

// latest is the newest version that is known of a connection.
func (w *Writes) latest(cached *v1alpha1.APIConnection) *v1alpha1.APIConnection {
	w.mu.Lock()
	defer w.mu.Unlock()
	if written := w.connections[cached.UID]; written != nil && older(cached.ResourceVersion, written.ResourceVersion) {
		return written.DeepCopy()
	}
	delete(w.connections, cached.UID)
	return cached
}

func older(version, than string) bool {
	order, err := resourceversion.CompareResourceVersion(version, than)
	return err == nil && order < 0
}

// forget forgets a ClientBinding that is gone.
func (w *Writes) forget(binding types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.versions, binding)
}

// mostConflicts bounds the repetitions of a write whose object has changed in the meantime.
const mostConflicts = 3

// patchConnection makes a change of a connection's status, and writes it only onto the version that it was made of. After a
// conflict it makes the change again, on the newer version, so that no memory is lost. It returns the written connection.
func (w *Writes) patchConnection(ctx context.Context, of *v1alpha1.APIConnection, change func(*v1alpha1.APIConnection)) (*v1alpha1.APIConnection, error) {
	w.patching.Lock()
	defer w.patching.Unlock()
	is := w.latest(of)
	for conflicts := 0; ; conflicts++ {
		after := is.DeepCopy()
		change(after)
		if equality.Semantic.DeepEqual(is.Status, after.Status) {
			return is, nil
		}
		patch := client.MergeFromWithOptions(is, client.MergeFromWithOptimisticLock{})
		err := w.Kube.Status().Patch(ctx, after, patch, client.FieldOwner(FieldManager))
		if err == nil {
			w.wrote(after)
			return after, nil
		}
		if !apierrors.IsConflict(err) || conflicts == mostConflicts {
			return nil, fmt.Errorf("writing the status of APIConnection %s: %w", client.ObjectKeyFromObject(of), err)
		}
		newer := &v1alpha1.APIConnectionList{}
		// The operator may list connections, and not get one.
		if err := w.Live.List(ctx, newer, client.InNamespace(of.Namespace), client.MatchingFields{"metadata.name": of.Name}); err != nil {
			return nil, err
		}
		if len(newer.Items) == 0 || newer.Items[0].UID != of.UID {
			return nil, err
		}
		is = &newer.Items[0]
	}
}
