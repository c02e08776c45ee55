package v1alpha1

// Annotations that ask for a run now. Any new value is a new request.
const (
	// RequestedAtAnnotation is the operator's own:
	// kubectl annotate --overwrite cb/NAME access.delos.financial/requestedAt="$(date -u +%FT%TZ)".
	RequestedAtAnnotation = "access.delos.financial/requestedAt"
	// FluxRequestedAtAnnotation is the one that `flux reconcile` and its users set
	// (github.com/fluxcd/pkg/apis/meta, ReconcileRequestAnnotation).
	FluxRequestedAtAnnotation = "reconcile.fluxcd.io/requestedAt"
)

// ReconcileRequestStatus acknowledges the annotations that ask for a run now. Each has a field
// of its own, so that neither hides the other.
type ReconcileRequestStatus struct {
	// lastHandledRequestedAt is the value of the annotation access.delos.financial/requestedAt
	// that was last acted upon.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	LastHandledRequestedAt string `json:"lastHandledRequestedAt,omitempty"`

	// lastHandledReconcileAt is the value of the annotation reconcile.fluxcd.io/requestedAt that
	// was last acted upon.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`
}

// maxHandledLength is the length at which an acknowledged annotation value is cut, so that an
// overlong one cannot make the status invalid.
const maxHandledLength = 256

// RunRequested reports whether the annotations ask for a run that was not yet acknowledged.
func (s *ReconcileRequestStatus) RunRequested(annotations map[string]string) bool {
	asked := requests(annotations)
	return asked.LastHandledRequestedAt != "" && asked.LastHandledRequestedAt != s.LastHandledRequestedAt ||
		asked.LastHandledReconcileAt != "" && asked.LastHandledReconcileAt != s.LastHandledReconcileAt
}

// Acknowledge records the requests that the annotations hold as acted upon.
func (s *ReconcileRequestStatus) Acknowledge(annotations map[string]string) {
	*s = requests(annotations)
}

func requests(annotations map[string]string) ReconcileRequestStatus {
	return ReconcileRequestStatus{
		LastHandledRequestedAt: cut(annotations[RequestedAtAnnotation]),
		LastHandledReconcileAt: cut(annotations[FluxRequestedAtAnnotation]),
	}
}

func cut(value string) string {
	runes := []rune(value)
	return string(runes[:min(len(runes), maxHandledLength)])
}
