package v1alpha1

// Condition types of both kinds, as kstatus reads them
// (https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md).
const (
	// ConditionReady is always present. On a ClientBinding, True means that the declared state
	// was read back from Get user for this generation, not longer ago than three intervals of
	// its connection; an expired object is not read again. On an APIConnection, True means that
	// the credentials can be used.
	ConditionReady = "Ready"
	// ConditionReconciling is present, and True, while the operator works on the object or
	// retries by itself.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is present, and True, when the operator does not expect to get on without
	// the help of a person. It may still retry, slowly.
	ConditionStalled = "Stalled"
	// ConditionPoliciesEnforced is on APIConnections only, and does not tell whether they can be used. It is True when
	// the operator found the shipped admission policies, by their shipped names, in force, and Unknown when it may
	// not read them.
	ConditionPoliciesEnforced = "PoliciesEnforced"
)

// Reasons of the condition PoliciesEnforced.
const (
	// ReasonPoliciesEnforced (True): each policy is there, fails closed, and has a binding that denies. Nobody has to act.
	ReasonPoliciesEnforced = "Enforced"

	// ReasonPoliciesNotEnforced (False): a policy or its binding is missing, does not deny, or leaves out objects; the
	// message names it. Apply config/policy and config/policy-requester.
	ReasonPoliciesNotEnforced = "NotEnforced"

	// ReasonPoliciesUnreadable (Unknown): the operator's role does not allow it to read the policies.
	ReasonPoliciesUnreadable = "PoliciesUnreadable"
)

// Reasons of a ClientBinding's conditions. The list is closed.
const (
	// ReasonBound (Ready=True): Get user shows the declared relation. Nobody has to act.
	ReasonBound = "Bound"

	// ReasonExpired (Ready=True): spec.expiresAt has passed and Get user showed that the access is gone, or that
	// another ClientBinding declares it; the object stays as a record. Nobody has to act. To renew the access,
	// create a new ClientBinding. With Ready=False (Stalled) there is access that this object did not give and that
	// no object declares: remove it in the Delos platform, or declare it.
	ReasonExpired = "Expired"

	// ReasonConfirming (Reconciling, later Stalled): the API accepted the change, but Get user does
	// not show it yet, or a call whose answer nobody saw may still change the relation. The operator reads again; nobody has
	// to act unless it lasts.
	ReasonConfirming = "Confirming"

	// ReasonSuspended (Ready=False): spec.suspend is true and the relation is not as declared. The
	// message says what would be done. Set spec.suspend to false to have it done.
	ReasonSuspended = "Suspended"

	// ReasonUnclaimed (Ready=True): Get user shows the declared relation, but spec.suspend is true, or the operator makes
	// a dry run, and it does not answer for the relation: the deletion of the ClientBinding revokes nothing.
	ReasonUnclaimed = "Unclaimed"

	// ReasonDryRun (Ready=False): the operator makes a dry run (--dry-run), and the relation is not as declared. The
	// message says what would be done.
	ReasonDryRun = "DryRun"

	// ReasonUserNotFound (Reconciling, later Stalled): the API knows no user with spec.userUUID.
	// Create the user there, or replace the ClientBinding by one with the right uuid.
	ReasonUserNotFound = "UserNotFound"

	// ReasonUserDeleted (Stalled): the user is deleted in the API and has no access. Restore the
	// user there, or delete the ClientBinding.
	ReasonUserDeleted = "UserDeleted"

	// ReasonClientNotFound (Reconciling, later Stalled): the API knows no client with spec.cuid.
	// Create the client there, or replace the ClientBinding by one with the right cuid.
	ReasonClientNotFound = "ClientNotFound"

	// ReasonRejected (Stalled): the API called the request invalid (400, 422). The message has its
	// words. Replace the ClientBinding by one that the API accepts. Or (Reconciling, later Stalled) the
	// platform refuses it for a reason of its own, in other words or with another status (409, 412): cure
	// on the platform what the message says.
	ReasonRejected = "Rejected"

	// ReasonConnectionNotFound (Reconciling, later Stalled): the APIConnection does not exist.
	// Create it.
	ReasonConnectionNotFound = "ConnectionNotFound"

	// ReasonConnectionNotReady (Reconciling, later Stalled): the APIConnection cannot be used.
	// `kubectl describe apiconn NAME` says why.
	ReasonConnectionNotReady = "ConnectionNotReady"

	// ReasonConnectionChanged (Stalled): the binding's APIConnection leads to another host than the
	// one where its relation was made. Bring the former connection back, or set deletionPolicy to
	// Orphan, delete the ClientBinding and create it anew.
	ReasonConnectionChanged = "ConnectionChanged"

	// ReasonNotAllowed (Stalled): spec.allowed of the APIConnection leaves out the binding's namespace, its client or
	// owners. Nothing is granted or corrected; what was granted before stays until the ClientBinding is deleted or
	// expires. Have the APIConnection allow it, or delete the ClientBinding.
	ReasonNotAllowed = "NotAllowed"

	// ReasonConflict (Stalled): an older ClientBinding declares the same relation and holds it. Delete one of
	// the two: deleting this one revokes nothing, deleting the other one hands the relation over.
	ReasonConflict = "Conflict"

	// ReasonContested (Stalled): the relation was changed from outside and corrected so often of late that access is not given
	// again; it is still taken away. Find out who changes it, then have the ClientBinding looked at, or edit it.
	ReasonContested = "Contested"

	// ReasonUnverified (Ready=Unknown, Reconciling): the relation was confirmed, but could not be read
	// for three intervals. See the APIConnection.
	ReasonUnverified = "Unverified"

	// ReasonRevoking (Ready=False, Reconciling, later Stalled): the object is being deleted or has expired; the API
	// accepted the removal and Get user still shows the relation, or a former grant may still arrive, or another
	// ClientBinding takes the relation over. Nobody has to act unless it lasts.
	ReasonRevoking = "Revoking"

	// ReasonRevocationBlocked (Ready=False, Reconciling, later Stalled): the object is being deleted or
	// has expired, and its access could not be removed, or its absence is not proven; the message says why. Cure the
	// cause. Or leave the access to the administrators of the platform: set deletionPolicy: Orphan, and delete an expired object.
	ReasonRevocationBlocked = "RevocationBlocked"

	// ReasonRevocationHeld (Ready=False, Reconciling, later Stalled): the object is being deleted, and as many
	// others were revoked as spec.revocations of the APIConnection allows. It waits until there is room again, or
	// until a person approves on the APIConnection (annotation access.delos.financial/approvedRevocations).
	ReasonRevocationHeld = "RevocationHeld"
)

