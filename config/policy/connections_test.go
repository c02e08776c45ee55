package policy_test

import (
	"fmt"
	"testing"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

func TestConnectionsOfOtherNamespacesNeedUse(t *testing.T) {
	platform, team := newNamespace(t), newNamespace(t)
	all := may("grant", "clientbindings/standard")
	plain := newRequester(t, team, "plain", all)
	chosen := newRequester(t, team, "chosen", all)
	chosen.allow(t, platform, may("use", "apiconnections", "shared"))
	// The verb in the binding's namespace does not apply to another namespace's connections.
	misled := newRequester(t, team, "misled", all, may("use", "apiconnections", "shared"))

	through := func(name string, reference *v1alpha1.ConnectionReference) *v1alpha1.ClientBinding {
		of := binding(team, name, "C-1001", false)
		of.Spec.ConnectionRef = reference
		return of
	}
	refused := func(of *v1alpha1.ClientBinding) string {
		return refusal(of, "connections", fmt.Sprintf(
			"using a connection of another namespace needs the verb use on apiconnections named %s in namespace %s",
			of.Spec.ConnectionRef.Name, of.Spec.ConnectionRef.Namespace))
	}
	shared := &v1alpha1.ConnectionReference{Namespace: platform, Name: "shared"}
	secret := &v1alpha1.ConnectionReference{Namespace: platform, Name: "secret"}

	check(t, plain.Create(t.Context(), through("default", nil)), "")
	check(t, plain.Create(t.Context(), through("own", &v1alpha1.ConnectionReference{Name: "other"})), "")
	check(t, plain.Create(t.Context(), through("own-aloud", &v1alpha1.ConnectionReference{Namespace: team, Name: "other"})), "")
	of := through("shared", shared)
	check(t, plain.Create(t.Context(), of), refused(of))
	check(t, misled.Create(t.Context(), of), refused(of))
	check(t, chosen.Create(t.Context(), of), "")
	of = through("secret", secret)
	check(t, chosen.Create(t.Context(), of), refused(of))

	// The reference cannot change afterwards, so the creation is the only check.
	of = through("own", nil)
	if err := plain.edit(t, of, `{"spec":{"connectionRef":{"namespace":"`+platform+`"}}}`); err == nil {
		t.Error("the connection of a binding could be changed")
	}
}
