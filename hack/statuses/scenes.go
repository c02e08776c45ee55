package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	// stallAfter is long enough to see a failure before the object is Stalled.
	stallAfter = 15 * time.Second
	// patience is the time until a state has to be reached.
	patience = time.Minute
)

// scene is a state of an object, and the file for its record. Without a file it is only awaited.
type scene struct {
	file, kind, name string
	// reason of Ready, and the other condition, if any.
	reason, besides string
	// held is the number of held revocations in the status of an APIConnection.
	held int64
	// outdated: the record is about an earlier generation.
	outdated bool
}

// unseen are objects that no operator has looked at, or not since they were last edited.
func (s *stage) unseen() {
	s.Create(s, s.binding("john-owns-cust-789xyz", works, "user_abc123def", "cust_789xyz", true))
	s.record(
		scene{file: "new", kind: "ClientBinding", name: "john-owns-cust-789xyz"},
		scene{file: "new", kind: "APIConnection", name: works})
}

// first are the states of new objects.
func (s *stage) first() {
	sandbox.Must(s, s.Operator.Start(s.Context(), "--stall-after="+stallAfter.String()))
	suspended := s.binding("maria-uses-cust-789xyz", works, "user_ghi456jkl", "cust_789xyz", false)
	suspended.Spec.Suspend = ptr.To(true)
	lasting := s.binding("contractor-uses-cust-456uvw", works, "user_abc123def", "cust_456uvw", false)
	lasting.Spec.ExpiresAt = &metav1.Time{Time: time.Now().Add(20 * time.Second).UTC().Truncate(time.Second)}
	s.Create(s,
		s.binding("nobody-uses-cust-789xyz", works, "user_does_not_exist", "cust_789xyz", false),
		s.binding("confirming", dawdles, "user_abc123def", "cust_789xyz", true),
		s.binding("api-unavailable", blind, "user_abc123def", "cust_789xyz", true),
		s.binding("rate-limited", forbids, "user_abc123def", "cust_789xyz", true),
		s.binding("connection-not-ready", down, "user_abc123def", "cust_789xyz", true),
		s.binding("leaving-slowly", dawdles, "user_ghi456jkl", "cust_related", true),
		s.binding("leaving-never", keeps, "user_ghi456jkl", "cust_related", true),
		s.binding("leaving-late", brakes, "user_ghi456jkl", "cust_related", true),
		suspended, lasting,
	)
	s.record(
		scene{file: "api_unavailable", kind: "ClientBinding", name: "api-unavailable", reason: v1alpha1.ReasonAPIUnavailable, besides: v1alpha1.ConditionReconciling},
		scene{file: "user_not_found", kind: "ClientBinding", name: "nobody-uses-cust-789xyz", reason: v1alpha1.ReasonUserNotFound, besides: v1alpha1.ConditionReconciling},
		scene{file: "confirming", kind: "ClientBinding", name: "confirming", reason: v1alpha1.ReasonConfirming, besides: v1alpha1.ConditionReconciling},
		scene{file: "rate_limited", kind: "ClientBinding", name: "rate-limited", reason: v1alpha1.ReasonRateLimited, besides: v1alpha1.ConditionReconciling},
		scene{file: "connection_not_ready", kind: "ClientBinding", name: "connection-not-ready", reason: v1alpha1.ReasonConnectionNotReady, besides: v1alpha1.ConditionReconciling},
		scene{file: "api_unavailable", kind: "APIConnection", name: down, reason: v1alpha1.ReasonAPIUnavailable, besides: v1alpha1.ConditionReconciling},
		scene{file: "logged_in", kind: "APIConnection", name: works, reason: v1alpha1.ReasonLoggedIn},
		scene{file: "secret_not_found", kind: "APIConnection", name: noSecret, reason: v1alpha1.ReasonSecretNotFound, besides: v1alpha1.ConditionStalled},
		scene{file: "login_refused", kind: "APIConnection", name: refuses, reason: v1alpha1.ReasonLoginRefused, besides: v1alpha1.ConditionStalled},
		scene{file: "bound", kind: "ClientBinding", name: "john-owns-cust-789xyz", reason: v1alpha1.ReasonBound},
		scene{kind: "ClientBinding", name: "leaving-slowly", reason: v1alpha1.ReasonBound},
		scene{kind: "ClientBinding", name: "leaving-never", reason: v1alpha1.ReasonBound},
		scene{kind: "ClientBinding", name: "leaving-late", reason: v1alpha1.ReasonBound},
		scene{file: "suspended", kind: "ClientBinding", name: "maria-uses-cust-789xyz", reason: v1alpha1.ReasonSuspended},
	)
	s.Create(s, s.binding("john-owns-cust-789xyz-too", works, "user_abc123def", "cust_789xyz", true))
	s.record(
		scene{file: "conflict", kind: "ClientBinding", name: "john-owns-cust-789xyz-too", reason: v1alpha1.ReasonConflict, besides: v1alpha1.ConditionStalled},
		scene{file: "user_not_found_stalled", kind: "ClientBinding", name: "nobody-uses-cust-789xyz", reason: v1alpha1.ReasonUserNotFound, besides: v1alpha1.ConditionStalled},
		scene{file: "expired", kind: "ClientBinding", name: "contractor-uses-cust-456uvw", reason: v1alpha1.ReasonExpired},
		scene{file: "api_unavailable_stalled", kind: "APIConnection", name: down, reason: v1alpha1.ReasonAPIUnavailable, besides: v1alpha1.ConditionStalled},
	)
}

