package controller

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// action is one step of a walk.
type action struct {
	weight int
	do     func(*walk)
}

var actions = []action{
	{20, (*walk).declare},
	{20, (*walk).edited},
	{14, (*walk).withdraw},
	{4, (*walk).ask},
	{2, (*walk).takeFinalizer},
	{10, (*walk).drift},
	{6, (*walk).usersChange},
	{2, (*walk).clientsChange},
	{14, (*walk).fault},
	{6, (*walk).faultsEnd},
	{4, (*walk).lagChanges},
	{4, (*walk).sessionsEnd},
	{5, (*walk).connectionsChange},
	{3, (*walk).credentialsChange},
	{6, (*walk).killOrStart},
	{3, (*walk).approve},
	{6, (*walk).fallBehind},
	{8, (*walk).delayNext},
	{6, (*walk).arrive},
	{40, (*walk).timePasses},
}

// act takes one step.
func (w *walk) act() {
	if len(w.late) > 0 && w.chance(60) {
		w.hurry()
		return
	}
	total := 0
	for _, a := range actions {
		total += a.weight
	}
	drawn := w.rand.IntN(total)
	for _, a := range actions {
		if drawn -= a.weight; drawn < 0 {
			a.do(w)
			return
		}
	}
}

// hurry does something about a relation of which a call is under way, before that arrives.
func (w *walk) hurry() {
	for _, key := range sortedKeys(w.seen.bindings) {
		if keyOf(w.seen.bindings[key]) == w.late[0].about {
			w.favourite = key
		}
	}
	pick(w, []func(*walk){(*walk).withdraw, (*walk).withdraw, (*walk).edited, (*walk).declare, (*walk).timePasses, (*walk).timePasses})(w)
}

// Names for bindings: few, so that what was deleted comes back under its name.
var bindingNames = []string{"one", "two", "three", "four"}

// foreignFinalizer is somebody else's.
const foreignFinalizer = "example.com/kept"

// declare creates a binding.
func (w *walk) declare() {
	key := types.NamespacedName{Namespace: pick(w, w.namespaces[:]), Name: pick(w, bindingNames)}
	relation := w.drawRelation()
	binding := &v1alpha1.ClientBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name},
		Spec:       v1alpha1.ClientBindingSpec{UserUUID: relation.user, CUID: relation.cuid, IsOwner: w.chance(50)},
	}
	spec := &binding.Spec
	if w.chance(25) {
		spec.ExpiresAt = w.drawExpiry()
	}
	if w.chance(15) {
		spec.Suspend = ref(true)
	}
	if w.chance(15) {
		spec.DeletionPolicy = v1alpha1.DeletionPolicyOrphan
	}
	switch w.rand.IntN(20) {
	case 0, 1, 2:
		spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: "second"}
	case 3:
		spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: "default", Namespace: pick(w, w.namespaces[:])}
	}
	if w.chance(10) {
		binding.Finalizers = append(binding.Finalizers, v1alpha1.RevokeFinalizer)
	}
	if w.chance(5) {
		binding.Finalizers = append(binding.Finalizers, foreignFinalizer)
	}
	if w.binding(key) != nil {
		return
	}
	w.create(binding)
	w.favourite = key
	w.log("declare %s: %s", w.short(key), w.describe(binding))
}

// drawRelation draws a relation, more often than not that of the binding that something happened to last.
func (w *walk) drawRelation() relationKey {
	if binding := w.seen.bindings[w.favourite]; binding != nil && w.chance(40) {
		return keyOf(binding)
	}
	return pick(w, w.relationKeys())
}

func (w *walk) drawExpiry() *metav1.Time {
	at := w.clock.Now().Add(pick(w, []time.Duration{-time.Minute, 5 * time.Second, time.Minute, 20 * time.Minute, 2 * time.Hour}))
	return &metav1.Time{Time: at.UTC().Truncate(time.Second)}
}

// describe says what a binding declares.
func (w *walk) describe(binding *v1alpha1.ClientBinding) string {
	spec := binding.Spec
	text := fmt.Sprintf("%s is %s of %s", strings.TrimPrefix(spec.UserUUID, "model-"), levelOf(spec.IsOwner), spec.CUID)
	if spec.ExpiresAt != nil {
		text += spec.ExpiresAt.UTC().Format(" until 02 15:04:05")
	}
	if spec.Suspend != nil && *spec.Suspend {
		text += ", suspended"
	}
	if spec.DeletionPolicy != "" {
		text += ", " + string(spec.DeletionPolicy)
	}
	if spec.ConnectionRef != nil {
		text += ", through " + Connections{}.Declared(binding).Name
	}
	if len(binding.Finalizers) > 0 {
		text += fmt.Sprintf(", finalizers %v", binding.Finalizers)
	}
	return text
}

