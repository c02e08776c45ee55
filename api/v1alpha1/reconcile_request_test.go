package v1alpha1_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

func TestReconcileRequest(t *testing.T) {
	const own, flux = v1alpha1.RequestedAtAnnotation, v1alpha1.FluxRequestedAtAnnotation
	for _, test := range []struct {
		reason       string
		handled      v1alpha1.ReconcileRequestStatus
		annotations  map[string]string
		requested    bool
		acknowledged v1alpha1.ReconcileRequestStatus
	}{
		{
			reason: "nobody asks",
		},
		{
			reason:      "another annotation is no request",
			annotations: map[string]string{"kubectl.kubernetes.io/restartedAt": "now"},
		},
		{
			reason:       "the first request",
			annotations:  map[string]string{own: "1"},
			requested:    true,
			acknowledged: v1alpha1.ReconcileRequestStatus{LastHandledRequestedAt: "1"},
		},
		{
			reason:       "the first request of Flux",
			annotations:  map[string]string{flux: "1"},
			requested:    true,
			acknowledged: v1alpha1.ReconcileRequestStatus{LastHandledReconcileAt: "1"},
		},
		{
			reason:       "a request that was handled",
			handled:      v1alpha1.ReconcileRequestStatus{LastHandledRequestedAt: "1"},
			annotations:  map[string]string{own: "1"},
			acknowledged: v1alpha1.ReconcileRequestStatus{LastHandledRequestedAt: "1"},
		},
		{
			reason:       "any other value is a new request, also one that sorts before",
			handled:      v1alpha1.ReconcileRequestStatus{LastHandledRequestedAt: "2"},
			annotations:  map[string]string{own: "1"},
			requested:    true,
			acknowledged: v1alpha1.ReconcileRequestStatus{LastHandledRequestedAt: "1"},
		},
		{
			reason:       "the one annotation does not stand for the other",
			handled:      v1alpha1.ReconcileRequestStatus{LastHandledRequestedAt: "1"},
			annotations:  map[string]string{own: "1", flux: "1"},
			requested:    true,
			acknowledged: v1alpha1.ReconcileRequestStatus{LastHandledRequestedAt: "1", LastHandledReconcileAt: "1"},
		},
		{
			reason:  "a request that was taken back is none, and leaves no trace",
			handled: v1alpha1.ReconcileRequestStatus{LastHandledRequestedAt: "1", LastHandledReconcileAt: "1"},
		},
		{
			reason:      "an empty value is no request",
			annotations: map[string]string{own: "", flux: ""},
		},
		{
			reason:       "the longest request that the status can hold",
			annotations:  map[string]string{own: strings.Repeat("é", 256)},
			requested:    true,
			acknowledged: v1alpha1.ReconcileRequestStatus{LastHandledRequestedAt: strings.Repeat("é", 256)},
		},
		{
			reason:       "a longer request is cut, between characters",
			annotations:  map[string]string{own: strings.Repeat("é", 257)},
			requested:    true,
			acknowledged: v1alpha1.ReconcileRequestStatus{LastHandledRequestedAt: strings.Repeat("é", 256)},
		},
	} {
		t.Run(test.reason, func(t *testing.T) {
			status := test.handled
			if got := status.RunRequested(test.annotations); got != test.requested {
				t.Errorf("RunRequested: %t, want %t", got, test.requested)
			}
			status.Acknowledge(test.annotations)
			if diff := cmp.Diff(test.acknowledged, status); diff != "" {
				t.Errorf("after Acknowledge: -want +got:\n%s", diff)
			}
			if status.RunRequested(test.annotations) {
				t.Error("acknowledged, and still requested")
			}
		})
	}
}
