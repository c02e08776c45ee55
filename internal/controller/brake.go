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

// Brake keeps to what connections allow of mass revocation. What it let through is recorded on the connection before
// anything is revoked, so that neither a crash nor a restart lets more through.
type Brake struct {
	// Writes writes to the connections.
	Writes *Writes
	// Events tells people what became of approvals.
	Events events.EventRecorder
}

// Let counts a revocation and lets it through, or returns until when it has to wait: the zero time if only an approval
// helps. The connection may be as the cache has it.
func (b *Brake) Let(ctx context.Context, through *v1alpha1.APIConnection, now metav1.Time) (let bool, until time.Time, err error) {
	err = b.record(ctx, through, now, func(l *ledger) { let, until = l.let() })
	return let && err == nil, until, err
}

// Acknowledge takes an approval that a person has given.
func (b *Brake) Acknowledge(ctx context.Context, on *v1alpha1.APIConnection, now metav1.Time) error {
	return b.record(ctx, on, now, func(*ledger) {})
}

// record takes an approval that was not taken yet, changes the ledger, writes it, and tells what came of the approval.
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
			"The annotation %s approves nothing: it must begin with how many revocations are approved, as in 25@%s",
			v1alpha1.ApprovedRevocationsAnnotation, now.UTC().Format(time.RFC3339))
	default:
		b.Events.Eventf(is, nil, corev1.EventTypeNormal, "RevocationsApproved", "ApproveRevocations",
			"%d revocations above what spec.revocations allows were approved, for %s", count, is.Spec.Revocations.Per.Duration)
		ctrl.LoggerFrom(ctx).Info("revocations were approved", "connection", client.ObjectKeyFromObject(is).String(), "count", count)
	}
	return nil
}

// ledgerSteps is into how many parts the span of a brake is divided: so exactly it is kept to, on the safe side, and
// so many entries it takes.
const ledgerSteps = 20

// mostEntries is how many entries a ledger has at most, also when its span was made longer.
const mostEntries = 30

// ledger is what a connection's status remembers of revocations, at one time.
type ledger struct {
	connection *v1alpha1.APIConnection
	limit      *v1alpha1.RevocationLimit
	now        metav1.Time
	// status is what is to be remembered.
	status *v1alpha1.RevocationStatus
}

// newLedger reads the ledger of a connection that has a limit, and leaves out what no longer counts.
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

// leaves is when an entry no longer counts: a whole span after the last revocation that it may stand for.
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

// take takes an approval that was not taken yet, and returns how many revocations it approves: none when it cannot be
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
