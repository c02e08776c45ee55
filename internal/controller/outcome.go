package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// outcome is the result of a run for one object, in words. Only status.go turns it into conditions.
type outcome struct {
	// ready is the status of the condition Ready; False when empty.
	ready metav1.ConditionStatus
	// reason is one of the reasons of api/v1alpha1.
	reason string
	// message says what is wrong, and who can do what about it. status.go adds how often the operator tries again.
	message string
	// noRetry: there is nothing to retry. The object is looked at again when it is due.
	noRetry bool
	// final: the object is not looked at again, either.
	final bool
	// stalled: only a person can help, so it is Stalled at once.
	stalled bool
	// unread: the state in the API is not known, rather than known to be wrong.
	unread bool
	// woken: an event wakes the object when the cause is gone, so that it need not try by itself.
	woken bool
	// accepted: the API accepted a write during the run.
	accepted bool
	// hindrance is the reason why a revocation is blocked: the reason of Reconciling or Stalled. Empty else.
	hindrance string
	// silent: the conditions stay as they are. The object is looked at again after the wait.
	silent bool
	// cause is the failure, for the log: it has the request's id.
	cause error
	// wait is the time until the next try; 0 for the growing wait of an object that fails.
	wait time.Duration
}

// failures has the reason, the message and the handling of each kind of failure of the API. A failure has a fixed wait
// only if the API asked for one; else the wait grows with each try.
var failures = map[delos.Kind]struct {
	reason string
	// message may name the user, the client and the connection.
	message func(failureSubject) string
	stalled bool
	unread  bool
	woken   bool
}{
	delos.KindUserNotFound: {
		reason: v1alpha1.ReasonUserNotFound,
		message: func(s failureSubject) string {
			return fmt.Sprintf("The Delos API knows no user %q: create the user there, or create a ClientBinding with the right userUUID and delete this one", s.user)
		},
	},
	delos.KindClientNotFound: {
		reason: v1alpha1.ReasonClientNotFound,
		message: func(s failureSubject) string {
			return fmt.Sprintf("The Delos API knows no client %q: create the client there, or create a ClientBinding with the right cuid and delete this one", s.cuid)
		},
	},
	delos.KindAlreadyRelated: {
		reason: v1alpha1.ReasonUnexpectedAnswer,
		message: func(s failureSubject) string {
			return fmt.Sprintf("The Delos API says that user %q is related to client %q already, but does not show it", s.user, s.cuid)
		},
	},
	delos.KindUnauthorized: {
		reason: v1alpha1.ReasonUnauthorized, unread: true,
		message: func(s failureSubject) string {
			return fmt.Sprintf("The Delos API does not accept the session of APIConnection %s, even after it was renewed", s.connection)
		},
	},
	delos.KindLoginRefused: {
		reason: v1alpha1.ReasonConnectionNotReady, unread: true, woken: true,
		message: func(s failureSubject) string {
			return fmt.Sprintf("Waits for APIConnection %s, whose credentials the Delos API refuses", s.connection)
		},
	},
	delos.KindForbidden: {
		reason: v1alpha1.ReasonForbidden, unread: true,
		message: func(s failureSubject) string {
			return fmt.Sprintf("The account of APIConnection %s may not do this in the Delos API: give it the right, or use another account", s.connection)
		},
	},
	delos.KindInvalid: {
		reason: v1alpha1.ReasonRejected, stalled: true,
		message: func(failureSubject) string { return "The Delos API calls the request invalid" },
	},
	delos.KindRefused: {
		reason: v1alpha1.ReasonRejected, unread: true,
		message: func(failureSubject) string {
			return "The Delos platform refuses this for a reason of its own, which has to be cured there"
		},
	},
	delos.KindAwaitingCode: {
		reason: v1alpha1.ReasonRateLimited, unread: true,
		message: func(s failureSubject) string {
			return fmt.Sprintf("The login of APIConnection %s waits for the account's next one-time code, since each is good for one login", s.connection)
		},
	},
	delos.KindRateLimited: {
		reason: v1alpha1.ReasonRateLimited, unread: true,
		message: func(failureSubject) string { return "The Delos API asks for patience" },
	},
	delos.KindUnavailable: {
		reason: v1alpha1.ReasonAPIUnavailable, unread: true,
		message: func(failureSubject) string { return "The Delos API fails" },
	},
	delos.KindUnreachable: {
		reason: v1alpha1.ReasonAPIUnavailable, unread: true,
		message: func(failureSubject) string { return "The Delos API gave no whole answer" },
	},
	delos.KindTooLarge: {
		reason: v1alpha1.ReasonUnexpectedAnswer, unread: true,
		message: func(s failureSubject) string {
			return fmt.Sprintf("The Delos API shows more of user %q than the operator reads: have the number of the user's clients reduced in the Delos platform", s.user)
		},
	},
	delos.KindUnexpected: {
		reason: v1alpha1.ReasonUnexpectedAnswer, unread: true,
		message: func(s failureSubject) string {
			return fmt.Sprintf("The Delos API gave an answer that it should not give: check the url of APIConnection %s and the proxies before the API", s.connection)
		},
	},
}

