package main

import (
	"fmt"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// invite tells what to try next, and shows what comes of it until the context ends.
func (s *stage) invite() {
	standard, owner, wrong := s.samples.standard, s.samples.owner, s.samples.wrong
	s.report.Heading("Try next, in another terminal")
	for _, hint := range []struct{ what, command string }{
		{"Use this cluster", fmt.Sprintf("export KUBECONFIG=%s PATH=%s:$PATH ADMIN=%s",
			quote(s.Cluster.Kubeconfig), quote(s.Cluster.Assets), s.Platform.AdminURL)},
		{"Promote a user to owner", promote(standard).String()},
		{"Create the missing user; the wrong binding becomes Ready at its next try", s.createUser(wrong.Spec.UserUUID).String()},
		{"See what happened to it", on(wrong, "describe").String()},
		{"Try to change the user of a binding: refused, with a message that says what to do instead", on(standard, "patch", "--type=merge", "--patch", `{"spec":{"userUUID":"user_nobody"}}`).String()},
		{"Do that: a new object, here for a user who does not exist", strangerCommand(standard)},
		{"Change a relation behind the operator's back, and ask for a look at it", s.drift(owner).String() + "\n" + askFor(owner)},
		{"Delete a binding: kubectl returns when the access is gone", remove(owner).String()},
		{"See what the platform was asked", "curl " + s.Platform.AdminURL + "/calls"},
		{"Read the operator's log", "less " + quote(s.Operator.LogFile)},
	} {
		fmt.Printf("# %s\n%s\n\n", hint.what, hint.command)
	}
	fmt.Println("Ctrl-C stops everything and leaves nothing behind.")
	s.report.Heading("kubectl get clientbindings --all-namespaces")
	s.follow()
	fmt.Println()
}

// strangerCommand creates a binding like the given one, which names no connection, for a user who does not exist.
func strangerCommand(like v1alpha1.ClientBinding) string {
	return fmt.Sprintf(`kubectl create -f - <<EOF
apiVersion: %s
kind: ClientBinding
metadata:
  name: nobody
  namespace: %s
spec:
  cuid: %s
  isOwner: false
  userUUID: user_nobody
EOF`, v1alpha1.GroupVersion, like.Namespace, like.Spec.CUID)
}

func askFor(binding v1alpha1.ClientBinding) string {
	return fmt.Sprintf(`kubectl annotate --overwrite clientbinding %s --namespace %s %s="$(date -u +%%FT%%TZ)"`,
		binding.Name, binding.Namespace, v1alpha1.RequestedAtAnnotation)
}
