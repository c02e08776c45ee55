package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DefaultConnectionName is the APIConnection, in its own namespace, of a ClientBinding that names none, unless the
// operator runs with --default-connection.
const DefaultConnectionName = "default"

// InUseFinalizer keeps an APIConnection and its Secret in Kubernetes while ClientBindings need them to revoke.
const InUseFinalizer = "access.delos.financial/in-use"

// ApprovedRevocationsAnnotation on an APIConnection approves revocations that the brake holds, such as
// 25@2026-12-31T17:00:00Z: the number of revocations, an '@', and a text that distinguishes the approval from the
// last one. Each value is taken once.
const ApprovedRevocationsAnnotation = "access.delos.financial/approvedRevocations"

// Keys of the Secret that spec.credentials.secretRef names: either SecretKeyToken, or SecretKeyLogin
// and SecretKeyPassword. An account with a second factor needs SecretKeyTOTPSeed in addition to the latter: the
// seed in base32, as an authenticator app takes it.
const (
	SecretKeyLogin    = "login"
	SecretKeyPassword = "password"
	SecretKeyTOTPSeed = "totpSeed"
	SecretKeyToken    = "token"
)

// SecretReference names a Secret in the namespace of the object that refers to it.
type SecretReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",message="must be the name of a Secret: lower case letters, digits, '-' and '.', as in delos-credentials"
	Name string `json:"name,omitempty"`
}

// Credentials names the account with which the operator acts.
type Credentials struct {
	// secretRef names a Secret in the same namespace, with the keys login and password (and totpSeed
	// for an account with a second factor), or with the key token.
	// +required
	SecretRef SecretReference `json:"secretRef,omitzero"`
}

// RateLimit bounds the calls that the operator makes through one connection.
// +kubebuilder:validation:MinProperties=1
type RateLimit struct {
	// requestsPerSecond is how many calls are made in a second, on average; 50 when absent.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	RequestsPerSecond int32 `json:"requestsPerSecond,omitempty"`

	// burst is how many calls may be made at once after a quiet time; 100 when absent.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Burst int32 `json:"burst,omitempty"`
}

// AuthorizationForm is the form of an access token in the header Authorization.
// +kubebuilder:validation:Enum=Bearer;Token
type AuthorizationForm string

const (
	// AuthorizationBearer is "Bearer" and the token. It applies when the field is absent.
	AuthorizationBearer AuthorizationForm = "Bearer"
	// AuthorizationToken is the token alone.
	AuthorizationToken AuthorizationForm = "Token"
)

// RelationBodyForm says how the request that relates a user to a client names the client.
// +kubebuilder:validation:Enum=Nested;Flat
type RelationBodyForm string

const (
	// RelationBodyNested is {"relation": {"cuid": …, "isOwner": …}}. It applies when the field is absent.
	RelationBodyNested RelationBodyForm = "Nested"
	// RelationBodyFlat is {"customerId": …, "isOwner": …}.
	RelationBodyFlat RelationBodyForm = "Flat"
)

// Dialect says which form of a request the API takes where its documentation shows two.
// +kubebuilder:validation:MinProperties=1
type Dialect struct {
	// authorization is how the access token is sent: Bearer (when absent), as in "Authorization: Bearer eyJ…"; or
	// Token, as in "Authorization: eyJ…".
	// +optional
	Authorization AuthorizationForm `json:"authorization,omitempty"`

	// relationBody is how access is granted: Nested (when absent), by {"relation": {"cuid": …, "isOwner": …}}; or
	// Flat, by {"customerId": …, "isOwner": …}.
	// +optional
	RelationBody RelationBodyForm `json:"relationBody,omitempty"`
}

// RevocationLimit is a brake on mass revocation.
type RevocationLimit struct {
	// max is the number of revocations that are let through within any span of the length per. Deletions count, and
	// expiries that an edit brought forward to a time less than per ahead. Further ones wait until there is room
	// again or a person approves them. 0 lets only approved ones through.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000
	Max *int32 `json:"max,omitempty"`

	// per is the length of that span, as a duration from 1s to 168h.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.size() <= 16 && self.matches('^([0-9]{1,6}(ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('168h')",message="must be a duration from 1s to 168h, as in 1h"
	Per *metav1.Duration `json:"per,omitempty"`
}

// NamespacesFrom says how namespaces are chosen.
// +kubebuilder:validation:Enum=Same;All;Selector
type NamespacesFrom string

const (
	// NamespacesSame is the connection's own namespace. It applies when the field is absent.
	NamespacesSame NamespacesFrom = "Same"
	// NamespacesAll are all namespaces.
	NamespacesAll NamespacesFrom = "All"
	// NamespacesSelector are those whose labels the selector matches.
	NamespacesSelector NamespacesFrom = "Selector"
)

