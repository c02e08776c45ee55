package controller

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ownWrites remembers the versions that a reconciler wrote, so that it does not act on an older one which the cache may
// still have. Its zero value is ready for use.
type ownWrites struct {
	mu       sync.Mutex
	versions map[types.NamespacedName]string
}

// wrote remembers an object as the API server has it after a write.
func (w *ownWrites) wrote(object client.Object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.versions == nil {
		w.versions = map[types.NamespacedName]string{}
	}
	w.versions[client.ObjectKeyFromObject(object)] = object.GetResourceVersion()
}

// missing reports whether an object is older than what was written to it last.
func (w *ownWrites) missing(object client.Object) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := client.ObjectKeyFromObject(object)
	written, remembered := w.versions[key]
	if !remembered {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(object.GetResourceVersion(), written)
	if err != nil || order >= 0 {
		delete(w.versions, key)
		return false
	}
	return true
}

// forget forgets an object that is gone.
func (w *ownWrites) forget(key types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.versions, key)
}
