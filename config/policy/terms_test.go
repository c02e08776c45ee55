package policy_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// TestTerms applies the example with other settings, in which each setting differs from the default.
func TestTerms(t *testing.T) {
	namespace := newNamespace(t)
	requester := newRequester(t, namespace, "requester")
	granter := newRequester(t, namespace, "granter", may("grant", "clientbindings/owner", "C-1001"))
	// Created before the settings, which apply only to access that is given afterwards.
	before := binding(namespace, "before", "C-1001", true)
	create(t, before)
	reasoned := binding(namespace, "reasoned", "C-1001", true)
	reasoned.Spec.Justification = "INC-1"
	create(t, reasoned)
	withOverlay(t, "config/examples/terms")

	const (
		unjustified = "access as owner needs a justification in spec.justification, such as the number of a ticket"
		ownerTerm   = "access as owner needs spec.expiresAt, and may last 2592000s from the creation of its object"
		anyTerm     = "temporary access may last 15768000s from the creation of its object"
		day         = 24 * time.Hour
	)
	in := func(wait time.Duration) *metav1.Time {
		return &metav1.Time{Time: time.Now().Add(wait).Truncate(time.Second)}
	}
	for _, test := range []struct {
		reason string
		who    user
		spec   v1alpha1.ClientBindingSpec
		want   string
	}{
		{"standard access by a requester", requester, v1alpha1.ClientBindingSpec{}, ""},
		{"standard access for half a year", requester, v1alpha1.ClientBindingSpec{ExpiresAt: in(182 * day)}, ""},
		{"standard access for longer", requester, v1alpha1.ClientBindingSpec{ExpiresAt: in(183 * day)}, anyTerm},
		{"owner", granter, v1alpha1.ClientBindingSpec{IsOwner: true, Justification: "INC-1", ExpiresAt: in(30 * day)}, ""},
		{"owner without a reason", granter, v1alpha1.ClientBindingSpec{IsOwner: true, ExpiresAt: in(day)}, unjustified},
		{"owner because of blanks", granter, v1alpha1.ClientBindingSpec{IsOwner: true, ExpiresAt: in(day), Justification: "  "}, unjustified},
		{"owner for ever", granter, v1alpha1.ClientBindingSpec{IsOwner: true, Justification: "INC-1"}, ownerTerm},
		{"owner for longer", granter, v1alpha1.ClientBindingSpec{IsOwner: true, Justification: "INC-1", ExpiresAt: in(31 * day)}, ownerTerm},
	} {
		t.Run(test.reason, func(t *testing.T) {
			of := binding(namespace, strings.ReplaceAll(test.reason, " ", "-"), "C-1001", test.spec.IsOwner)
			test.spec.UserUUID, test.spec.CUID = of.Spec.UserUUID, of.Spec.CUID
			of.Spec = test.spec
			want := ""
			if test.want != "" {
				want = refusal(of, "grants", test.want)
			}
			applied := of.DeepCopy()
			applied.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ClientBinding"))
			check(t, test.who.Apply(t.Context(), applyConfiguration(t, applied), client.FieldOwner("test"), client.DryRunAll), want)
			check(t, test.who.Create(t.Context(), of), want)
		})
	}

	for _, test := range []struct {
		reason string
		of     *v1alpha1.ClientBinding
		edit   string
		want   string
	}{
		{"labels of what was given before", before, `{"metadata":{"labels":{"team":"a"}}}`, ""},
		{"an end of what was given before", before, `{"spec":{"expiresAt":"2099-01-01T00:00:00Z"}}`, ""},
		{"another justification", reasoned, `{"spec":{"justification":"INC-2"}}`, ""},
		{"taking the justification away", reasoned, `{"spec":{"justification":null}}`, unjustified},
		{"blanking the justification", reasoned, `{"spec":{"justification":" "}}`, unjustified},
		{"taking it away from who is no longer owner", reasoned, `{"spec":{"justification":null,"isOwner":false}}`, ""},
	} {
		t.Run(test.reason, func(t *testing.T) {
			want := ""
			if test.want != "" {
				want = refusal(test.of, "grants", test.want)
			}
			check(t, requester.edit(t, test.of, test.edit), want)
		})
	}
}

// TestLifetimeCountsFromCreation: a person cannot prolong access by moving its end a little each day.
func TestLifetimeCountsFromCreation(t *testing.T) {
	withOverlay(t, "config/examples/terms")
	namespace := newNamespace(t)
	requester := newRequester(t, namespace, "requester")
	of := binding(namespace, "trial", "C-1001", false)
	of.Spec.ExpiresAt = &metav1.Time{Time: time.Now().Add(time.Hour)}
	// The API server ignores a creation time in a request.
	of.CreationTimestamp = metav1.NewTime(time.Now().AddDate(1, 0, 0))
	if err := requester.Create(t.Context(), of); err != nil {
		t.Fatal(err)
	}
	limit := of.CreationTimestamp.Add(4380 * time.Hour).UTC()
	check(t, requester.edit(t, of, `{"spec":{"expiresAt":"`+limit.Format(time.RFC3339)+`"}}`), "")
	later := limit.Add(time.Second).Format(time.RFC3339)
	check(t, requester.edit(t, of, `{"spec":{"expiresAt":"`+later+`"}}`),
		refusal(of, "grants", "temporary access may last 15768000s from the creation of its object"))
}
