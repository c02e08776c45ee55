package controller

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"strings"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// The actions in audit lines.
const (
	auditGrant   = "grant"
	auditPromote = "promote"
	auditDemote  = "demote"
	auditRevoke  = "revoke"
	auditOrphan  = "orphan"
	auditRelease = "release"
)

// The outcomes in audit lines. Only an answer of the API to this very call counts as accepted or refused: an API that fails
// may have carried the call out.
const (
	auditIntended = "intended"
	auditAccepted = "accepted"
	auditRefused  = "refused"
	auditUnknown  = "unknown"
	auditUnsent   = "unsent"
	auditLeft     = "left"
)

// sendRelate sends the grant or the change between its two audit lines.
func (r *run) sendRelate(ctx context.Context, m *member, isOwner bool) error {
	action := auditGrant
	switch {
	case gives(m.shown) && isOwner:
		action = auditPromote
	case gives(m.shown):
		action = auditDemote
	}
	record := auditRecord{action: action, before: m.shown, after: declaredBy(m.cached)}
	return r.audited(ctx, m, record, delos.OperationRelate, func(ctx context.Context) error {
		_, err := m.session.Relate(ctx, r.key.UserUUID, r.key.CUID, isOwner)
		return err
	})
}

// sendUnrelate sends the removal between its two audit lines.
func (r *run) sendUnrelate(ctx context.Context, m *member) error {
	record := auditRecord{action: auditRevoke, before: m.shown, after: v1alpha1.AccessNone}
	return r.audited(ctx, m, record, delos.OperationUnrelate, func(ctx context.Context) error {
		_, err := m.session.Unrelate(ctx, r.key.UserUUID, r.key.CUID)
		return err
	})
}

// auditRecord is the part of an audit line that is about a write.
type auditRecord struct {
	action        string
	before, after v1alpha1.Access
	outcome       string
	failure       string
	requestID     string
}

// audited sends a write between two audit lines with the same id: one with the intention, and one with the outcome. If the
// second is missing, the operator has died in between.
func (r *run) audited(ctx context.Context, m *member, record auditRecord, operation delos.Operation, send func(context.Context) error) error {
	record.requestID, record.outcome = rand.Text(), auditIntended
	r.writeAudit(ctx, m, record)
	err := send(delos.WithRequestID(ctx, record.requestID))
	record.outcome = auditAccepted
	var failure *delos.Error
	if errors.As(err, &failure) {
		record.failure = failure.Kind.String()
		switch {
		case failure.Operation != operation || failure.RequestID == "":
			record.outcome = auditUnsent
		case failure.Declined():
			record.outcome = auditRefused
		default:
			record.outcome = auditUnknown
		}
	}
	r.writeAudit(ctx, m, record)
	return err
}

// writeAudit writes one audit line, to the audit file if there is one. A line that the file does not take goes to the log, as an error: no
// access changes without a line, and a full disk keeps no access from being revoked. docs/operations.md documents the keys, which must not
// change.
func (r *run) writeAudit(ctx context.Context, m *member, record auditRecord) {
	binding := m.is()
	host, connection := "", m.name.String()
	if claim := binding.Status.Claim; claim != nil {
		host, connection = claim.Connection.Host, claim.Connection.Namespace+"/"+claim.Connection.Name
	}
	line := []any{
		"audit", true,
		"action", record.action,
		"outcome", record.outcome,
		"failure", record.failure,
		"binding", binding.Namespace + "/" + binding.Name,
		"uid", string(binding.UID),
		"generation", binding.Generation,
		"requestedBy", cut(binding.Annotations[v1alpha1.RequestedByAnnotation], 256),
		"user", binding.Spec.UserUUID,
		"cuid", binding.Spec.CUID,
		"before", auditLevel(record.before),
		"after", auditLevel(record.after),
		"connection", connection,
		"host", host,
		"requestID", cmp.Or(record.requestID, "none"),
	}
	if r.Audit == nil {
		ctrl.LoggerFrom(ctx).Info("audit", line...)
		return
	}
	if err := r.Audit.write(line); err != nil {
		r.Metrics.AuditFailed()
		ctrl.LoggerFrom(ctx).Error(err, "audit", line...)
	}
}

func auditLevel(access v1alpha1.Access) string {
	return cmp.Or(strings.ToLower(string(access)), "unknown")
}
