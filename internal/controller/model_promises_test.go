package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/yaml"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// violation is what ends a walk: a promise that was broken, or a test that cannot go on.
type violation string

// violated ends the walk.
func (w *walk) violated(about client.Object, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if about != nil {
		about = about.DeepCopyObject().(client.Object)
		about.SetManagedFields(nil)
		object, err := yaml.Marshal(about)
		text += fmt.Sprintf("\n%s%v", object, err)
	}
	panic(violation(text))
}

// must ends the walk when the test itself fails.
func (w *walk) must(err error) {
	if err != nil {
		panic(violation("the test itself: " + err.Error()))
	}
}

// stopIfBroken passes on what another goroutine found.
func (w *walk) stopIfBroken() {
	if w.broken != nil {
		panic(*w.broken)
	}
}

// lateCall is a call that is under way, and for which its sender no longer waits.
type lateCall struct {
	request  *http.Request
	body     []byte
	deadline time.Time
	user     string
	makes    v1alpha1.Access
	// by is the binding on whose record it is.
	by types.UID
}

// ServeHTTP stands before the platform. Calls may be lost or late here, and those of the dead reach nobody.
func (w *walk) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	var answer *httptest.ResponseRecorder
	func() {
		w.serving.Lock()
		defer w.serving.Unlock()
		if err != nil || w.operator == nil || request.UserAgent() != w.operator.name {
			return
		}
		defer func() {
			if what, is := recover().(violation); is {
				w.broken = &what
			}
		}()
		o := w.operator
		at := apiRead
		var call lateCall
		if request.Method == http.MethodPut || request.Method == http.MethodDelete {
			at, call = apiWrite, w.callOf(request, body)
		}
		switch o.reach(at) {
		case isLost:
			w.log("    %s %s: lost", request.Method, w.path(request))
			return
		case isLate:
			w.log("    %s %s: late", request.Method, w.path(request))
			w.late = append(w.late, &call)
			return
		}
		answer = w.serve(request, body)
		if o.reach(apiAnswered) == isLost {
			w.log("    the answer was lost")
			answer = nil
		}
	}()
	if answer == nil {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(writer.Header(), answer.Header())
	writer.WriteHeader(answer.Code)
	_, _ = writer.Write(answer.Body.Bytes()) // The client has gone.
}

// serve has the platform serve a call, and returns its answer; nil when it gives none.
func (w *walk) serve(request *http.Request, body []byte) (answer *httptest.ResponseRecorder) {
	w.calls++
	before := w.related(userIn(request))
	answer = httptest.NewRecorder()
	request.Body = io.NopCloser(bytes.NewReader(body))
	func() {
		defer func() {
			what := recover()
			if err, isError := what.(error); isError && errors.Is(err, http.ErrAbortHandler) {
				answer = nil
			} else if what != nil {
				panic(what)
			}
		}()
		w.platform.ServeHTTP(answer, request)
	}()
	status := "no answer"
	if answer != nil {
		status = fmt.Sprint(answer.Code)
	}
	user := userIn(request)
	w.log("    %s %s: %s; %s", request.Method, w.path(request), status, w.related(user))
	w.owed[user] = w.owed[user] || before == v1alpha1.AccessNone // noteTruth knows whether there is any now.
	w.noteTruth(user)
	return answer
}

// path is that of a call, without what no two walks share: a refresh token.
func (w *walk) path(request *http.Request) string {
	path, _, _ := strings.Cut(strings.TrimPrefix(request.URL.Path, "/v2/"), "/refresh/")
	return path
}

// userIn is whom a call is about; empty when it is about none.
func userIn(request *http.Request) string {
	for _, user := range []string{john, maria} {
		if strings.Contains(request.URL.Path, user) {
			return user
		}
	}
	return ""
}

// callOf is a call that changes a relation. It has its record, and is sent only by a process that leads.
func (w *walk) callOf(request *http.Request, body []byte) lateCall {
	now := w.clock.Now()
	call := lateCall{
		request: request.Clone(context.WithoutCancel(request.Context())), body: body, deadline: now.Add(arrivesWithin),
		user: userIn(request), makes: v1alpha1.AccessNone,
	}
	switch {
	case request.Method == http.MethodPut && bytes.Contains(body, []byte(`"isOwner":true`)):
		call.makes = v1alpha1.AccessOwner
	case request.Method == http.MethodPut:
		call.makes = v1alpha1.AccessStandard
	}
	if !w.operator.leads {
		w.violated(nil, "a call is sent without the lease: %s for %s", call.makes, call.user)
	}
	for _, binding := range w.live.bindings {
		if binding.Spec.UserUUID == call.user && slices.ContainsFunc(callsOn(binding), func(recorded v1alpha1.Call) bool {
			return recorded.Access == call.makes && recorded.AcceptedTime == nil && recorded.SentTime.Equal(&metav1.Time{Time: now.Truncate(time.Second)})
		}) {
			call.by = binding.UID
		}
	}
	if call.by == "" {
		w.violated(nil, "a call is sent without its record: %s for %s", call.makes, call.user)
	}
	return call
}

