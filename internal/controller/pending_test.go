package controller

import (
	"testing"
	"time"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/metrics"
)

// TestPendingRevocations lists what is due, in the world's namespace.
func TestPendingRevocations(t *testing.T) {
	cases := map[string]struct {
		arrange func(*world)
		want    func(*world) []metrics.Revocation
	}{
		"nothing is due": {
			arrange: func(w *world) {
				w.bind(nil)
				w.reconcile()
			},
			want: func(*world) []metrics.Revocation { return nil },
		},
		"an expiry that the API fails": {
			arrange: func(w *world) {
				w.bind(func(b *v1alpha1.ClientBinding) { b.Spec.ExpiresAt = ref(at(time.Minute)) })
				w.reconcile()
				w.platform.Inject(delossim.Fault{Op: opUnrelate, Failure: delossim.Answer{Status: 500}})
				w.clock.Advance(time.Hour)
				w.reconcile()
			},
			want: func(w *world) []metrics.Revocation {
				return []metrics.Revocation{{Connection: w.namespace + "/default", Reason: "RevocationBlocked", Since: start.Add(time.Minute)}}
			},
		},
		"a deletion that nobody looked at yet": {
			arrange: func(w *world) {
				w.bind(nil)
				w.reconcile()
				w.delete()
			},
			want: func(w *world) []metrics.Revocation {
				return []metrics.Revocation{{Connection: w.namespace + "/default", Reason: "Revoking", Since: w.binding().DeletionTimestamp.Time}}
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			tc.arrange(w)

			var got []metrics.Revocation
			for _, revocation := range PendingRevocations(t.Context(), w.kube, nil, w.clock.Now()) {
				if revocation.Connection == w.namespace+"/default" {
					revocation.Since = revocation.Since.UTC()
					got = append(got, revocation)
				}
			}

			want := tc.want(w)
			for i := range want {
				want[i].Since = want[i].Since.UTC()
			}
			expectEqual(t, "pending", want, got)
		})
	}
}
