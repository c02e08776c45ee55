package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/hack/internal/progress"
)

const (
	// limit is how long Argo CD and the operator together may take for something.
	limit = 90 * time.Second
	// pollEvery is how often an outcome is looked at.
	pollEvery = 50 * time.Millisecond
)

// application is an Application of Argo CD.
type application struct {
	name string
	// path in the repository.
	path string
	// project; "default" when empty.
	project string
	// namespace of what names none.
	namespace string
	// options are sync options.
	options []string
	// annotations of the Application.
	annotations map[string]string
	// kept: deleting the Application leaves what it delivered.
	kept bool
	// manual: synced by hand.
	manual bool
}

// object is the Application as it is declared.
func (a application) object(url string) *unstructured.Unstructured {
	policy := map[string]any{"syncOptions": anys(a.options)}
	if !a.manual {
		policy["automated"] = map[string]any{"prune": true, "selfHeal": true}
	}
	project := a.project
	if project == "" {
		project = "default"
	}
	object := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{
			"project":     project,
			"source":      map[string]any{"repoURL": url, "targetRevision": branch, "path": a.path},
			"destination": map[string]any{"server": "https://kubernetes.default.svc", "namespace": a.namespace},
			"syncPolicy":  policy,
		},
	}}
	object.SetGroupVersionKind(applicationKind)
	object.SetNamespace(argoNamespace)
	object.SetName(a.name)
	object.SetAnnotations(a.annotations)
	if !a.kept {
		object.SetFinalizers([]string{"resources-finalizer.argocd.argoproj.io"})
	}
	return object
}

var applicationKind = schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: "Application"}

func anys(texts []string) []any {
	values := []any{}
	for _, text := range texts {
		values = append(values, text)
	}
	return values
}

// state is what Argo CD says of an application.
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
				Revision  string     `json:"revision"`
				Resources []resource `json:"resources"`
			} `json:"syncResult"`
		} `json:"operationState"`
		ReconciledAt string `json:"reconciledAt"`
	} `json:"status"`
}

// resource is what became of one object in a sync.
type resource struct {
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Status  string `json:"status"`
	Message string `json:"message"`
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

func (s *stage) state(ctx context.Context, app string) (st state, err error) {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(applicationKind)
	if err := s.kube.Get(ctx, client.ObjectKey{Namespace: argoNamespace, Name: app}, object); err != nil {
		return state{}, err
	}
	return st, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &st)
}

// refresh has Argo CD look at an application now, as a webhook of the Git server would. A hard one forgets what is cached.
func (s *stage) refresh(ctx context.Context, app, how string) error {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(applicationKind)
	object.SetNamespace(argoNamespace)
	object.SetName(app)
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"argocd.argoproj.io/refresh":%q}}}`, how)
	return s.kube.Patch(ctx, object, client.RawPatch("application/merge-patch+json", patch))
}

// becomes waits until an application has a sync status and a health at a revision; an empty health is any.
func (s *stage) becomes(ctx context.Context, app, sync, health, revision string) error {
	return s.within(ctx, limit, func(ctx context.Context) (string, error) {
		st, err := s.state(ctx, app)
		if err != nil {
			return "", err
		}
		if st.Status.Sync.Status == sync && (health == "" || st.Status.Health.Status == health) &&
			(revision == "" || st.Status.Sync.Revision == revision) {
			return "", nil
		}
		return fmt.Sprintf("%s is not %s/%s at %.7s but %s", app, sync, health, revision, st), nil
	})
}

// delivered publishes the working copy and waits until an application is synced with it.
func (s *stage) delivered(ctx context.Context, app, health, message string) error {
	revision, err := s.git.commit(ctx, message)
	if err != nil {
		return err
	}
	if err := s.refresh(ctx, app, "normal"); err != nil {
		return err
	}
	return s.becomes(ctx, app, "Synced", health, revision)
}

// isGone waits until an object is no longer there.
func (s *stage) isGone(ctx context.Context, object client.Object) error {
	return s.within(ctx, limit, func(ctx context.Context) (string, error) { return s.there(ctx, object) })
}

// there says that an object is there, if it is.
func (s *stage) there(ctx context.Context, object client.Object) (string, error) {
	err := s.kube.Get(ctx, client.ObjectKeyFromObject(object), object)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	kind, err := s.kube.GroupVersionKindFor(object)
	return fmt.Sprintf("%s %s is still there", kind.Kind, object.GetName()), err
}

// within waits until there is no problem any more.
func (s *stage) within(ctx context.Context, limit time.Duration, problem func(context.Context) (string, error)) error {
	last := ""
	err := wait.PollUntilContextTimeout(ctx, pollEvery, limit, true, func(ctx context.Context) (bool, error) {
		found, err := problem(ctx)
		if err == nil {
			last = found
		}
		return found == "" && err == nil, err
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		return fmt.Errorf("after %s: %s", progress.Seconds(limit), last)
	}
	return err
}

// print shows what a person would see, for the guide.
func (s *stage) print(ctx context.Context, args ...string) error {
	if !s.show {
		return nil
	}
	out, err := s.argo.run(ctx, args...)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.report, "$ argocd %s\n%s\n", strings.Join(args, " "), strings.TrimRight(out, "\n"))
	return err
}