func callsOn(binding *v1alpha1.ClientBinding) []v1alpha1.Call {
	if binding == nil || binding.Status.Claim == nil {
		return nil
	}
	return binding.Status.Claim.InFlight
}

// deliver lets a late call arrive. Where it changes what is declared, no binding is Bound.
func (w *walk) deliver(call *lateCall) {
	w.late = slices.DeleteFunc(w.late, func(other *lateCall) bool { return other == call })
	w.log("a late call arrives: %s for %s", call.makes, call.user)
	before := w.access(call.user)
	w.serve(call.request, call.body)
	for _, binding := range w.live.bindings {
		ready := readyOf(binding)
		bound := ready != nil && ready.Reason == v1alpha1.ReasonBound && ready.ObservedGeneration == binding.Generation && binding.Status.LastConfirmedTime != nil
		if bound && w.living(binding) && binding.Spec.UserUUID == call.user && declaredBy(binding) == before && w.access(call.user) != before {
			w.violated(binding, "Bound, while a call was under way that makes the access %s", w.access(call.user))
		}
	}
}

// related is what the platform keeps of a user's access, and access what the user has: one who is deleted has none.
func (w *walk) related(user string) v1alpha1.Access {
	isOwner, related := w.platform.Relations(user)[acme]
	switch {
	case !related:
		return v1alpha1.AccessNone
	case isOwner:
		return v1alpha1.AccessOwner
	default:
		return v1alpha1.AccessStandard
	}
}

func (w *walk) access(user string) v1alpha1.Access {
	if known, _ := w.platform.User(user); known.IsDeleted {
		return v1alpha1.AccessNone
	}
	return w.related(user)
}

// noteTruth checks that a binding answers for all access that the operator gave or adopted.
func (w *walk) noteTruth(user string) {
	if w.related(user) == v1alpha1.AccessNone {
		w.owed[user] = false
	}
	if w.owed[user] && !w.answered(user, "") {
		w.violated(nil, "%s has %s access, for which no binding answers", user, w.related(user))
	}
}

// answered reports whether another binding than one answers for the access of a user.
func (w *walk) answered(user string, but types.UID) bool {
	return slices.ContainsFunc(w.live.bindings, func(other *v1alpha1.ClientBinding) bool {
		return other.Spec.UserUUID == user && other.UID != but && other.Status.Claim != nil
	})
}

// living reports whether a binding declares access now.
func (w *walk) living(binding *v1alpha1.ClientBinding) bool {
	return binding.DeletionTimestamp.IsZero() && !expired(binding, w.clock.Now())
}

// checkChanges compares what the API server has with what it had.
func (w *walk) checkChanges(was *snapshot) {
	for _, update := range updates(was.bindings, w.live.bindings) {
		former, _ := update.ObjectOld.(*v1alpha1.ClientBinding)
		binding, _ := update.ObjectNew.(*v1alpha1.ClientBinding)
		if binding != nil {
			if problem := kstatusProblem(binding, binding.Status.Conditions); problem != "" {
				w.violated(binding, "%s", problem)
			}
			w.checkRecords(former, binding)
			w.checkReady(former, binding)
		}
		if former != nil && former.Status.Claim != nil && (binding == nil || binding.Status.Claim == nil) {
			w.checkLetGo(former, binding == nil)
		}
	}
	for _, user := range []string{john, maria} {
		w.noteTruth(user)
	}
}

// undisturbed reports whether the run under way may be expected to know all that is so.
func (w *walk) undisturbed() bool { return w.operator != nil && !w.operator.disturbed }

