package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RevokeFinalizer keeps a ClientBinding in Kubernetes until its relation was seen gone in the
// Delos API. It is set before the first write to that API.
const RevokeFinalizer = "access.delos.financial/revoke"

// RequestedByAnnotation holds the username of the last person or account that changed the spec of a ClientBinding, as the API server
// authenticated it. The admission policies of config/policy stamp it and keep it from being forged; without them
// each writer can set it, and it proves nothing.
const RequestedByAnnotation = "access.delos.financial/requested-by"

// DeletionPolicy says what becomes of the relation when its ClientBinding is deleted.
// +kubebuilder:validation:Enum=Revoke;Orphan
type DeletionPolicy string

const (
	// DeletionPolicyRevoke removes the relation and waits until Get user no longer shows it.
	// It applies when the field is absent.
	DeletionPolicyRevoke DeletionPolicy = "Revoke"
	// DeletionPolicyOrphan leaves the relation as it is. It may be set on an object that is
	// already being deleted: the way out of an API that is gone for good.
	DeletionPolicyOrphan DeletionPolicy = "Orphan"
)

// Origin says how a relation came under the care of its ClientBinding.
// +kubebuilder:validation:Enum=Created;Adopted
type Origin string

const (
	// OriginCreated means that the relation did not exist and the operator made it.
	OriginCreated Origin = "Created"
	// OriginAdopted means that the relation existed before its ClientBinding.
	OriginAdopted Origin = "Adopted"
)

// Access is the kind of access that a relation gives a user at a client.
// +kubebuilder:validation:Enum=Owner;Standard;None
type Access string

const (
	// AccessOwner means full administrative rights.
	AccessOwner Access = "Owner"
	// AccessStandard means access without administrative rights.
	AccessStandard Access = "Standard"
	// AccessNone means that there is no access.
	AccessNone Access = "None"
)

// ConnectionReference names an APIConnection.
type ConnectionReference struct {
	// name of the APIConnection.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",message="must be the name of an APIConnection: lower case letters, digits, '-' and '.', as in default"
	Name string `json:"name,omitempty"`

	// namespace of the APIConnection; the binding's own when absent. A connection serves other
	// namespaces only where its spec.allowed says so.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",message="must be the name of a namespace: lower case letters, digits and '-', as in team-a"
	Namespace string `json:"namespace,omitempty"`
}

// ClientBindingSpec declares one relation between one user and one client.
//
// The presence of connectionRef is frozen too: adding it later would move a relation that
// exists to another API.
//
// +kubebuilder:validation:XValidation:rule="has(self.connectionRef) == has(oldSelf.connectionRef)",message="connectionRef cannot be added or removed later: create a new ClientBinding through the other connection and delete this one",fieldPath=".connectionRef",reason="FieldValueForbidden"
type ClientBindingSpec struct {
	// userUUID is the uuid of the user who gets access, as the Delos platform shows it.
	// It cannot be changed: another user is another ClientBinding.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_-]+$')",message="must consist of letters, digits, '_' and '-' only, as in 158a190e-c4a9-4e6c-bf9b-4ef74ae345eb: copy the user's uuid from the Delos platform (not the username or e-mail address)"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="userUUID cannot be changed: create a new ClientBinding for the other user and delete this one"
	UserUUID string `json:"userUUID,omitempty"`

	// cuid is the id of the client account that the user gets access to.
	// It cannot be changed: another client is another ClientBinding.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_-]+$')",message="must consist of letters, digits, '_' and '-' only, as in DoxdEEV-4IJq-zKeUYqrtqVDK: copy the client's cuid (customerId) from the Delos platform"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="cuid cannot be changed: create a new ClientBinding for the other client and delete this one"
	CUID string `json:"cuid,omitempty"`

	// isOwner is true for full administrative rights over the client, false for standard access.
	// It has no default, so that each object says which access it gives. It may be changed.
	// +required
	IsOwner bool `json:"isOwner"` //nolint:kubeapilinter // required and said aloud: false must survive a round trip, nil means nothing

	// connectionRef names the APIConnection through which the relation is made. When absent, it is the one that
	// the operator's flag --default-connection names, else the one named "default" in the binding's namespace.
	// It cannot be changed.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="connectionRef cannot be changed: create a new ClientBinding through the other connection and delete this one",reason="FieldValueForbidden"
	ConnectionRef *ConnectionReference `json:"connectionRef,omitempty"`

	// deletionPolicy is Revoke or Orphan. With Revoke (when absent) the deletion of this object removes the
	// relation and waits until it is seen gone. With Orphan the relation stays.
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// expiresAt is the time at which the access ends, in UTC, such as 2026-12-31T17:00:00Z. The operator then
	// revokes the access, and the object stays as a record. You can move the time until it has passed. An expired
	// object stays expired; a new ClientBinding renews the access.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`

	// suspend stops grants and corrections while it is true. The operator still checks the relation, and says in the status
	// what it would do. Deletion and expiry still revoke.
	// +optional
	Suspend *bool `json:"suspend,omitempty"`

	// justification says why the access is given, such as a ticket, for reviewers and policies. The operator does
	// not act on it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Justification string `json:"justification,omitempty"`
}