// AllowedNamespaces says in which namespaces ClientBindings may use a connection.
//
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="has(self.selector) == (has(self.from) && self.from == 'Selector')",message="selector goes with from: Selector, and only with it",fieldPath=".selector"
type AllowedNamespaces struct {
	// from is Same (when absent): the connection's own namespace; All; or Selector: those that selector matches.
	// With Selector the connection's own namespace has to match, too.
	// +optional
	From NamespacesFrom `json:"from,omitempty"`

	// selector matches the labels of namespaces.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.all(e, e.operator in ['In', 'NotIn'] ? has(e.values) && e.values.size() > 0 : e.operator in ['Exists', 'DoesNotExist'] && (!has(e.values) || e.values.size() == 0))",message="each of matchExpressions needs the operator In or NotIn with values, or Exists or DoesNotExist without, as in {key: stage, operator: In, values: [production]}",fieldPath=".matchExpressions"
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
}

// Allowed says which ClientBindings may use a connection. Each field says what its absence allows. It bounds
// grants and corrections, never revocations.
//
// +kubebuilder:validation:MinProperties=1
type Allowed struct {
	// namespaces whose ClientBindings may use the connection; its own when absent.
	// +optional
	Namespaces *AllowedNamespaces `json:"namespaces,omitempty"`

	// cuids are globs of the clients to which the connection gives access, as in cust_*; any client when absent.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[A-Za-z0-9_*?-]+$')",message="must be a cuid or a glob of cuids: letters, digits, '_' and '-', with '*' for any run of them and '?' for any single one, as in cust_*"
	CUIDs []string `json:"cuids,omitempty"`

	// owner says whether the connection may make users owners; true when absent.
	// +optional
	Owner *bool `json:"owner,omitempty"`
}

// APIConnectionSpec says where the Delos API is and with which account it is used.
type APIConnectionSpec struct {
	// The rules for url and caBundle give the reason FieldValueForbidden, because its message does
	// not repeat the value: a url may hold a password, a caBundle a private key.
	// The rules for url are patterns because CEL's url() and ip() go beyond the API server's cost limit.

	// url of the Delos API without a path, such as https://stagep.tst-apidmndelss.com. It cannot
	// be changed: the relations made through a connection are in that API. Plain http is for an
	// API on the operator's own machine (localhost, 127.0.0.0/8, [::1]), and only where the
	// operator runs with --allow-http-loopback.
	// +required
	// +kubebuilder:validation:MinLength=8
	// +kubebuilder:validation:MaxLength=320
	// +kubebuilder:validation:XValidation:rule=`self.matches('^https?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?/?$')`,message="must be a scheme and a host with an optional port, as in https://stagep.tst-apidmndelss.com: leave out path, query, user and password",reason="FieldValueForbidden"
	// +kubebuilder:validation:XValidation:rule=`!self.startsWith('http://') || self.matches('^http://(localhost|127\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}|\\[::1\\])(:[0-9]{1,5})?/?$')`,message="plain http would send the credentials in the clear: use https (http is for localhost, 127.0.0.0/8 and [::1] only)",reason="FieldValueForbidden"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="url cannot be changed, the relations made through this connection are in that API: create another APIConnection",reason="FieldValueForbidden"
	URL string `json:"url,omitempty"`

	// credentials of the account with which the operator acts.
	// +required
	Credentials Credentials `json:"credentials,omitzero"`

	// caBundle holds the PEM certificates of the authorities to trust for this API, instead of
	// the system's. There is no switch to skip verification.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	// +kubebuilder:validation:XValidation:rule="self.contains('-----BEGIN CERTIFICATE-----') && !self.contains('PRIVATE KEY-----')",message="must be one or more PEM certificates, each beginning with -----BEGIN CERTIFICATE-----, and no private key",reason="FieldValueForbidden"
	CABundle string `json:"caBundle,omitempty"`

	// dialect says which form of a request the API takes where its documentation shows two. Leave it absent unless a
	// message names it.
	// +optional
	Dialect *Dialect `json:"dialect,omitempty"`

	// timeout of one call to the API, as a duration from 1s to 2m; 10s when absent.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.size() <= 16 && self.matches('^([0-9]{1,6}(ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('2m')",message="must be a duration from 1s to 2m, as in 10s"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// rateLimit bounds the calls that are made through this connection.
	// +optional
	RateLimit *RateLimit `json:"rateLimit,omitempty"`

	// interval at which each binding of this connection is checked for drift, all those of one user together,
	// as a duration from 1s to 24h; 1h when absent.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.size() <= 16 && self.matches('^([0-9]{1,6}(ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be a duration from 1s to 24h, as in 1h or 30m"
	Interval *metav1.Duration `json:"interval,omitempty"`

	// revocations is a brake on mass revocation. Above the limit, deleted ClientBindings wait, and so do ClientBindings whose
	// expiresAt an edit brought forward at short notice. Other expiries are not counted and do not wait. There is no limit when absent.
	// +optional
	Revocations *RevocationLimit `json:"revocations,omitempty"`

	// allowed says which ClientBindings may use this connection: those of its own namespace, for any client, when absent.
	// +optional
	Allowed *Allowed `json:"allowed,omitempty"`
}