// edited are objects whose status is about an earlier generation, and their next states.
func (s *stage) edited() {
	sandbox.Must(s, s.Operator.Stop())
	s.Patch(s, s.binding("john-owns-cust-789xyz", "", "", "", false), `{"spec":{"suspend":true}}`)
	s.Patch(s, s.Connection(works, "", ""), `{"spec":{"interval":"30m"}}`)
	s.record(
		scene{file: "edited", kind: "ClientBinding", name: "john-owns-cust-789xyz", reason: v1alpha1.ReasonBound, outdated: true},
		scene{file: "edited", kind: "APIConnection", name: works, reason: v1alpha1.ReasonLoggedIn, outdated: true},
	)
	sandbox.Must(s, s.Operator.Start(s.Context(), "--stall-after="+stallAfter.String()))
	s.record(scene{file: "suspended_bound", kind: "ClientBinding", name: "john-owns-cust-789xyz", reason: v1alpha1.ReasonBound})
}

// leaving are objects that are being deleted.
func (s *stage) leaving() {
	for _, name := range []string{"leaving-slowly", "leaving-never", "leaving-late"} {
		s.Delete(s, s.binding(name, "", "", "", false))
	}
	s.record(
		scene{file: "revoking", kind: "ClientBinding", name: "leaving-slowly", reason: v1alpha1.ReasonRevoking, besides: v1alpha1.ConditionReconciling},
		scene{file: "revocation_blocked", kind: "ClientBinding", name: "leaving-never", reason: v1alpha1.ReasonRevocationBlocked, besides: v1alpha1.ConditionReconciling},
		scene{file: "revocation_held", kind: "ClientBinding", name: "leaving-late", reason: v1alpha1.ReasonRevocationHeld, besides: v1alpha1.ConditionReconciling},
		scene{file: "revocations_held", kind: "APIConnection", name: brakes, reason: v1alpha1.ReasonLoggedIn, held: 1},
		scene{file: "revocation_blocked_stalled", kind: "ClientBinding", name: "leaving-never", reason: v1alpha1.ReasonRevocationBlocked, besides: v1alpha1.ConditionStalled},
	)
	s.Delete(s, s.Connection(brakes, "", ""))
	s.record(scene{file: "in_use", kind: "APIConnection", name: brakes, reason: v1alpha1.ReasonLoggedIn, held: 1})
}

// dry are objects that a dry run has looked at.
func (s *stage) dry() {
	sandbox.Must(s, s.Operator.Stop())
	s.Create(s,
		s.binding("john-uses-cust-related", works, "user_abc123def", "cust_related", false),
		s.binding("maria-owns-cust-related", works, "user_ghi456jkl", "cust_related", true),
	)
	sandbox.Must(s, s.Operator.Start(s.Context(), "--dry-run"))
	s.record(
		scene{file: "dry_run", kind: "ClientBinding", name: "john-uses-cust-related", reason: v1alpha1.ReasonDryRun},
		scene{file: "unclaimed", kind: "ClientBinding", name: "maria-owns-cust-related", reason: v1alpha1.ReasonUnclaimed})
}

// record waits for each state and writes it where the tests of its kind look for it.
func (s *stage) record(scenes ...scene) {
	for _, scene := range scenes {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(scene.kind))
		sandbox.Within(s, patience, func() string {
			sandbox.Must(s, s.Kube.Get(s.Context(), client.ObjectKey{Namespace: s.Namespace, Name: scene.name}, object))
			if seen, err := scene.isSeen(object); err != nil || !seen {
				return fmt.Sprintf("%s of %s %s is not seen (%v); it has %v", scene.file, scene.kind, scene.name, err, object.Object["status"])
			}
			return ""
		})
		if scene.file == "" {
			continue
		}
		object.SetManagedFields(nil) // managed fields are of no use there
		text, err := yaml.Marshal(object.Object)
		sandbox.Must(s, err)
		path := filepath.Join("config", "argocd", v1alpha1.GroupVersion.Group, scene.kind, "testdata", scene.file+".yaml")
		sandbox.Must(s, os.MkdirAll(filepath.Dir(path), 0o755))
		sandbox.Must(s, os.WriteFile(path, text, 0o644))
		fmt.Println(path)
	}
}

// isSeen reports whether an object is in the state of the scene.
func (s scene) isSeen(object *unstructured.Unstructured) (bool, error) {
	var status struct {
		Status struct {
			Conditions      []metav1.Condition `json:"conditions"`
			RevocationsHeld int64              `json:"revocationsHeld"`
		} `json:"status"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &status); err != nil {
		return false, err
	}
	conditions := status.Status.Conditions
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	if s.reason == "" || ready == nil {
		return s.reason == "" && ready == nil, nil
	}
	besides := ""
	for _, condition := range []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
		if meta.IsStatusConditionTrue(conditions, condition) {
			besides = condition
		}
	}
	return (ready.ObservedGeneration != object.GetGeneration()) == s.outdated && ready.Reason == s.reason && besides == s.besides &&
		status.Status.RevocationsHeld >= s.held, nil
}
