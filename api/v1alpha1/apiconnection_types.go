package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DefaultConnectionName is the APIConnection of a ClientBinding that names none.
const DefaultConnectionName = "default"

// Keys of the Secret that spec.credentials.secretRef names: either SecretKeyToken, or SecretKeyLogin
// and SecretKeyPassword. SecretKeyTOTPSeed goes with the latter for an account with a second factor: the
// seed, in base32, that an authenticator app would be given.
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

// Credentials says with which account the operator acts.
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

// APIConnectionSpec says where the Delos API is and with which account it is used.
type APIConnectionSpec struct {
	// The rules for url and caBundle give the reason FieldValueForbidden, because its message does
	// not repeat the value: the one may hold a password, the other a private key.
	// Those for url are patterns because CEL's url() and ip() go beyond the API server's cost limit.

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

	// timeout of one call to the API, as a duration from 1s to 2m; 10s when absent.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}(ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('2m')",message="must be a duration from 1s to 2m, as in 10s"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// rateLimit bounds the calls that are made through this connection.
	// +optional
	RateLimit *RateLimit `json:"rateLimit,omitempty"`

	// interval at which each binding of this connection is checked for drift, give or take a
	// tenth, as a duration from 1s to 24h; 1h when absent.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}(ms|s|m|h))+$') && duration(self) >= duration('1s') && duration(self) <= duration('24h')",message="must be a duration from 1s to 24h, as in 1h or 30m"
	Interval *metav1.Duration `json:"interval,omitempty"`
}

// RefusedLogin remembers a login that the API refused, so that a restart does not try it again
// too soon and lock the account out.
type RefusedLogin struct {
	// time of the refusal.
	// +required
	Time metav1.Time `json:"time,omitzero"`

	// attempts is how often in a row these credentials were refused.
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

// APIConnectionStatus says whether the API can be used.
type APIConnectionStatus struct {
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

	// credentialsObservedAt is when the API first accepted the present content of the Secret.
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
	// +optional
	RefusedLogin *RefusedLogin `json:"refusedLogin,omitempty"`

	ReconcileRequestStatus `json:",inline"`
}

// APIConnection is the Delos API as ClientBindings use it: its address and the account with
// which the operator acts there.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=apiconn,categories=access
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.spec.url`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Secret",type=string,JSONPath=`.spec.credentials.secretRef.name`,priority=1
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