// RefusedLogin remembers a login that the API refused, so that a restart does not try it again
// too soon and lock the account out.
type RefusedLogin struct {
	// time of the refusal.
	// +required
	Time metav1.Time `json:"time,omitzero"`

	// attempts is the number of refusals of these credentials in a row.
	// +required
	// +kubebuilder:validation:Minimum=1
	Attempts int32 `json:"attempts,omitempty"`

	// credentialsVersion is the uid and resourceVersion of the Secret that was refused. A changed
	// Secret is tried at once.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	CredentialsVersion string `json:"credentialsVersion,omitempty"`
}

// RevocationCount counts revocations that were let through at about the same time.
type RevocationCount struct {
	// since is the time at which the first of them was let through.
	// +required
	Since metav1.Time `json:"since,omitzero"`

	// count is the number of these revocations.
	// +required
	// +kubebuilder:validation:Minimum=1
	Count int32 `json:"count,omitempty"`
}

// RevocationApproval acknowledges an approval of held revocations.
type RevocationApproval struct {
	// value of the annotation access.delos.financial/approvedRevocations that was last taken.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Value string `json:"value,omitempty"`

	// time at which it was taken. It holds for the span of spec.revocations.
	// +required
	Time metav1.Time `json:"time,omitzero"`

	// remaining is the number of approved revocations that were not made yet.
	// +required
	// +kubebuilder:validation:Minimum=0
	Remaining *int32 `json:"remaining,omitempty"`
}

// RevocationStatus is the memory of the brake on mass revocation.
// +kubebuilder:validation:MinProperties=1
type RevocationStatus struct {
	// recent are the revocations that count against spec.revocations, the oldest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Recent []RevocationCount `json:"recent,omitempty"`

	// approval is the last one that was taken.
	// +optional
	Approval *RevocationApproval `json:"approval,omitempty"`
}

// APIConnectionStatus says whether the API can be used.
type APIConnectionStatus struct {
	// observedGeneration is the generation of the spec that this status is about; -1 until the
	// operator has looked at the object.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions of the object: Ready always; Reconciling and Stalled only while true, never both; PoliciesEnforced,
	// which says whether the shipped admission policies are in force.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// credentialsObservedAt is the time at which the API first accepted the present content of the Secret.
	// +optional
	CredentialsObservedAt *metav1.Time `json:"credentialsObservedAt,omitempty"`

	// credentialsVersion is the uid and resourceVersion of the Secret that the API accepted then.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	CredentialsVersion string `json:"credentialsVersion,omitempty"`

	// sessionExpiresAt is when the token in the Secret expires and has to be replaced. It is absent
	// with login and password, where the operator renews the session by itself.
	// +optional
	SessionExpiresAt *metav1.Time `json:"sessionExpiresAt,omitempty"`

	// refusedLogin is the last login that was refused; absent once one was accepted.
	// Memory of the operator: a restart does not send that login again.
	// +optional
	RefusedLogin *RefusedLogin `json:"refusedLogin,omitempty"`

	// bindings is the number of ClientBindings that need the connection: they gave access through it, or may give it.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Bindings *int32 `json:"bindings,omitempty"`

	// protectedSecrets are the Secrets on which the operator set its finalizer, or is about to.
	// Memory of the operator: with it the operator releases them once secretRef names another Secret, also after a restart.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	ProtectedSecrets []string `json:"protectedSecrets,omitempty"`

	// revocationsHeld is the number of deleted or expired ClientBindings that wait because of spec.revocations.
	// +optional
	// +kubebuilder:validation:Minimum=0
	RevocationsHeld *int32 `json:"revocationsHeld,omitempty"`

	// revocations are those that count against spec.revocations, and the approval of held ones; absent without that limit.
	// Memory of the operator: a restart lets no more through.
	// +optional
	Revocations *RevocationStatus `json:"revocations,omitempty"`

	ReconcileRequestStatus `json:",inline"`
}

// APIConnection is the Delos API as ClientBindings use it: its address and the account with
// which the operator acts there.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=apiconn,categories=access
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Bindings",type=integer,JSONPath=`.status.bindings`
// +kubebuilder:printcolumn:name="Held",type=integer,JSONPath=`.status.revocationsHeld`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.spec.url`,priority=1
// +kubebuilder:printcolumn:name="Secret",type=string,JSONPath=`.spec.credentials.secretRef.name`,priority=1
// +kubebuilder:printcolumn:name="Policies",type=string,JSONPath=`.status.conditions[?(@.type=="PoliciesEnforced")].reason`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
type APIConnection struct {
	metav1.TypeMeta `json:",inline"`

	// metadata of the object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says where the API is.
	// +required
	Spec APIConnectionSpec `json:"spec,omitzero"`

	// status says whether it can be used.
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status APIConnectionStatus `json:"status,omitzero"`

	// UnreadableFields are the fields of the stored object that do not decode and were left out. They are no part of
	// the API.
	UnreadableFields UnreadableFields `json:"-"`
}

// APIConnectionList is a list of APIConnections.
//
// +kubebuilder:object:root=true
type APIConnectionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	// items of the list.
	Items []APIConnection `json:"items"`
}