// checkRecords: a call that gives access is recorded only on a binding that declares it, and may.
func (w *walk) checkRecords(former, binding *v1alpha1.ClientBinding) {
	for _, call := range callsOn(binding) {
		known := slices.ContainsFunc(callsOn(former), func(other v1alpha1.Call) bool {
			return other.Access == call.Access && other.SentTime.Equal(&call.SentTime)
		})
		if known || call.Access == v1alpha1.AccessNone {
			continue
		}
		through := named(w.live.connections, Connections{}.Declared(binding).Name)
		denied := connection.Judge(through, connection.Use{Namespace: w.namespace, CUID: acme, Owner: binding.Spec.IsOwner}) != ""
		if !w.living(binding) || ptr.Deref(binding.Spec.Suspend, false) || declaredBy(binding) != call.Access ||
			!controllerutil.ContainsFinalizer(binding, v1alpha1.RevokeFinalizer) || denied && w.undisturbed() && w.operator.frozen == 0 {
			w.violated(binding, "recorded is a call that makes %s", call.Access)
		}
	}
}

// checkReady: what is newly said to be Ready is so on the platform, unless others changed that since the read.
func (w *walk) checkReady(former, binding *v1alpha1.ClientBinding) {
	ready, seen := readyOf(binding), binding.Status.LastConfirmedTime
	if ready == nil || ready.Status != metav1.ConditionTrue {
		return
	}
	if seen == nil {
		// A correction is under way; if the operator ends in its midst, the next one looks at once.
		if len(callsOn(binding)) == 0 {
			w.violated(binding, "Ready, and never confirmed")
		}
		return
	}
	if former != nil && former.Status.LastConfirmedTime.Equal(seen) && *readyOf(former) == *ready {
		return
	}
	user := binding.Spec.UserUUID
	if binding.Status.Claim != nil && w.related(user) != v1alpha1.AccessNone {
		w.owed[user] = true
	}
	if !w.undisturbed() {
		return
	}
	switch declared := declaredBy(binding); {
	case ready.Reason == v1alpha1.ReasonExpired:
		if w.access(user) != v1alpha1.AccessNone && !slices.ContainsFunc(w.live.bindings, func(other *v1alpha1.ClientBinding) bool {
			return other.UID != binding.UID && other.Spec.UserUUID == user && w.living(other)
		}) {
			w.violated(binding, "Expired, and the access is %s", w.access(user))
		}
	case w.access(user) != declared:
		w.violated(binding, "Ready, and the access is %s", w.access(user))
	}
}

// checkLetGo: a binding that no longer answers for its access has seen it gone, or another one answers for it, or it is
// an orphan. No call of it is under way.
func (w *walk) checkLetGo(former *v1alpha1.ClientBinding, deleted bool) {
	user := former.Spec.UserUUID
	for _, call := range w.late {
		if call.by == former.UID {
			w.violated(former, "let go, while its call is under way that makes %s", call.makes)
		}
	}
	switch {
	case w.answered(user, former.UID):
	case deleted && former.Spec.DeletionPolicy == v1alpha1.DeletionPolicyOrphan:
		w.owed[user] = false
	case w.related(user) != v1alpha1.AccessNone && w.undisturbed():
		w.violated(former, "let go, while the access is %s", w.related(user))
	}
}

// rest ends all that is wrong, lets the operator do its work, and checks that it is then done, and writes nothing more.
func (w *walk) rest() {
	w.log("all is well, and time passes")
	w.calm = true
	w.setRight()
	if w.operator == nil {
		w.start()
	}
	w.operator.frozen, w.operator.armed = 0, nil
	w.pass(restFor)
	for slices.ContainsFunc(w.live.bindings, func(binding *v1alpha1.ClientBinding) bool {
		at := binding.Spec.ExpiresAt
		return at != nil && !w.clock.Now().Before(at.Time) && w.clock.Now().Sub(at.Time) < restFor
	}) {
		w.pass(restFor)
	}
	for _, user := range []string{john, maria} {
		w.checkRelationAtRest(user)
	}
	for _, binding := range w.live.bindings {
		w.checkAtRest(binding)
	}
	w.checkQuiet()
	w.log("all is as declared")
	w.calm = false
}