// User has the data by which people recognize the user. No other data of the person is copied.
// +kubebuilder:validation:MinProperties=1
type User struct {
	// username as the Delos platform shows it, cut at 256 characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Username string `json:"username,omitempty"`

	// status of the user in the Delos platform, such as NEW or ACCEPT. The operator does not act on it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Status string `json:"status,omitempty"`
}

// Claim records that the operator answers for the relation on behalf of one ClientBinding. It is recorded before
// the first write to the Delos API, and without it nothing is ever revoked.
type Claim struct {
	// origin says whether the relation existed before.
	// +required
	Origin Origin `json:"origin,omitempty"`

	// connection through which the relation was made, and is revoked. It changes with the operator's
	// --default-connection, if the new connection leads to the same host.
	// +required
	Connection ClaimConnection `json:"connection,omitzero"`

	// account is a hash of the account of the Delos platform that last saw the relation for this claim, or that
	// made it. The hash does not reveal the login. An answer that there is no such user proves something only
	// if this account received it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Account string `json:"account,omitempty"`

	// inFlight has the calls that may still change the relation: the operator saw no answer to them, or they were
	// accepted and do not show yet. Each is recorded before it is sent.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	InFlight []Call `json:"inFlight,omitempty"`

	// revocationPermittedTime is when the connection's brake on revocations let the removal of the relation
	// through. It is recorded before the first call, so that a revocation is counted once.
	// +optional
	RevocationPermittedTime *metav1.Time `json:"revocationPermittedTime,omitempty"`
}

// Call is a call that gives, changes or removes a relation, and that may still take effect. It keeps the timeout and
// settle with which it was sent, so that a later edit of the connection does not shorten them. They count from the moment at
// which a process first saw the record, and not from sentTime, since clocks differ.
type Call struct {
	// access that the call makes.
	// +required
	Access Access `json:"access,omitempty"`

	// sentTime is when the call was recorded, right before it was sent.
	// +required
	SentTime metav1.Time `json:"sentTime,omitzero"`

	// acceptedTime is when the platform accepted the call; absent while nobody saw an answer.
	// +optional
	AcceptedTime *metav1.Time `json:"acceptedTime,omitempty"`

	// timeout of the call when it was sent.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.size() <= 32 && self.matches('^([0-9]{1,6}([.][0-9]{1,9})?(ms|s|m|h))+$') && duration(self) <= duration('24h')",message="must be a duration up to 24h, as in 10s"
	Timeout metav1.Duration `json:"timeout,omitzero"`

	// settle is the time after the timeout in which the call may still arrive, or may not show yet.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.size() <= 32 && self.matches('^([0-9]{1,6}([.][0-9]{1,9})?(ms|s|m|h))+$') && duration(self) <= duration('24h')",message="must be a duration up to 24h, as in 10s"
	Settle metav1.Duration `json:"settle,omitzero"`
}

// ObservedExpiry is the end of the access that the operator knows of. It tells an end that was declared in time from one
// that an edit brought forward, which the brake on mass revocation counts.
type ObservedExpiry struct {
	// expiresAt as the operator saw it last.
	// +required
	ExpiresAt metav1.Time `json:"expiresAt,omitzero"`

	// declaredTime is the time at which the operator first saw that existing access is to end at expiresAt or
	// earlier. It is absent if the access was given with that end, or with an earlier one.
	// +optional
	DeclaredTime *metav1.Time `json:"declaredTime,omitempty"`
}

// Contest counts how often a relation was found changed from outside and was corrected.
type Contest struct {
	// since is when the first of the corrections was made.
	// +required
	Since metav1.Time `json:"since,omitzero"`

	// corrections is the number of corrections since then. Once there are too many, the operator only takes access away until
	// a person edits the object or asks for a look.
	// +required
	// +kubebuilder:validation:Minimum=1
	Corrections int32 `json:"corrections,omitempty"`
}

