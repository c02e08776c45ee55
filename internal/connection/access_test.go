package connection

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

func TestJudge(t *testing.T) {
	from := func(from v1alpha1.NamespacesFrom) *v1alpha1.Allowed {
		return &v1alpha1.Allowed{Namespaces: &v1alpha1.AllowedNamespaces{From: from}}
	}
	selector := func(selector *metav1.LabelSelector) *v1alpha1.Allowed {
		return &v1alpha1.Allowed{Namespaces: &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesSelector, Selector: selector}}
	}
	cuids := func(globs ...string) *v1alpha1.Allowed { return &v1alpha1.Allowed{CUIDs: globs} }
	bank := &metav1.LabelSelector{MatchLabels: map[string]string{"division": "bank"}}
	no, yes := false, true
	own := Use{Namespace: "platform", CUID: "cust_789xyz"}
	foreign := Use{Namespace: "team-a", CUID: "cust_789xyz", Labels: map[string]string{"division": "bank"}}
	owner := Use{Namespace: "platform", CUID: "cust_789xyz", Owner: true}

	for _, test := range []struct {
		reason  string
		allowed *v1alpha1.Allowed
		use     Use
		want    Denial
	}{
		{"nothing is said: its own namespace", nil, own, ""},
		{"nothing is said: owners, too", nil, owner, ""},
		{"nothing is said: another namespace", nil, foreign, NamespaceDenied},
		{"Same, said by leaving from out", from(""), own, ""},
		{"not Same, said by leaving from out", from(""), foreign, NamespaceDenied},
		{"Same", from(v1alpha1.NamespacesSame), own, ""},
		{"not Same", from(v1alpha1.NamespacesSame), foreign, NamespaceDenied},
		{"All", from(v1alpha1.NamespacesAll), foreign, ""},
		{"what a later version may say", from("Others"), own, NamespaceDenied},
		{"something else is said, which opens no namespace", cuids("*"), foreign, NamespaceDenied},

		{"the selector matches", selector(bank), foreign, ""},
		{"the selector does not match", selector(bank), Use{Namespace: "team-a", Labels: map[string]string{"division": "sales"}}, NamespaceDenied},
		{"the selector does not match a namespace without labels", selector(bank), Use{Namespace: "team-a"}, NamespaceDenied},
		{"the selector does not match the connection's own namespace", selector(bank), own, NamespaceDenied},
		{"no selector", selector(nil), foreign, NamespaceDenied},
		{"an empty selector", selector(&metav1.LabelSelector{}), foreign, ""},
		{"a selector that is none", selector(&metav1.LabelSelector{
			MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "division", Operator: "Like", Values: []string{"bank"}}},
		}), foreign, NamespaceDenied},

		{"the very client", cuids("cust_789xyz"), own, ""},
		{"another client", cuids("cust_789xy"), own, ClientDenied},
		{"a client of a glob", cuids("other", "cust_*"), own, ""},
		{"a glob is about the whole cuid", cuids("cust"), own, ClientDenied},
		{"a glob has no middle by itself", cuids("789"), own, ClientDenied},
		{"a glob with a middle", cuids("c*xyz"), own, ""},
		{"one character", cuids("cust_789xy?"), own, ""},
		{"one character is not none", cuids("cust_789xyz?"), own, ClientDenied},
		{"case counts", cuids("CUST_*"), own, ClientDenied},
		{"a glob that is none", cuids("[cust"), own, ClientDenied},

		{"owners may be made", &v1alpha1.Allowed{Owner: &yes}, owner, ""},
		{"no owners", &v1alpha1.Allowed{Owner: &no}, owner, OwnerDenied},
		{"no owners, but others", &v1alpha1.Allowed{Owner: &no}, own, ""},

		{"the namespace comes first", &v1alpha1.Allowed{CUIDs: []string{"other"}, Owner: &no}, Use{Namespace: "team-a", CUID: "cust_789xyz", Owner: true}, NamespaceDenied},
		{"the client comes before the owner", &v1alpha1.Allowed{CUIDs: []string{"other"}, Owner: &no}, owner, ClientDenied},
	} {
		t.Run(test.reason, func(t *testing.T) {
			connection := &v1alpha1.APIConnection{Spec: v1alpha1.APIConnectionSpec{Allowed: test.allowed}}
			connection.Namespace = "platform"

			if got := Judge(connection, test.use); got != test.want {
				t.Errorf("denied: %q, want %q", got, test.want)
			}
		})
	}
}

func TestNeedsLabels(t *testing.T) {
	for _, test := range []struct {
		reason  string
		allowed *v1alpha1.Allowed
		want    bool
	}{
		{"nothing is said", nil, false},
		{"nothing is said about namespaces", &v1alpha1.Allowed{}, false},
		{"All", &v1alpha1.Allowed{Namespaces: &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesAll}}, false},
		{"Selector", &v1alpha1.Allowed{Namespaces: &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesSelector}}, true},
	} {
		t.Run(test.reason, func(t *testing.T) {
			if got := NeedsLabels(&v1alpha1.APIConnection{Spec: v1alpha1.APIConnectionSpec{Allowed: test.allowed}}); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}
