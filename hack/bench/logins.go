package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	// accessLife is how long an access token is good in sessions. Lifetimes are stated in whole seconds.
	accessLife = 2 * time.Second
	// insisting is how long nothing is to happen in lockout while all bindings ask for it.
	insisting = 3 * time.Second
	// rotateLimit is how soon a changed Secret is to be in use.
	rotateLimit = 5 * time.Second
	// around is how long bindings are checked before and after that change.
	around = 3 * time.Second
)

// Limits that are in nobody's way, the second also where every binding is checked each second.
var (
	ample = rateLimit{perSecond: 1000, burst: 1000}
	wide  = rateLimit{perSecond: 5000, burst: 5000}
)

// playSessions checks each binding once a second while access tokens live for two.
func playSessions(t *trial) {
	t.Platform.Adjust(func(s *delossim.Settings) { s.AccessTTL = accessLife })
	t.connect(time.Second, wide)
	t.bind(t.checked)
	t.awaitBound()
	logins := t.Platform.Calls(delossim.OpLogin)
	if len(logins) == 0 {
		t.exactly("logins", 0, 1)
		t.abandon()
	}
	began := logins[0].Time
	ended := began.Add(time.Duration(t.lives) * accessLife)
	sandbox.Pause(t, time.Until(ended))

	made := t.work().between(began, ended)
	refreshes := calls(t.Platform.Calls(delossim.OpRefresh)).between(began, ended)
	seen := t.failuresSeen()
	t.measured(fmt.Sprintf("calls in %d lives of %s", t.lives, accessLife), len(made))
	t.measured("checks of each binding per second", fmt.Sprintf("%.2f",
		float64(len(made))/ended.Sub(began).Seconds()/float64(t.checked)))
	t.exactly("logins", t.Platform.Count(delossim.OpLogin), 1)
	atMost(t, "refreshes", len(refreshes), t.lives+2)
	t.none("calls that were refused", made.refused())
	t.exactly("failed calls that a binding saw", seen, 0)
	t.none("bindings that left Ready", t.bindings.leftReady())
}

// playLockout has many bindings wait for a connection whose password is wrong, and asks for a look at each.
func playLockout(t *trial) {
	t.Create(t, t.Secret(sandbox.CredentialsName, delossim.Account{Login: sandbox.Account.Login, Password: "incorrect"}))
	t.bind(t.waiting)
	t.connect(longInterval, wide)
	t.awaitBindings(fmt.Sprintf("%d bindings say that they wait", t.waiting), t.waiting, metav1.ConditionFalse, v1alpha1.ReasonConnectionNotReady)
	look := sandbox.MergePatch(`{"metadata":{"annotations":{%q:"now"}}}`, v1alpha1.RequestedAtAnnotation)
	t.each(0, t.created, func(ctx context.Context, i int) error { return t.Kube.Patch(ctx, t.binding(i), look) })
	sandbox.Pause(t, insisting)
	t.exactly("logins with the wrong password", t.Platform.Count(delossim.OpLogin), 1)
	t.exactly("calls at all", t.Platform.Count(delossim.OpAny), 1)

	sandbox.Must(t, t.Kube.Update(t.Context(), t.Secret(sandbox.CredentialsName, sandbox.Account)))
	t.awaitReady("all Ready once the Secret is corrected")
	t.exactly("logins, with the right password too", t.Platform.Count(delossim.OpLogin), 2)
}

// playRotation gives the Secret another account while every binding is checked each second. At the end the
// platform ends all sessions and knows the former password no more: only the new account gets the operator on.
func playRotation(t *trial) {
	t.connect(time.Second, wide)
	t.bind(t.checked)
	t.awaitBound()
	sandbox.Pause(t, around)

	successor := delossim.Account{Login: "operator-2@example.com", Password: "staple-battery-horse"}
	t.Platform.AddAccount(successor)
	changed := time.Now()
	secret := t.Secret(sandbox.CredentialsName, successor)
	sandbox.Must(t, t.Kube.Update(t.Context(), secret))
	const what = "the new Secret is in use"
	took := t.await(what, rotateLimit, func() string {
		// As it is now: the operator's finalizer may have been put back since it was written.
		sandbox.Must(t, t.Kube.Get(t.Context(), client.ObjectKeyFromObject(secret), secret))
		if t.connected().Status.CredentialsVersion != string(secret.UID)+"/"+secret.ResourceVersion {
			return "the former one is"
		}
		return ""
	})
	t.check(true, what+" after", seconds(took), "at most "+seconds(rotateLimit))
	sandbox.Pause(t, around)
	made := t.work().after(changed)
	t.measured("calls after the change", len(made))
	t.exactly("logins", t.Platform.Count(delossim.OpLogin), 2)
	t.none("calls that were refused", made.refused())

	t.Platform.SetPassword(sandbox.Account.Login, "another")
	t.Platform.RevokeSessions()
	sandbox.Pause(t, around)
	t.exactly("logins, once all sessions were revoked", t.Platform.Count(delossim.OpLogin), 3)
	t.exactly("failed calls that a binding saw", t.failuresSeen(), 0)
	t.none("bindings that left Ready", t.bindings.leftReady())
}
