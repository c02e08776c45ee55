// Package trial checks whether an installed operator works. It has the operator look at an APIConnection, and, if a relation is
// named, give that access and revoke it.
package trial

import (
	"context"
	"fmt"
	"io"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// pause is the wait between two looks.
const pause = time.Second

// cleanUpWithin bounds the time in which a trial that failed deletes its ClientBinding.
const cleanUpWithin = 10 * time.Second

// Trial is one check of an installed operator.
type Trial struct {
	// Kube needs the rights to get and patch the APIConnection, and, with a relation, to create, get, patch and delete ClientBindings in
	// its namespace and the verb grant on clientbindings/standard.
	Kube client.Client
	// Connection is the APIConnection.
	Connection types.NamespacedName
	// User and CUID are the relation; no access is given when they are empty.
	User, CUID string
	// Out gets a line for each step that succeeded.
	Out io.Writer
	Now func() time.Time
}

// Run makes the trial, until the context ends. The error says which step failed, and has the last message of the operator.
func (t *Trial) Run(ctx context.Context) error {
	if err := t.login(ctx); err != nil {
		return err
	}
	if t.CUID == "" {
		return nil
	}
	return t.grant(ctx)
}

// login asks for a look at the connection and waits until that has been made and the connection is Ready.
func (t *Trial) login(ctx context.Context) error {
	asked := t.Now().UTC().Format(time.RFC3339Nano)
	connection := &v1alpha1.APIConnection{}
	connection.Namespace, connection.Name = t.Connection.Namespace, t.Connection.Name
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, v1alpha1.RequestedAtAnnotation, asked)
	if err := t.Kube.Patch(ctx, connection, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return fmt.Errorf("asking for a look at the APIConnection %s: %w", t.Connection, err)
	}
	err := t.until(ctx, connection, func() (bool, string) {
		if connection.Status.LastHandledRequestedAt != asked {
			return false, "the operator has not looked at it: does it run, and serve the namespace?"
		}
		ready, said := readyOf(connection.Status.Conditions, connection.Generation)
		return ready, said
	})
	if err != nil {
		return fmt.Errorf("the APIConnection %s is not Ready: %w", t.Connection, err)
	}
	t.say("The Delos API accepts the credentials of the APIConnection %s", t.Connection)
	return nil
}

// grant gives the access and revokes it. It begins with a suspended ClientBinding, which only reads: existing access would be adopted, and
// be revoked at the end.
func (t *Trial) grant(ctx context.Context) (err error) {
	binding := &v1alpha1.ClientBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: t.Connection.Namespace, GenerateName: "trial-"},
		Spec: v1alpha1.ClientBindingSpec{
			UserUUID: t.User, CUID: t.CUID, Suspend: ptr.To(true),
			ConnectionRef: &v1alpha1.ConnectionReference{Name: t.Connection.Name},
			Justification: "trial of the operator",
		},
	}
	if err := t.Kube.Create(ctx, binding); err != nil {
		return fmt.Errorf("creating a ClientBinding: %w", err)
	}
	defer func() {
		if err != nil {
			cleanUp, done := context.WithTimeout(context.WithoutCancel(ctx), cleanUpWithin)
			defer done()
			_ = t.Kube.Delete(cleanUp, binding) // The error is about what came before.
		}
	}()
	err = t.until(ctx, binding, func() (bool, string) {
		_, said := readyOf(binding.Status.Conditions, binding.Generation)
		return binding.Status.Access != "" && said != "", said
	})
	switch {
	case err != nil:
		return fmt.Errorf("whether user %s has access to client %s was not read: %w", t.User, t.CUID, err)
	case binding.Status.Access != v1alpha1.AccessNone:
		return fmt.Errorf("user %s has access to client %s (%s): name a relation that nobody needs, since it is revoked at the end",
			t.User, t.CUID, binding.Status.Access)
	}
	if err := t.Kube.Patch(ctx, binding, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"suspend":null}}`))); err != nil {
		return fmt.Errorf("giving the access: %w", err)
	}
	err = t.until(ctx, binding, func() (bool, string) { return readyOf(binding.Status.Conditions, binding.Generation) })
	if err != nil {
		return fmt.Errorf("user %s was not given access to client %s: %w", t.User, t.CUID, err)
	}
	t.say("User %s was given standard access to client %s, and the API shows it", t.User, t.CUID)
	if err := t.Kube.Delete(ctx, binding); err != nil {
		return fmt.Errorf("deleting the ClientBinding %s: %w", binding.Name, err)
	}
	err = t.until(ctx, binding, func() (bool, string) {
		_, said := readyOf(binding.Status.Conditions, binding.Generation)
		return false, said
	})
	if !apierrors.IsNotFound(err) {
		return fmt.Errorf("the access of user %s to client %s was not revoked: %w", t.User, t.CUID, err)
	}
	t.say("The access was revoked, and the API shows that it is gone")
	return nil
}

func (t *Trial) say(format string, arguments ...any) {
	_, _ = fmt.Fprintf(t.Out, format+"\n", arguments...) // The outcome does not depend on it.
}

// until reads the object until seen says yes. The error has the last message.
func (t *Trial) until(ctx context.Context, object client.Object, seen func() (yes bool, said string)) error {
	last := ""
	err := wait.PollUntilContextCancel(ctx, pause, true, func(ctx context.Context) (bool, error) {
		if err := t.Kube.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return false, err
		}
		yes, said := seen()
		last = said
		return yes, nil
	})
	if wait.Interrupted(err) && last != "" {
		return fmt.Errorf("%s", last)
	}
	return err
}

// readyOf reports whether the condition Ready is True for this generation, with its reason and message; "" if it is about an older
// generation.
func readyOf(conditions []metav1.Condition, generation int64) (ready bool, said string) {
	condition := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	if condition == nil || condition.ObservedGeneration != generation {
		return false, ""
	}
	return condition.Status == metav1.ConditionTrue, condition.Reason + ": " + condition.Message
}