// Reasons that both kinds use.
const (
	// ReasonUnauthorized (Reconciling, later Stalled): the API refuses the session even after it was
	// renewed. See the APIConnection's account.
	ReasonUnauthorized = "Unauthorized"

	// ReasonForbidden (Reconciling, later Stalled): the account of the APIConnection may not do this
	// (403). Give it the right in the Delos platform, or use another account. Only ClientBindings say so:
	// an account that may not do what a probe does can still be used.
	ReasonForbidden = "Forbidden"

	// ReasonRateLimited (Reconciling, later Stalled): the API asks for patience (429, or Retry-After with another
	// 4xx or 5xx), or a login waits for the account's next one-time code. Nobody has to act unless it lasts.
	ReasonRateLimited = "RateLimited"

	// ReasonAPIUnavailable (Reconciling, later Stalled): the API fails (5xx), cannot be reached or
	// does not answer in time. Ask its operators if it lasts.
	ReasonAPIUnavailable = "APIUnavailable"

	// ReasonUnexpectedAnswer (Reconciling, later Stalled): the API, or a proxy before it, gave an answer that is not in
	// its contract: a redirect, HTML, a body cut short, another user, a body longer than the operator reads, an entry
	// about the client that cannot be read. The message says which. Check the APIConnection's url and the proxies
	// between, or have the platform's data corrected.
	ReasonUnexpectedAnswer = "UnexpectedAnswer"

	// ReasonInvalidSpec (Stalled): the API server accepted fields that the operator cannot use: url, caBundle or
	// allowed.namespaces.selector of an APIConnection, or fields of either kind that were stored under an older CRD and
	// cannot be read. The message says what to write instead. On a ClientBinding nothing is granted or corrected
	// meanwhile, and its deletion revokes.
	ReasonInvalidSpec = "InvalidSpec"
)

// Reasons of an APIConnection's conditions. The list is closed.
const (
	// ReasonLoggedIn (Ready=True): the API accepted the login.
	ReasonLoggedIn = "LoggedIn"

	// ReasonTokenAccepted (Ready=True): the API accepted the token of the Secret.
	ReasonTokenAccepted = "TokenAccepted"

	// ReasonTokenExpired (Stalled): the token in the Secret says itself that it has expired, so it is
	// not tried. Put a new one there.
	ReasonTokenExpired = "TokenExpired"

	// ReasonLoginRefused (Stalled): the API refused the login or the token. It is tried again when
	// the Secret or the connection changes or a run is asked for, else after 15 minutes, doubling
	// to an hour. Correct the Secret.
	ReasonLoginRefused = "LoginRefused"

	// ReasonOtherShard (Stalled): another shard of the operator serves the API host for other APIConnections. Its
	// --connection-selector does not select this APIConnection, which is not used. Label it so that the other shard selects it.
	ReasonOtherShard = "OtherShard"

	// ReasonSecretNotFound (Stalled): the Secret does not exist. Create it.
	ReasonSecretNotFound = "SecretNotFound"

	// ReasonSecretUnreadable (Reconciling, later Stalled): the operator lacks a right to the Secret, or it could not
	// be read. The message says which, and has the command that gives the right. A session that is open goes on.
	ReasonSecretUnreadable = "SecretUnreadable"

	// ReasonSecretInvalid (Stalled): the Secret lacks a key, or has an empty or contradictory one.
	// The message names it.
	ReasonSecretInvalid = "SecretInvalid"
)
