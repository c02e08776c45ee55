package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/metrics"
)

// policiesInterval is the time between two checks of the admission policies. The reads of single objects are cheap, and a
// watch would need more rights.
const policiesInterval = time.Minute

// policyPrefix begins the names of the admission policies, and of their bindings, that are shipped in config/policy and
// config/policy-requester.
const policyPrefix = "clientbinding-operator-"

// The policies that are checked. The mutating policy that puts finalizers back is not among them: nothing relies on it.
var (
	validatingPolicies = []string{"connections", "declares-nothing", "finalizers", "grants", "keeps-secrets", "orphans", "requester"}
	mutatingPolicies   = []string{"requester"}
)

// stampPolicies need an API server that serves mutating policies. Where it does not, they cannot be installed.
var stampPolicies = []string{"requester"}

// Policies checks whether the shipped admission policies are enforced. It does not check their expressions, which are settings.
type Policies struct {
	// Reader reads from the API server: the role allows no list and no watch.
	Reader client.Reader

	changed chan event.TypedGenericEvent[struct{}]

	mu    sync.Mutex
	found []metrics.Policy
}

// NewPolicies returns Policies that have not checked yet.
func NewPolicies(reader client.Reader) *Policies {
	return &Policies{Reader: reader, changed: make(chan event.TypedGenericEvent[struct{}], 1)}
}

// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingadmissionpolicies;validatingadmissionpolicybindings,verbs=get,resourceNames=clientbinding-operator-connections;clientbinding-operator-declares-nothing;clientbinding-operator-finalizers;clientbinding-operator-grants;clientbinding-operator-keeps-secrets;clientbinding-operator-orphans;clientbinding-operator-requester
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingadmissionpolicies;mutatingadmissionpolicybindings,verbs=get,resourceNames=clientbinding-operator-requester

// Start checks once in each interval, until the context ends.
func (p *Policies) Start(ctx context.Context) error {
	ticker := time.NewTicker(policiesInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			p.Check(ctx)
		}
	}
}

// NeedLeaderElection reports false: every replica checks, since each serves metrics.
func (*Policies) NeedLeaderElection() bool { return false }

// Check checks once. A change is logged, and wakes the APIConnections. If the API server fails, the next check asks again.
func (p *Policies) Check(ctx context.Context) {
	found, err := p.look(ctx)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "looking for the admission policies")
		return
	}
	p.mu.Lock()
	news := !slices.Equal(p.found, found)
	p.found = found
	p.mu.Unlock()
	if !news {
		return
	}
	if verdict := p.verdict(); verdict.Status != metav1.ConditionTrue {
		ctrl.LoggerFrom(ctx).Info("WARNING: the admission policies are not known to be enforced", "reason", verdict.Reason, "why", verdict.Message)
	} else {
		ctrl.LoggerFrom(ctx).Info("the admission policies are enforced")
	}
	select {
	case p.changed <- event.TypedGenericEvent[struct{}]{}:
	default: // A change that was not handled yet will do.
	}
}

// Found is the result of the last check, for the metrics.
func (p *Policies) Found() []metrics.Policy {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.found)
}

func (p *Policies) look(ctx context.Context) ([]metrics.Policy, error) {
	var found []metrics.Policy
	stamps := true
	for _, name := range mutatingPolicies {
		policy, err := p.mutating(ctx, policyPrefix+name)
		if meta.IsNoMatchError(err) {
			stamps = false
			continue
		}
		if policy, err = unreadable(policy, err); err != nil {
			return nil, err
		}
		policy.Kind, policy.Name = "MutatingAdmissionPolicy", policyPrefix+name
		found = append(found, policy)
	}
	for _, name := range validatingPolicies {
		if !stamps && slices.Contains(stampPolicies, name) {
			continue
		}
		policy, err := p.validating(ctx, policyPrefix+name)
		if policy, err = unreadable(policy, err); err != nil {
			return nil, err
		}
		policy.Kind, policy.Name = "ValidatingAdmissionPolicy", policyPrefix+name
		found = append(found, policy)
	}
	return found, nil
}

// unreadable turns an error that tells the state of a policy into that state.
func unreadable(found metrics.Policy, err error) (metrics.Policy, error) {
	switch {
	case err == nil:
		return found, nil
	case apierrors.IsForbidden(err):
		return metrics.Policy{State: v1alpha1.ReasonPoliciesUnreadable, Problem: "cannot be read: " + err.Error()}, nil
	case apierrors.IsNotFound(err):
		var status apierrors.APIStatus
		what := "it"
		if errors.As(err, &status) && status.Status().Details != nil && strings.HasSuffix(status.Status().Details.Kind, "policybindings") {
			what = "its binding"
		}
		return metrics.Policy{State: v1alpha1.ReasonPoliciesNotEnforced, Problem: what + " is missing"}, nil
	case meta.IsNoMatchError(err):
		return metrics.Policy{State: v1alpha1.ReasonPoliciesNotEnforced, Problem: "the API server does not serve its kind"}, nil
	default:
		return found, err
	}
}

