package v1alpha1_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// TestNewObjectsDoNotLookDone keeps tools that wait for a status, such as kstatus and Argo CD, from
// taking an object that the operator has not seen yet for a finished one.
func TestNewObjectsDoNotLookDone(t *testing.T) {
	for kind, spec := range map[string]string{"ClientBinding": relation, "APIConnection": validConnection} {
		t.Run(kind, func(t *testing.T) {
			o := object(t, kind, "new", spec)
			create(t, o)
			want := map[string]any{"observedGeneration": int64(-1)}
			if diff := cmp.Diff(want, o.Object["status"]); diff != "" {
				t.Errorf("status: -want +got:\n%s", diff)
			}
		})
	}
}

// TestSpecHasNoDefaults keeps GitOps tools from seeing a difference to what is in Git.
func TestSpecHasNoDefaults(t *testing.T) {
	for kind, spec := range map[string]string{"ClientBinding": relation, "APIConnection": validConnection} {
		t.Run(kind, func(t *testing.T) {
			o := object(t, kind, "plain", spec)
			create(t, o)
			if diff := cmp.Diff(parse(t, spec), o.Object["spec"]); diff != "" {
				t.Errorf("spec: -typed +stored:\n%s", diff)
			}
		})
	}
}

func TestColumns(t *testing.T) {
	for kind, spec := range map[string]string{"ClientBinding": relation, "APIConnection": validConnection} {
		create(t, object(t, kind, "unseen", spec))
		seen := object(t, kind, "seen", spec)
		create(t, seen)
		reportReady(t, seen, kind)
	}
	for _, test := range []struct {
		reason, resource string
		want             [][]any
	}{
		{
			reason:   "whether the access is as declared",
			resource: "clientbindings",
			want: [][]any{
				{"Name", "Ready", "Reason", "Access", "Age"},
				{"seen", "True", "Bound", "Owner", age},
				{"unseen", nil, nil, nil, age},
			},
		},
		{
			reason:   "whether the API can be used, by how many bindings, and what is held",
			resource: "apiconnections",
			want: [][]any{
				{"Name", "Ready", "Reason", "Bindings", "Held", "Age"},
				{"seen", "True", "LoggedIn", nil, nil, age},
				{"unseen", nil, nil, nil, nil, age},
			},
		},
	} {
		t.Run(test.reason, func(t *testing.T) {
			if diff := cmp.Diff(test.want, table(t, test.resource)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// age stands for any: it depends on when one looks.
const age = "(age)"

// table is what `kubectl get` prints, headings first, without the columns of `-o wide`.
func table(t *testing.T, resource string) [][]any {
	t.Helper()
	api, err := rest.HTTPClientFor(cluster)
	if err != nil {
		t.Fatal(err)
	}
	location, err := url.JoinPath(cluster.Host, "apis", v1alpha1.GroupVersion.String(), "namespaces", namespace, resource)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, location, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
	response, err := api.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer := &metav1.Table{}
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		t.Fatal(err)
	}

	headings, rows := []any{}, make([][]any, len(answer.Rows))
	for i, column := range answer.ColumnDefinitions {
		if column.Priority > 0 {
			continue
		}
		headings = append(headings, column.Name)
		for j, row := range answer.Rows {
			cell := row.Cells[i]
			if column.Name == "Age" && cell != nil {
				cell = age
			}
			rows[j] = append(rows[j], cell)
		}
	}
	return slices.Insert(rows, 0, headings)
}

// TestWhoMayActForWhom asks the API server what people ask of the list.
func TestWhoMayActForWhom(t *testing.T) {
	for name, spec := range map[string]string{
		"ann-alpha": "{userUUID: ann, cuid: alpha, isOwner: true}",
		"ann-beta":  "{userUUID: ann, cuid: beta, isOwner: false}",
		"bob-alpha": "{userUUID: bob, cuid: alpha, isOwner: false}",
	} {
		create(t, object(t, "ClientBinding", name, spec))
	}
	for _, test := range []struct {
		reason string
		fields client.MatchingFields
		want   []string
	}{
		{"what may Ann do?", client.MatchingFields{"spec.userUUID": "ann"}, []string{"ann-alpha", "ann-beta"}},
		{"who may act for alpha?", client.MatchingFields{"spec.cuid": "alpha"}, []string{"ann-alpha", "bob-alpha"}},
		{"who owns a client?", client.MatchingFields{"spec.isOwner": "true"}, []string{"ann-alpha"}},
		{"who has standard access?", client.MatchingFields{"spec.isOwner": "false"}, []string{"ann-beta", "bob-alpha"}},
		{"who owns beta?", client.MatchingFields{"spec.cuid": "beta", "spec.isOwner": "true"}, nil},
	} {
		t.Run(test.reason, func(t *testing.T) {
			list := &v1alpha1.ClientBindingList{}
			if err := kube.List(t.Context(), list, client.InNamespace(namespace), test.fields); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, binding := range list.Items {
				got = append(got, binding.Name)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.SortSlices(func(a, b string) bool { return a < b })); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
