package controller

import (
	"context"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// Brake enforces spec.revocations of APIConnections. It records on the connection that it lets a revocation through before that
// is made, so that neither a crash nor a restart lets more through.
type Brake struct {
	// Writes writes to the connections.
	Writes *Writes
	// Events records events about approvals.
	Events events.EventRecorder
}

// Let counts a revocation and lets it through, or returns until when it has to wait: the zero time if only an approval
// helps. The connection may come from the cache.
func (b *Brake) Let(ctx context.Context, through *v1alpha1.APIConnection, now metav1.Time) (let bool, until time.Time, err error) {
	err = b.record(ctx, through, now, func(l *ledger) { let, until = l.let() })
	return let && err == nil, until, err
}

// Acknowledge takes an approval that a person has given.
func (b *Brake) Acknowledge(ctx context.Context, on *v1alpha1.APIConnection, now metav1.Time) error {
	return b.record(ctx, on, now, func(*ledger) {})
}

// record takes an approval that was not taken yet, changes the ledger, writes it, and records an event about the approval.
func (b *Brake) record(ctx context.Context, of *v1alpha1.APIConnection, now metav1.Time, change func(*ledger)) error {
	count, news := int32(0), false
	is, err := b.Writes.patchConnection(ctx, of, func(after *v1alpha1.APIConnection) {
		l := newLedger(after, now)
		count, news = l.take()
		change(l)
		after.Status.Revocations = l.status
		if len(l.status.Recent) == 0 && l.status.Approval == nil {
			after.Status.Revocations = nil
		}
	})
	switch {
	case err != nil || !news:
		return err
	case count == 0:
		b.Events.Eventf(is, nil, corev1.EventTypeWarning, "ApprovalInvalid", "ApproveRevocations",
			"The annotation %s approves nothing: it must begin with the number of revocations to approve, as in 25@%s",
			v1alpha1.ApprovedRevocationsAnnotation, now.UTC().Format(time.RFC3339))
	default:
		b.Events.Eventf(is, nil, corev1.EventTypeNormal, "RevocationsApproved", "ApproveRevocations",
			"%d revocations above what spec.revocations allows were approved, for %s", count, is.Spec.Revocations.Per.Duration)
		ctrl.LoggerFrom(ctx).Info("revocations were approved", "connection", client.ObjectKeyFromObject(is).String(), "count", count)
	}
	return nil
}

// ledgerSteps is the number of steps into which the span of a brake is divided. The revocations within a step share an entry, which counts
// for up to a step longer than the span.
const ledgerSteps = 20

// mostEntries bounds the entries of a ledger, also after its span was made longer.
const mostEntries = 30

// ledger is the memory of revocations in a connection's status, at one time.
type ledger struct {
	connection *v1alpha1.APIConnection
	limit      *v1alpha1.RevocationLimit
	now        metav1.Time
	// status is the memory to write.
	status *v1alpha1.RevocationStatus
}

// newLedger reads the ledger of a connection that has a limit, without the entries that no longer count.
func newLedger(of *v1alpha1.APIConnection, now metav1.Time) *ledger {
	l := &ledger{connection: of, limit: of.Spec.Revocations, now: now, status: of.Status.Revocations.DeepCopy()}
	if l.status == nil {
		l.status = &v1alpha1.RevocationStatus{}
	}
	kept := l.status.Recent[:0]
	for _, entry := range l.status.Recent {
		if l.leaves(entry).After(now.Time) {
			kept = append(kept, entry)
		}
	}
	l.status.Recent = kept
	return l
}

func (l *ledger) step() time.Duration { return l.limit.Per.Duration / ledgerSteps }

// leaves is the time from which an entry no longer counts: a whole span after the last revocation that it may contain.
func (l *ledger) leaves(entry v1alpha1.RevocationCount) time.Time {
	return entry.Since.Add(l.step() + l.limit.Per.Duration)
}

// let counts one revocation if there is room for it, or if it was approved; else it returns when there will be room.
func (l *ledger) let() (let bool, until time.Time) {
	counted := int32(0)
	for _, entry := range l.status.Recent {
		counted += entry.Count
	}
	if counted < ptr.Deref(l.limit.Max, 0) {
		l.count()
		return true, time.Time{}
	}
	if approval := l.status.Approval; approval != nil && *approval.Remaining > 0 && l.now.Sub(approval.Time.Time) < l.limit.Per.Duration {
		*approval.Remaining--
		return true, time.Time{}
	}
	if len(l.status.Recent) == 0 {
		return false, time.Time{}
	}
	return false, l.leaves(l.status.Recent[0])
}

func (l *ledger) count() {
	recent := l.status.Recent
	if last := len(recent) - 1; last >= 0 && l.now.Sub(recent[last].Since.Time) < l.step() {
		recent[last].Count++
		return
	}
	recent = append(recent, v1alpha1.RevocationCount{Since: l.now, Count: 1})
	for len(recent) > mostEntries {
		recent[1].Count += recent[0].Count
		recent = recent[1:]
	}
	l.status.Recent = recent
}

// take takes an approval that was not taken yet, and returns the number of revocations that it approves: 0 if it cannot be
// read.
func (l *ledger) take() (count int32, news bool) {
	value := cut(l.connection.Annotations[v1alpha1.ApprovedRevocationsAnnotation], 256)
	if value == "" || l.status.Approval != nil && l.status.Approval.Value == value {
		return 0, false
	}
	number, _, _ := strings.Cut(value, "@")
	approved, err := strconv.ParseUint(number, 10, 20)
	if err != nil {
		approved = 0
	}
	count = int32(approved)
	l.status.Approval = &v1alpha1.RevocationApproval{Value: value, Time: l.now, Remaining: ptr.To(count)}
	return count, true
}
