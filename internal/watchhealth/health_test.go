package watchhealth

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

var errForbidden = apierrors.NewForbidden(v1alpha1.GroupVersion.WithResource("clientbindings").GroupResource(), "", errors.New("no role"))

func TestFailing(t *testing.T) {
	const failing = "ClientBinding"
	for name, test := range map[string]struct {
		// errors are met this long after the first moment, and the last look comes at the end.
		errors []time.Duration
		err    error
		end    time.Duration
		// sees: the watch sees something between the last error and the end.
		sees bool
		want []string
	}{
		"for a minute":                {errors: []time.Duration{0, 2 * time.Second, 6 * time.Second, 14 * time.Second}, end: time.Minute, want: []string{failing}},
		"for less than a minute":      {errors: []time.Duration{0, 2 * time.Second, 6 * time.Second, 14 * time.Second}, end: 59 * time.Second},
		"between two slow tries":      {errors: []time.Duration{0, 2 * time.Second, 6 * time.Second, 14 * time.Second, time.Minute}, end: 2*time.Minute + 30*time.Second, want: []string{failing}},
		"once":                        {errors: []time.Duration{0}, end: time.Minute},
		"and works again":             {errors: []time.Duration{0, 2 * time.Second, 6 * time.Second, 14 * time.Second}, sees: true, end: time.Minute},
		"and is silent since":         {errors: []time.Duration{0, 2 * time.Second, 6 * time.Second, 14 * time.Second}, end: 3 * time.Minute},
		"now and then":                {errors: []time.Duration{0, 3 * time.Minute, 6 * time.Minute, 9 * time.Minute}, end: 10 * time.Minute},
		"because a watch has its end": {errors: []time.Duration{0, 2 * time.Second, 6 * time.Second, 14 * time.Second}, err: io.EOF, end: time.Minute},
		"because a version is too old": {
			errors: []time.Duration{0, 2 * time.Second, 6 * time.Second, 14 * time.Second}, err: apierrors.NewResourceExpired("too old"), end: time.Minute,
		},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
			now := start
			health := newHealth(t, func() time.Time { return now })
			source := watch.NewFake()
			reflector := toolscache.NewReflector(&toolscache.ListWatch{
				ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
					return &v1alpha1.ClientBindingList{ListMeta: metav1.ListMeta{ResourceVersion: "7"}}, nil
				},
				WatchFuncWithContext: func(context.Context, metav1.ListOptions) (watch.Interface, error) { return source, nil },
			}, &v1alpha1.ClientBinding{}, toolscache.NewStore(toolscache.MetaNamespaceKeyFunc), 0)
			err := test.err
			if err == nil {
				err = errForbidden
			}
			for _, after := range test.errors {
				now = start.Add(after)
				health.WatchFailed(t.Context(), reflector, err)
			}
			if test.sees {
				source.Stop()
				if err := reflector.ListAndWatchWithContext(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			now = start.Add(test.end)
			if diff := cmp.Diff(test.want, slices.Collect(maps.Keys(health.Failing()))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func newHealth(t *testing.T, now func() time.Time) *Health {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	namespaces := &metav1.PartialObjectMetadata{}
	namespaces.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	health, err := New(scheme, now, &v1alpha1.ClientBinding{}, &v1alpha1.APIConnection{}, namespaces)
	if err != nil {
		t.Fatal(err)
	}
	return health
}
