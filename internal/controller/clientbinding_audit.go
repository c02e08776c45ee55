package controller

import (
	"cmp"
	"context"
	"errors"

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

// What came of it. Only what the API answered to this very request counts as accepted or refused: a failing API
// may have done what it was asked.
const (
	auditAccepted = "accepted"
	auditRefused  = "refused"
	auditUnknown  = "unknown"
	auditLeft     = "left"
)

// sendRelate sends the grant or the change, and writes down that it did.
func (r *run) sendRelate(ctx context.Context, before *v1alpha1.Relation) error {
	spec := r.binding.Spec
	requestID, err := r.session.Relate(ctx, spec.UserUUID, spec.CUID, spec.IsOwner)
	action := auditGrant
	switch {
	case before != nil && spec.IsOwner:
		action = auditPromote
	case before != nil:
		action = auditDemote
	}
	r.wrote = r.wrote || err == nil
	r.audit(ctx, auditRecord{action: action, before: before, after: r.declared(), requestID: requestID}, delos.OperationRelate, err)
	return err
}

// sendUnrelate sends the removal, and writes down that it did.
func (r *run) sendUnrelate(ctx context.Context, before *v1alpha1.Relation) error {
	requestID, err := r.session.Unrelate(ctx, r.binding.Spec.UserUUID, r.binding.Spec.CUID)
	r.wrote = r.wrote || err == nil
	r.audit(ctx, auditRecord{action: auditRevoke, before: before, requestID: requestID}, delos.OperationUnrelate, err)
	return err
}

// auditRecord is what one audit line says of a write.
type auditRecord struct {
	action        string
	before, after *v1alpha1.Relation
	outcome       string
	failure       string
	requestID     string
}

// audit writes one line for each write that was sent. A call that failed before, say at the login, was none.
func (r *run) audit(ctx context.Context, record auditRecord, operation delos.Operation, err error) {
	record.outcome = auditAccepted
	var failure *delos.Error
	if errors.As(err, &failure) {
		if failure.Operation != operation || failure.RequestID == "" {
			return
		}
		record.requestID, record.failure, record.outcome = failure.RequestID, failure.Kind.String(), auditUnknown
		if failure.Declined() {
			record.outcome = auditRefused
		}
	}
	r.writeAudit(ctx, record)
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

func auditLevel(relation *v1alpha1.Relation) string {
	switch {
	case relation == nil:
		return "none"
	case relation.IsOwner:
		return "owner"
	default:
		return "standard"
	}
}