// ClaimConnection identifies the API in which a relation was made.
type ClaimConnection struct {
	// namespace of the APIConnection.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// name of the APIConnection.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// host and port of the API. A connection of the same name that leads elsewhere is not the
	// same connection: it stalls the binding rather than moving the relation.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=320
	Host string `json:"host,omitempty"`
}

// ClientBindingStatus has the access that was read back from the Delos API, and the work of the operator.
type ClientBindingStatus struct {
	// observedGeneration is the generation of the spec that this status is about; -1 until the
	// operator has looked at the object.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions of the object: Ready always; Reconciling and Stalled only while true, never both.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// access that the user has at the client, as Get user showed it last: Owner, Standard or None. It is absent
	// while that is unknown: nothing was read yet, or the last answer has more than one meaning.
	// +optional
	Access Access `json:"access,omitempty"`

	// claim records that this object answers for the relation; absent until access was granted or adopted. Memory
	// of the operator: without it nothing is ever revoked.
	// +optional
	Claim *Claim `json:"claim,omitempty"`

	// contest counts the recent corrections; absent while the relation is not changed from outside.
	// Memory of the operator: a restart does not begin the count anew.
	// +optional
	Contest *Contest `json:"contest,omitempty"`

	// user has the name and status of the user, for people.
	// +optional
	User *User `json:"user,omitempty"`

	// observedExpiry is the end of the access that the operator knows; absent while no end is declared. Memory of
	// the operator: it distinguishes an end that was brought forward from one that was declared in time.
	// +optional
	ObservedExpiry *ObservedExpiry `json:"observedExpiry,omitempty"`

	// expiredTime is the time at which the operator found that the access had expired. Memory of the operator: an
	// expired object stays expired, and the API server refuses to prolong it.
	// +optional
	ExpiredTime *metav1.Time `json:"expiredTime,omitempty"`

	// lastConfirmedTime is when Get user last showed the declared state. It is not written at each confirmation, and may be older by up
	// to two intervals of the APIConnection.
	// Memory of the operator: it tells when to look again, and whether the last write was seen.
	// +optional
	LastConfirmedTime *metav1.Time `json:"lastConfirmedTime,omitempty"`

	ReconcileRequestStatus `json:",inline"`
}

// ClientBinding relates one user of the Delos platform to one client account.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.expiredTime) || (has(self.spec.expiresAt) && has(oldSelf.spec.expiresAt) && self.spec.expiresAt <= oldSelf.spec.expiresAt)",message="the access has expired and stays so, expiresAt cannot be moved to a later time or removed: create a new ClientBinding to renew it",fieldPath=".spec.expiresAt",reason="FieldValueForbidden"
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=cb,categories=access
// +kubebuilder:selectablefield:JSONPath=`.spec.userUUID`
// +kubebuilder:selectablefield:JSONPath=`.spec.cuid`
// +kubebuilder:selectablefield:JSONPath=`.spec.isOwner`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Access",type=string,JSONPath=`.status.access`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="User",type=string,JSONPath=`.spec.userUUID`,priority=1
// +kubebuilder:printcolumn:name="Client",type=string,JSONPath=`.spec.cuid`,priority=1
// +kubebuilder:printcolumn:name="Owner",type=boolean,JSONPath=`.spec.isOwner`,priority=1
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.spec.expiresAt`,priority=1
// +kubebuilder:printcolumn:name="Connection",type=string,JSONPath=`.spec.connectionRef.name`,priority=1
// +kubebuilder:printcolumn:name="Username",type=string,JSONPath=`.status.user.username`,priority=1
// +kubebuilder:printcolumn:name="Confirmed",type=date,JSONPath=`.status.lastConfirmedTime`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
type ClientBinding struct {
	metav1.TypeMeta `json:",inline"`

	// metadata of the object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec declares the relation.
	// +required
	Spec ClientBindingSpec `json:"spec,omitzero"`

	// status has the access that was read back, and the conditions.
	// +optional
	// +structType=atomic
	// +kubebuilder:default:={"observedGeneration":-1}
	Status ClientBindingStatus `json:"status,omitzero"`

	// UnreadableFields are the fields of the stored object that do not decode and were left out. They are no part of
	// the API.
	UnreadableFields UnreadableFields `json:"-"`
}

// ClientBindingList is a list of ClientBindings.
//
// +kubebuilder:object:root=true
type ClientBindingList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	// items of the list.
	Items []ClientBinding `json:"items"`
}
