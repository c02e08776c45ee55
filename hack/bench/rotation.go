package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

const (
	// rotateLimit is how soon a changed Secret is to be in use.
	rotateLimit = 5 * time.Second
	// around is how long bindings are checked before and after the change.
	around = 3 * time.Second
)

var successor = delossim.Account{Login: "operator-2@example.com", Password: "staple-battery-horse"}

// playRotation gives the Secret another account while every binding is checked each second. At the end the
// platform ends all sessions and knows the former password no more: only the new account gets the operator on.
func playRotation(ctx context.Context, t *trial) error {
	if err := t.connect(ctx, time.Second, wide); err != nil {
		return err
	}
	if err := t.bind(ctx, t.checked); err != nil {
		return err
	}
	if err := t.awaitReady(ctx, fmt.Sprintf("%d bindings Ready", t.checked)); err != nil {
		return err
	}
	if err := pause(ctx, around); err != nil {
		return err
	}

	t.platform.AddAccount(successor)
	changed := time.Now()
	secret := t.secret(successor)
	if err := t.kube.Update(ctx, secret); err != nil {
		return err
	}
	if err := t.awaitCredentials(ctx, secret); err != nil {
		return err
	}
	if err := pause(ctx, around); err != nil {
		return err
	}
	made := work(t.platform.Server).after(changed)
	t.measured("calls after the change", len(made))
	t.exactly("logins", t.platform.Count(delossim.OpLogin), 2)
	t.none("calls that were refused", made.refused())

	t.platform.SetPassword(account.Login, "another")
	t.platform.RevokeSessions()
	if err := pause(ctx, around); err != nil {
		return err
	}
	t.exactly("logins, once all sessions were revoked", t.platform.Count(delossim.OpLogin), 3)
	seen, err := t.failuresSeen()
	if err != nil {
		return err
	}
	t.exactly("failed calls that a binding saw", seen, 0)
	t.none("bindings that left Ready", t.bindings.leftReady())
	return nil
}

// awaitCredentials waits until the connection says that the API accepted the Secret as it is now: the operator's finalizer may
// have been put back since it was written.
func (t *trial) awaitCredentials(ctx context.Context, secret *corev1.Secret) error {
	const what = "the new Secret is in use"
	took, err := t.await(ctx, what, rotateLimit, func() string {
		found, err := t.connection(ctx)
		if err = errors.Join(err, t.kube.Get(ctx, client.ObjectKeyFromObject(secret), secret)); err != nil {
			return err.Error()
		}
		if found.Status.CredentialsVersion != string(secret.UID)+"/"+secret.ResourceVersion {
			return "the former one is"
		}
		return ""
	})
	if err == nil {
		t.check(true, what+" after", seconds(took), "at most "+seconds(rotateLimit))
	}
	return err
}