// drawBinding draws a binding as it is now; nil when there is none. More often than not it is the one that something
// happened to last: what goes wrong mostly takes several things in a row.
func (w *walk) drawBinding() *v1alpha1.ClientBinding {
	keys := sortedKeys(w.seen.bindings)
	if len(keys) == 0 {
		return nil
	}
	if w.seen.bindings[w.favourite] == nil || w.chance(40) {
		w.favourite = pick(w, keys)
	}
	return w.binding(w.favourite)
}

// edited edits a binding.
func (w *walk) edited() {
	binding := w.drawBinding()
	if binding == nil {
		return
	}
	spec := &binding.Spec
	err := w.edit(binding, func() {
		switch w.rand.IntN(10) {
		case 0, 1, 2, 3:
			spec.IsOwner = !spec.IsOwner
		case 4, 5:
			suspended := spec.Suspend != nil && *spec.Suspend
			spec.Suspend = ref(!suspended)
		case 6:
			spec.ExpiresAt = nil
		case 7:
			spec.ExpiresAt = w.drawExpiry()
		default:
			if spec.DeletionPolicy == v1alpha1.DeletionPolicyOrphan {
				spec.DeletionPolicy = v1alpha1.DeletionPolicyRevoke
			} else {
				spec.DeletionPolicy = v1alpha1.DeletionPolicyOrphan
			}
		}
	})
	w.log("edit %s: %s%s", w.shortOf(binding), w.describe(binding), failed(err))
	if !apierrors.IsInvalid(err) { // What has expired cannot be prolonged.
		w.must(err)
	}
}

func (w *walk) shortOf(binding *v1alpha1.ClientBinding) string {
	return w.short(types.NamespacedName{Namespace: binding.Namespace, Name: binding.Name})
}

// withdraw deletes a binding, or lets one go that somebody else's finalizer keeps.
func (w *walk) withdraw() {
	binding := w.drawBinding()
	if binding == nil {
		return
	}
	if binding.DeletionTimestamp.IsZero() {
		w.delete(binding)
		w.log("delete %s", w.shortOf(binding))
		return
	}
	w.releaseForeign(binding)
}

func (w *walk) releaseForeign(binding *v1alpha1.ClientBinding) {
	if !slices.Contains(binding.Finalizers, foreignFinalizer) {
		return
	}
	w.must(w.edit(binding, func() { controllerutil.RemoveFinalizer(binding, foreignFinalizer) }))
	w.log("somebody else lets %s go", w.shortOf(binding))
}

// ask asks for a run of a binding or a connection.
func (w *walk) ask() {
	value := w.clock.Now().UTC().Format(time.RFC3339Nano)
	if w.chance(30) {
		w.askConnection(value)
		return
	}
	if binding := w.drawBinding(); binding != nil {
		w.must(w.edit(binding, func() { metav1.SetMetaDataAnnotation(&binding.ObjectMeta, v1alpha1.RequestedAtAnnotation, value) }))
		w.log("ask for %s", w.shortOf(binding))
	}
}

func (w *walk) askConnection(value string) {
	keys := sortedKeys(w.seen.connections)
	if len(keys) == 0 {
		return
	}
	connection := &v1alpha1.APIConnection{}
	key := pick(w, keys)
	w.must(w.kube.Get(w.t.Context(), key, connection))
	w.must(w.edit(connection, func() { metav1.SetMetaDataAnnotation(&connection.ObjectMeta, v1alpha1.RequestedAtAnnotation, value) }))
	w.log("ask for connection %s", w.short(key))
}

// takeFinalizer takes our finalizer from a binding.
func (w *walk) takeFinalizer() {
	binding := w.drawBinding()
	if binding == nil || !binding.DeletionTimestamp.IsZero() || !controllerutil.ContainsFinalizer(binding, v1alpha1.RevokeFinalizer) {
		return
	}
	w.must(w.edit(binding, func() { controllerutil.RemoveFinalizer(binding, v1alpha1.RevokeFinalizer) }))
	w.log("take the finalizer from %s", w.shortOf(binding))
}

// createCredentials makes the Secret of a namespace.
func (w *walk) createCredentials(namespace string) {
	w.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "delos-credentials"},
		StringData: map[string]string{"login": login, "password": password},
	})
}

// connectionNames are the connections of a namespace: the second has a second one.
func (w *walk) connectionNames(namespace string) []string {
	if namespace == w.namespaces[1] {
		return []string{"default", "second"}
	}
	return []string{"default"}
}

// brakeSpan is how long a revocation counts in a walk.
const brakeSpan = 10 * time.Minute