// setRight makes all that bindings need be there.
func (w *walk) setRight() {
	w.platform.ClearFaults()
	w.platform.Adjust(func(s *delossim.Settings) { s.Lag = 0 })
	for len(w.late) > 0 {
		w.deliver(w.late[0])
	}
	for _, uuid := range []string{john, maria} {
		if _, found := w.platform.User(uuid); !found {
			w.platform.AddUser(delossim.User{UUID: uuid})
		}
		w.platform.RestoreUser(uuid)
	}
	// A login that was refused, and a binding over which others fight with the operator, need a person who asks.
	now := w.clock.Now().Format(time.RFC3339Nano)
	for _, found := range w.live.connections {
		connection := found.DeepCopy()
		w.change(connection, func() {
			connection.Spec.Allowed = nil
			metav1.SetMetaDataAnnotation(&connection.ObjectMeta, v1alpha1.RequestedAtAnnotation, now)
		})
	}
	for _, found := range w.live.bindings {
		if binding := found.DeepCopy(); binding.Status.Contest != nil {
			w.change(binding, func() { metav1.SetMetaDataAnnotation(&binding.ObjectMeta, v1alpha1.RequestedAtAnnotation, now) })
		}
	}
}

// holder is the binding that holds the relation of a user at rest; nil when there is none.
func (w *walk) holder(user string) (holder *v1alpha1.ClientBinding) {
	for _, binding := range w.live.bindings {
		onlyLooks := ptr.Deref(binding.Spec.Suspend, false) && binding.Status.Claim == nil
		if binding.Spec.UserUUID == user && w.living(binding) && !onlyLooks && (holder == nil || compareAge(binding, holder) < 0) {
			holder = binding
		}
	}
	return holder
}

// checkRelationAtRest: all that is declared is given, and nothing else that the operator has to answer for.
func (w *walk) checkRelationAtRest(user string) {
	switch holder := w.holder(user); {
	case holder == nil && w.owed[user]:
		w.violated(nil, "%s still has %s access", user, w.related(user))
	case holder != nil && !ptr.Deref(holder.Spec.Suspend, false) && w.related(user) != declaredBy(holder):
		w.violated(holder, "%s has %s access", user, w.related(user))
	}
}

// checkAtRest: each binding says what it has come to.
func (w *walk) checkAtRest(binding *v1alpha1.ClientBinding) {
	is, holder, ready := w.related(binding.Spec.UserUUID), w.holder(binding.Spec.UserUUID), ptr.Deref(readyOf(binding), metav1.Condition{})
	want := v1alpha1.ReasonSuspended // checkRelationAtRest lets only suspended ones be otherwise than declared.
	switch {
	case !binding.DeletionTimestamp.IsZero():
		want = "" // It is gone, unless access is there that nobody declares and that it may not have given.
		if binding.Status.Claim == nil && holder == nil && is != v1alpha1.AccessNone {
			want = v1alpha1.ReasonRevocationBlocked
		}
	case expired(binding, w.clock.Now()):
		want = v1alpha1.ReasonExpired
		undeclared := holder == nil && is != v1alpha1.AccessNone
		stalled := meta.IsStatusConditionTrue(binding.Status.Conditions, v1alpha1.ConditionStalled)
		// Access that others give after it was seen gone is not looked for.
		if stalled && !undeclared || !stalled && undeclared && binding.Status.Access != v1alpha1.AccessNone {
			w.violated(binding, "expired, and the access is %s", is)
		}
	case holder != nil && holder != binding && compareAge(holder, binding) < 0:
		want = v1alpha1.ReasonConflict
	case is == declaredBy(binding) && binding.Status.Claim == nil:
		want = v1alpha1.ReasonUnclaimed
	case is == declaredBy(binding):
		want = v1alpha1.ReasonBound
	}
	if ready.Reason != want || ready.ObservedGeneration != binding.Generation && want != v1alpha1.ReasonRevocationBlocked {
		w.violated(binding, "at rest with the reason %q, want %q; the access is %s", ready.Reason, want, is)
	}
	if seen := binding.Status.LastConfirmedTime; want == v1alpha1.ReasonBound && w.clock.Now().Sub(seen.Time) > modelInterval*27/10 {
		w.violated(binding, "not looked at since %s", seen)
	}
}

// checkQuiet: a further look at what did not change writes nothing. The first look may note what only time has changed.
func (w *walk) checkQuiet() {
	before := 0
	for range 2 {
		before = w.writes
		for _, binding := range w.live.bindings {
			w.operator.enqueue(connection.Relation{Host: w.host(), UserUUID: binding.Spec.UserUUID, CUID: acme}, 0)
		}
		for _, connection := range w.live.connections {
			w.operator.enqueue(connectionItem(client.ObjectKeyFromObject(connection)), 0)
			w.operator.enqueue(usageItem(client.ObjectKeyFromObject(connection)), 0)
		}
		w.work()
		w.clock.Advance(time.Second)
	}
	if w.writes != before {
		w.violated(nil, "%d writes to Kubernetes at rest", w.writes-before)
	}
}