func (p *Policies) validating(ctx context.Context, name string) (metrics.Policy, error) {
	policy, binding := &admissionv1.ValidatingAdmissionPolicy{}, &admissionv1.ValidatingAdmissionPolicyBinding{}
	if err := p.both(ctx, name, policy, binding); err != nil {
		return metrics.Policy{}, err
	}
	switch {
	case ptr.Deref(policy.Spec.FailurePolicy, admissionv1.Fail) != admissionv1.Fail:
		return weak("its failurePolicy is not Fail")
	case narrowed(policy.Spec.MatchConstraints, false):
		return weak("its matchConstraints leave out objects")
	case binding.Spec.PolicyName != name:
		return weak("its binding is for another policy")
	case !slices.Contains(binding.Spec.ValidationActions, admissionv1.Deny):
		return weak("its binding does not deny")
	case narrowed(binding.Spec.MatchResources, true) || binding.Spec.ParamRef != nil:
		return weak("its binding leaves out objects")
	}
	return metrics.Policy{State: v1alpha1.ReasonPoliciesEnforced}, nil
}

func (p *Policies) mutating(ctx context.Context, name string) (metrics.Policy, error) {
	policy, binding := &admissionv1.MutatingAdmissionPolicy{}, &admissionv1.MutatingAdmissionPolicyBinding{}
	if err := p.both(ctx, name, policy, binding); err != nil {
		return metrics.Policy{}, err
	}
	switch {
	case ptr.Deref(policy.Spec.FailurePolicy, admissionv1.Fail) != admissionv1.Fail:
		return weak("its failurePolicy is not Fail")
	case narrowed(policy.Spec.MatchConstraints, false):
		return weak("its matchConstraints leave out objects")
	case binding.Spec.PolicyName != name:
		return weak("its binding is for another policy")
	case narrowed(binding.Spec.MatchResources, true) || binding.Spec.ParamRef != nil:
		return weak("its binding leaves out objects")
	}
	return metrics.Policy{State: v1alpha1.ReasonPoliciesEnforced}, nil
}

func (p *Policies) both(ctx context.Context, name string, objects ...client.Object) error {
	for _, object := range objects {
		if err := p.Reader.Get(ctx, client.ObjectKey{Name: name}, object); err != nil {
			return err
		}
	}
	return nil
}

func weak(problem string) (metrics.Policy, error) {
	return metrics.Policy{State: v1alpha1.ReasonPoliciesNotEnforced, Problem: problem}, nil
}

// narrowed reports whether a policy or its binding leaves out objects. A policy needs rules, and a binding must have none.
func narrowed(match *admissionv1.MatchResources, byRules bool) bool {
	if match == nil {
		return false
	}
	selects := func(selector *metav1.LabelSelector) bool {
		return selector != nil && len(selector.MatchLabels)+len(selector.MatchExpressions) > 0
	}
	return selects(match.NamespaceSelector) || selects(match.ObjectSelector) || len(match.ExcludeResourceRules) > 0 ||
		byRules && len(match.ResourceRules) > 0
}

// verdict is the result of the last check as a condition: the worst state of a policy. Its type is empty before the first
// check.
func (p *Policies) verdict() metav1.Condition {
	found := p.Found()
	if len(found) == 0 {
		return metav1.Condition{}
	}
	verdict := metav1.Condition{Type: v1alpha1.ConditionPoliciesEnforced, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonPoliciesEnforced,
		Message: "The shipped admission policies are installed and enforced"}
	var problems []string
	for _, policy := range found {
		switch {
		case policy.State == v1alpha1.ReasonPoliciesNotEnforced:
			verdict.Status, verdict.Reason = metav1.ConditionFalse, policy.State
		case policy.State == v1alpha1.ReasonPoliciesUnreadable && verdict.Status == metav1.ConditionTrue:
			verdict.Status, verdict.Reason = metav1.ConditionUnknown, policy.State
		}
		if policy.Problem != "" {
			problems = append(problems, fmt.Sprintf("%s %s: %s", policy.Kind, policy.Name, policy.Problem))
		}
	}
	switch verdict.Status {
	case metav1.ConditionFalse:
		verdict.Message = "Access may be given by people who lack the verb grant: apply config/policy and config/policy-requester as they are shipped. " + strings.Join(problems, "; ")
	case metav1.ConditionUnknown:
		verdict.Message = "The operator may not read the admission policies, and does not know whether they are enforced. " + strings.Join(problems, "; ")
	}
	verdict.Message = cut(verdict.Message, 4096)
	return verdict
}

// tell writes the verdict into the conditions of a connection.
func (p *Policies) tell(connection *v1alpha1.APIConnection, schedule Schedule) {
	if p == nil {
		return
	}
	if verdict := p.verdict(); verdict.Type != "" {
		status := conditioned{conditions: &connection.Status.Conditions, generation: connection.Generation}
		status.set(schedule, verdict.Type, verdict.Status, verdict.Reason, verdict.Message)
	}
}

// everyConnection returns a request for each APIConnection.
func (r *APIConnectionReconciler) everyConnection(ctx context.Context, _ struct{}) []reconcile.Request {
	connections := &v1alpha1.APIConnectionList{}
	if err := r.Kube.List(ctx, connections, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "finding the APIConnections")
		return nil
	}
	requests := make([]reconcile.Request, len(connections.Items))
	for i := range connections.Items {
		requests[i].NamespacedName = client.ObjectKeyFromObject(&connections.Items[i])
	}
	return requests
}