// interval is that of all connections of a walk.
const interval = 10 * time.Minute

func (w *walk) createConnections(namespace string) {
	for _, name := range w.connectionNames(namespace) {
		w.createConnection(namespace, name, w.host)
	}
}

func (w *walk) createConnection(namespace, name, host string) {
	connection := &v1alpha1.APIConnection{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.APIConnectionSpec{
			URL:         "http://" + host,
			Credentials: v1alpha1.Credentials{SecretRef: v1alpha1.SecretReference{Name: "delos-credentials"}},
			Interval:    duration(interval),
			RateLimit:   &v1alpha1.RateLimit{RequestsPerSecond: 5, Burst: 10},
		},
	}
	if w.chance(50) {
		connection.Spec.Revocations = &v1alpha1.RevocationLimit{Max: ref(int32(2)), Per: duration(brakeSpan)}
	}
	w.create(connection)
}

// nowhere is where no API is.
const nowhere = "127.0.0.1:1"

// connectionsChange takes a connection away, brings it back, or leads it elsewhere.
func (w *walk) connectionsChange() {
	namespace := pick(w, w.namespaces[:])
	name := pick(w, w.connectionNames(namespace))
	connection := &v1alpha1.APIConnection{}
	key := types.NamespacedName{Namespace: namespace, Name: name}
	if w.seen.connections[key] != nil {
		w.must(w.kube.Get(w.t.Context(), key, connection))
		if w.chance(50) {
			w.loseConnection(connection)
			w.log("connection %s is lost", w.short(key))
			return
		}
		w.delete(connection)
		w.log("delete connection %s", w.short(key))
		return
	}
	host := w.host
	if w.chance(30) {
		host = nowhere
	}
	w.createConnection(namespace, name, host)
	w.log("create connection %s to %s", w.short(key), host)
}

// loseConnection takes a connection away although bindings may need it, as somebody does who takes its finalizer away.
func (w *walk) loseConnection(connection *v1alpha1.APIConnection) {
	w.must(w.kube.Get(w.t.Context(), client.ObjectKeyFromObject(connection), connection))
	w.must(w.edit(connection, func() { connection.Finalizers = nil }))
	w.delete(connection)
}

// approve approves revocations that the brake of a connection holds, or will hold.
func (w *walk) approve() {
	keys := sortedKeys(w.seen.connections)
	if len(keys) == 0 {
		return
	}
	connection := &v1alpha1.APIConnection{}
	key := pick(w, keys)
	w.must(w.kube.Get(w.t.Context(), key, connection))
	value := fmt.Sprintf("%d@%s", w.rand.IntN(4), w.clock.Now().UTC().Format(time.RFC3339Nano))
	w.must(w.edit(connection, func() {
		metav1.SetMetaDataAnnotation(&connection.ObjectMeta, v1alpha1.ApprovedRevocationsAnnotation, value)
	}))
	w.log("approve %s on connection %s", value, w.short(key))
}

// credentialsChange makes the password of a namespace wrong, or right again.
func (w *walk) credentialsChange() {
	namespace := pick(w, w.namespaces[:])
	value := pick(w, []string{password, password, "wrong"})
	w.setPassword(namespace, value)
	w.log("the password in %s is now %q", namespace[strings.LastIndex(namespace, "-")+1:], value)
}

func (w *walk) setPassword(namespace, value string) {
	secret := &corev1.Secret{}
	w.must(w.kube.Get(w.t.Context(), types.NamespacedName{Namespace: namespace, Name: "delos-credentials"}, secret))
	w.must(w.edit(secret, func() { secret.Data["password"] = []byte(value) }))
}

// killOrStart kills the operator between two runs, or starts it.
func (w *walk) killOrStart() {
	if w.operator != nil {
		w.operator.end("is killed")
		if w.chance(50) {
			return
		}
	}
	w.start()
}

// fallBehind keeps the operator from learning of changes for a few runs.
func (w *walk) fallBehind() {
	if w.operator == nil {
		return
	}
	w.operator.frozen = 1 + w.rand.IntN(5)
	w.log("the cache falls behind for %d runs", w.operator.frozen)
}

// timePasses lets time pass; an operator that is down may be started again.
func (w *walk) timePasses() {
	spans := []time.Duration{
		500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 15 * time.Second, 40 * time.Second,
		2 * time.Minute, 11 * time.Minute, 35 * time.Minute, 2 * time.Hour,
	}
	if len(w.late) > 0 && w.chance(80) {
		spans = spans[:4] // While a call is under way, so that something can happen before it arrives.
	}
	span := pick(w, spans)
	if w.operator == nil && w.chance(60) {
		w.start()
	}
	w.log("%s pass", span)
	w.pass(span)
}
