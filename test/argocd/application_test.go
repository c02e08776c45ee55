//go:build argocd

package argocd

import (
	"fmt"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// limit is the time that Argo CD and the operator together have for one change.
const limit = 90 * time.Second

// application is an Application of Argo CD.
type application struct {
	name, url string
	// path in the repository.
	path string
	// project; "default" when empty.
	project string
	// namespace of objects that name none.
	namespace string
	// options are sync options.
	options []any
	// annotations of the Application.
	annotations map[string]string
	// manual: synced by hand.
	manual bool
}

// create creates the Application. Its deletion deletes its objects.
func (a application) create(t *testing.T) {
	t.Helper()
	policy := map[string]any{"syncOptions": a.options}
	if !a.manual {
		policy["automated"] = map[string]any{"prune": true, "selfHeal": true}
	}
	if a.project == "" {
		a.project = "default"
	}
	object := named(a.name)
	object.Object["spec"] = map[string]any{
		"project":     a.project,
		"source":      map[string]any{"repoURL": a.url, "targetRevision": branch, "path": a.path},
		"destination": map[string]any{"server": "https://kubernetes.default.svc", "namespace": a.namespace},
		"syncPolicy":  policy,
	}
	object.SetAnnotations(a.annotations)
	object.SetFinalizers([]string{"resources-finalizer.argocd.argoproj.io"})
	box.Create(t, object)
}

// named is an Application with only its name.
func named(app string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{}}
	object.SetGroupVersionKind(schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: "Application"})
	object.SetNamespace(argoNamespace)
	object.SetName(app)
	return object
}

// state is the state that Argo CD shows of an Application.
type state struct {
	Status struct {
		Sync struct {
			Status   string `json:"status"`
			Revision string `json:"revision"`
		} `json:"sync"`
		Health struct {
			Status string `json:"status"`
		} `json:"health"`
		OperationState struct {
			Phase      string `json:"phase"`
			Message    string `json:"message"`
			SyncResult struct {
				Resources []struct {
					Kind    string `json:"kind"`
					Name    string `json:"name"`
					Status  string `json:"status"`
					Message string `json:"message"`
				} `json:"resources"`
			} `json:"syncResult"`
		} `json:"operationState"`
		ReconciledAt string `json:"reconciledAt"`
	} `json:"status"`
}

func (st state) String() string {
	text := fmt.Sprintf("%s/%s at %.7s, last operation %s: %s", st.Status.Sync.Status, st.Status.Health.Status,
		st.Status.Sync.Revision, st.Status.OperationState.Phase, st.Status.OperationState.Message)
	for _, r := range st.Status.OperationState.SyncResult.Resources {
		if r.Status != "Synced" && r.Status != "Pruned" {
			text += fmt.Sprintf("; %s %s: %s %s", r.Kind, r.Name, r.Status, r.Message)
		}
	}
	return text
}

func stateOf(t *testing.T, app string) (st state) {
	t.Helper()
	object := named(app)
	sandbox.Must(t, box.Kube.Get(t.Context(), client.ObjectKeyFromObject(object), object))
	sandbox.Must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &st))
	return st
}

// refresh makes Argo CD look at an Application now, as a webhook of the Git server would. A hard refresh drops its cache.
func refresh(t *testing.T, app, how string) {
	t.Helper()
	box.Patch(t, named(app), `{"metadata":{"annotations":{"argocd.argoproj.io/refresh":%q}}}`, how)
}

// becomes waits until an application has a sync status and a health at a revision; an empty one is any.
func becomes(t *testing.T, app, sync, health, revision string) {
	t.Helper()
	becomesWithin(t, limit, app, sync, health, revision)
}

func becomesWithin(t *testing.T, limit time.Duration, app, sync, health, revision string) {
	t.Helper()
	sandbox.Within(t, limit, func() string {
		st := stateOf(t, app)
		if st.Status.Sync.Status == sync && (health == "" || st.Status.Health.Status == health) &&
			(revision == "" || st.Status.Sync.Revision == revision) {
			return ""
		}
		return fmt.Sprintf("%s is not %s/%s at %.7s but %s", app, sync, health, revision, st)
	})
}

// staysSynced waits until Argo CD has compared an Application again, and fails if it then is not Synced.
func staysSynced(t *testing.T, app string, since time.Time) {
	t.Helper()
	refresh(t, app, "hard")
	sandbox.Within(t, limit, func() string {
		st := stateOf(t, app)
		// Argo CD's times are in whole seconds.
		at, err := time.Parse(time.RFC3339, st.Status.ReconciledAt)
		sandbox.Must(t, err)
		if !at.After(since) {
			return "not compared since " + since.Format(time.RFC3339)
		}
		if st.Status.Sync.Status != "Synced" {
			t.Fatalf("a difference is seen by Argo CD: %s", st)
		}
		return ""
	})
}

// isGone waits until an object is gone.
func isGone(t *testing.T, object client.Object) {
	t.Helper()
	sandbox.Within(t, limit, func() string { return there(t, object) })
}

// there says that an object is there, if it is.
func there(t *testing.T, object client.Object) string {
	t.Helper()
	err := box.Kube.Get(t.Context(), client.ObjectKeyFromObject(object), object)
	if apierrors.IsNotFound(err) {
		return ""
	}
	sandbox.Must(t, err)
	return fmt.Sprintf("%T %s is still there", object, object.GetName())
}
