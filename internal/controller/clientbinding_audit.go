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

// What a write was for, in the audit lines.
const (
	auditGrant   = "grant"
	auditPromote = "promote"
	auditDemote  = "demote"
	auditRevoke  = "revoke"
	auditOrphan  = "orphan"
)

// What is to be sent, and what came of it. Only what the API answered to this very request counts as accepted or
// refused: a failing API may have done what it was asked.
const (
	auditIntended = "intended"
	auditAccepted = "accepted"
	auditRefused  = "refused"
	auditUnknown  = "unknown"
	auditUnsent   = "unsent"
	auditLeft     = "left"
)

// sendRelate sends the grant or the change between its two audit lines.
func (r *run) sendRelate(ctx context.Context, before v1alpha1.Access) error {
	spec, action := r.binding.Spec, auditGrant
	switch {
	case gives(before) && spec.IsOwner:
		action = auditPromote
	case gives(before):
		action = auditDemote
	}
	record := auditRecord{action: action, before: before, after: r.declared()}
	return r.audited(ctx, record, delos.OperationRelate, func(ctx context.Context) error {
		_, err := r.session.Relate(ctx, spec.UserUUID, spec.CUID, spec.IsOwner)
		r.wrote = r.wrote || err == nil
		return err
	})
}

// sendUnrelate sends the removal between its two audit lines.
func (r *run) sendUnrelate(ctx context.Context, before v1alpha1.Access) error {
	return r.audited(ctx, auditRecord{action: auditRevoke, before: before, after: v1alpha1.AccessNone}, delos.OperationUnrelate, func(ctx context.Context) error {
		_, err := r.session.Unrelate(ctx, r.binding.Spec.UserUUID, r.binding.Spec.CUID)
		r.wrote = r.wrote || err == nil
		return err
	})
}

// auditRecord is what one audit line says of a write.
type auditRecord struct {
	action        string
	before, after v1alpha1.Access
	outcome       string
	failure       string
	requestID     string
}

// audited sends a write. One audit line says before it what is to be sent, and another what came of it, with the same
// id: where the second is missing, the operator has died in between.
func (r *run) audited(ctx context.Context, record auditRecord, operation delos.Operation, send func(context.Context) error) error {
	record.requestID, record.outcome = rand.Text(), auditIntended
	r.writeAudit(ctx, record)
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
	r.writeAudit(ctx, record)
	return err
}

// writeAudit writes one audit line. docs/operations.md documents its keys, which are not to change.
func (r *run) writeAudit(ctx context.Context, record auditRecord) {
	binding := r.binding
	host, connection := "", r.connectionName().String()
	if claim := binding.Status.Claim; claim != nil {
		host, connection = claim.Connection.Host, claim.Connection.Namespace+"/"+claim.Connection.Name
	}
	ctrl.LoggerFrom(ctx).Info("audit", "audit", true,
		"action", record.action,
		"outcome", record.outcome,
		"failure", record.failure,
		"binding", binding.Namespace+"/"+binding.Name,
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
	)
}

func auditLevel(access v1alpha1.Access) string {
	return cmp.Or(strings.ToLower(string(access)), "unknown")
}