// failureSubject is the subject of a failed call.
type failureSubject struct {
	user, cuid string
	// connection and secret are namespace/name.
	connection, secret string
}

// outcomeOf looks an error of the API up in the table.
func outcomeOf(err error, subject failureSubject) outcome {
	var failure *delos.Error
	if !errors.As(err, &failure) {
		failure = &delos.Error{Kind: delos.KindUnexpected}
	}
	row, known := failures[failure.Kind]
	if !known {
		row = failures[delos.KindUnexpected]
	}
	return outcome{
		reason:  row.reason,
		message: messageOf(failure, row.message(subject), subject),
		stalled: row.stalled,
		unread:  row.unread,
		woken:   row.woken,
		wait:    failure.RetryAfter,
		cause:   err,
	}
}

// messageOf puts a failure into words. An id in another case is a mistake in the object more often than in the API.
func messageOf(failure *delos.Error, text string, subject failureSubject) string {
	if failure.OtherCase == "" {
		return text + details(failure) + otherForm(failure, subject)
	}
	field, asked := "cuid", subject.cuid
	if strings.EqualFold(failure.OtherCase, subject.user) {
		field, asked = "userUUID", subject.user
	}
	return fmt.Sprintf("The Delos API shows %q, which differs from the %s %q only in its case: did you mean that one? Then create a ClientBinding with it and delete this one",
		failure.OtherCase, field, asked)
}

// details are the status and the API's own words, unless the table's message says it all.
func details(failure *delos.Error) string {
	switch failure.Kind {
	case delos.KindUserNotFound, delos.KindClientNotFound, delos.KindLoginRefused:
		return ""
	}
	text := ""
	if failure.Status != 0 {
		text += fmt.Sprintf(" (HTTP %d)", failure.Status)
	}
	if failure.Text != "" {
		text += ": " + failure.Text
	}
	return text
}

// otherForms say when to set spec.dialect of an APIConnection, and to what.
var otherForms = map[delos.Form]string{
	delos.FormBearer:         `If the API takes the token behind "Bearer ", set spec.dialect.authorization of APIConnection %s to Bearer`,
	delos.FormBareToken:      `If the API takes the token without "Bearer " before it, set spec.dialect.authorization of APIConnection %s to Token`,
	delos.FormNestedRelation: `If the API takes {"relation": {"cuid": …, "isOwner": …}}, set spec.dialect.relationBody of APIConnection %s to Nested`,
	delos.FormFlatRelation:   `If the API takes {"customerId": …, "isOwner": …}, set spec.dialect.relationBody of APIConnection %s to Flat`,
}

// otherForm names the form of the request that the API may take instead, if the form may be the cause.
func otherForm(failure *delos.Error, subject failureSubject) string {
	hint, suspected := otherForms[failure.OtherForm]
	if !suspected {
		return ""
	}
	return ". " + fmt.Sprintf(hint, subject.connection)
}

// connectionOutcomeOf is the outcome of an APIConnection that cannot be used.
func connectionOutcomeOf(err error, subject failureSubject) outcome {
	var settings *connection.SettingsError
	if errors.As(err, &settings) {
		return outcome{reason: settings.Reason, message: settings.Message, stalled: true}
	}
	if delos.KindOf(err) == delos.KindLoginRefused {
		var failure *delos.Error
		errors.As(err, &failure)
		message := "The Delos API refuses the credentials of Secret " + subject.secret
		if failure.Text != "" {
			message += " (" + failure.Text + ")"
		}
		message += ": correct its keys login and password, or token" + otherForm(failure, subject)
		return outcome{reason: v1alpha1.ReasonLoginRefused, message: message, stalled: true, cause: err}
	}
	return outcomeOf(err, subject)
}

// blocked turns the outcome of a failure into that of a blocked revocation.
func blocked(end outcome) outcome {
	switch end.reason {
	case v1alpha1.ReasonRevoking, v1alpha1.ReasonRevocationBlocked, v1alpha1.ReasonRevocationHeld, v1alpha1.ReasonDryRun:
		return end
	}
	end.hindrance = end.reason
	end.message = "The access could not be removed yet. " + end.message
	end.reason, end.stalled, end.noRetry = v1alpha1.ReasonRevocationBlocked, false, false
	return end
}

// log logs a failure of the API, with details that the conditions leave out.
func (o outcome) log(ctx context.Context) {
	if o.cause != nil {
		ctrl.LoggerFrom(ctx).Info("the Delos API did not do as asked", "reason", o.reason, "error", o.cause.Error())
	}
}

// logChange logs a change of the status or the reason of Ready.
func logChange(ctx context.Context, was, is []metav1.Condition) {
	former, ready := meta.FindStatusCondition(was, v1alpha1.ConditionReady), meta.FindStatusCondition(is, v1alpha1.ConditionReady)
	before := ""
	if former != nil {
		before = former.Reason
	}
	if ready == nil || former != nil && former.Reason == ready.Reason && former.Status == ready.Status {
		return
	}
	ctrl.LoggerFrom(ctx).Info("Ready changed", "ready", ready.Status, "reason", ready.Reason, "before", before, "message", ready.Message)
}
