package controller

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// Brake keeps to what connections allow of mass revocation. What it let through is recorded on the connection before
// anything is revoked, so that neither a crash nor a restart lets more through.
type Brake struct {
	// Kube writes to the API server.
	Kube client.Client
	// Events tells people what became of approvals.
	Events events.EventRecorder

	// mu has revocations counted one after the other.
	mu sync.Mutex
	// written are the connections as the brake last wrote them, which the cache may not have learned of yet.
	written map[types.UID]*v1alpha1.APIConnection
}

// Let counts a revocation and lets it through, or returns until when it has to wait: the zero time if only an approval
// helps. The connection may be as the cache has it.
func (b *Brake) Let(ctx context.Context, through *v1alpha1.APIConnection, now metav1.Time) (let bool, until time.Time, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	is := b.latest(through)
	ledger := newLedger(is, now)
	b.take(ctx, ledger)
	let, until = ledger.let()
	return let, until, b.write(ctx, is, ledger.status)
}

// Acknowledge takes an approval that a person has given.
func (b *Brake) Acknowledge(ctx context.Context, on *v1alpha1.APIConnection, now metav1.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	is := b.latest(on)
	ledger := newLedger(is, now)
	b.take(ctx, ledger)
	return b.write(ctx, is, ledger.status)
}

// latest is the newest version that is known of a connection.
func (b *Brake) latest(cached *v1alpha1.APIConnection) *v1alpha1.APIConnection {
	written := b.written[cached.UID]
	if written == nil {
		return cached
	}
	if order, err := resourceversion.CompareResourceVersion(written.ResourceVersion, cached.ResourceVersion); err != nil || order <= 0 {
		delete(b.written, cached.UID)
		return cached
	}
	return written
}

// write records the ledger, and only onto the version of the connection from which it was made.
func (b *Brake) write(ctx context.Context, is *v1alpha1.APIConnection, ledger *v1alpha1.RevocationStatus) error {
	if len(ledger.Recent) == 0 && ledger.Approval == nil {
		ledger = nil
	}
	if equality.Semantic.DeepEqual(is.Status.Revocations, ledger) {
		return nil
	}
	after := is.DeepCopy()
	after.Status.Revocations = ledger
	patch := client.MergeFromWithOptions(is, client.MergeFromWithOptimisticLock{})
	if err := b.Kube.Status().Patch(ctx, after, patch, client.FieldOwner(FieldManager)); err != nil {
		delete(b.written, is.UID)
		return fmt.Errorf("recording a revocation on APIConnection %s: %w", client.ObjectKeyFromObject(is), err)
	}
	if b.written == nil {
		b.written = map[types.UID]*v1alpha1.APIConnection{}
	}
	b.written[is.UID] = after
	return nil
}

// take takes an approval that was not taken yet, and tells what came of it.
func (b *Brake) take(ctx context.Context, ledger *ledger) {
	count, news := ledger.take()
	if !news {
		return
	}
	if count == 0 {
		b.Events.Eventf(ledger.connection, nil, corev1.EventTypeWarning, "ApprovalInvalid", "ApproveRevocations",
			"The annotation %s approves nothing: it must begin with how many revocations are approved, as in 25@%s",
			v1alpha1.ApprovedRevocationsAnnotation, ledger.now.UTC().Format(time.RFC3339))
		return
	}
	b.Events.Eventf(ledger.connection, nil, corev1.EventTypeNormal, "RevocationsApproved", "ApproveRevocations",
		"%d revocations above what spec.revocations allows were approved, for %s", count, ledger.limit.Per.Duration)
	ctrl.LoggerFrom(ctx).Info("revocations were approved", "connection", client.ObjectKeyFromObject(ledger.connection).String(), "count", count)
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
