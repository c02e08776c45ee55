package controller

import (
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// audited looks at the binding and returns the audit lines of that run.
func (w *world) audited() []map[string]any {
	w.t.Helper()
	var lines []map[string]any
	logger := funcr.NewJSON(func(text string) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			w.t.Fatal(err)
		}
		if line["audit"] == true {
			lines = append(lines, line)
		}
	}, funcr.Options{})
	w.reconcileUsage()
	if _, err := w.lookWith(ctrl.LoggerInto(w.t.Context(), logger), w.request("john").NamespacedName); err != nil {
		w.t.Fatal(err)
	}
	return lines
}

// auditLine is a line about the world's binding, with what a case adds.
func (w *world) auditLine(binding *v1alpha1.ClientBinding, more map[string]any) map[string]any {
	line := map[string]any{
		"logger": "", "level": 0.0, "msg": "audit",
		"audit": true, "outcome": "accepted", "failure": "",
		"binding": w.namespace + "/john", "uid": string(binding.UID), "generation": float64(binding.Generation), "requestedBy": "",
		"user": john, "cuid": acme, "connection": w.namespace + "/default", "host": w.host(),
	}
	for key, value := range more {
		line[key] = value
	}
	return line
}

func TestEveryWriteIsAudited(t *testing.T) {
	bound := func(w *world) {
		w.bind(nil)
		w.reconcile()
	}
	cases := map[string]struct {
		arrange func(*world)
		want    []map[string]any
	}{
		"a grant, by whom it was asked": {
			arrange: func(w *world) {
				w.bind(func(b *v1alpha1.ClientBinding) {
					b.Annotations = map[string]string{v1alpha1.RequestedByAnnotation: "alice@example.com"}
				})
			},
			want: []map[string]any{{"action": "grant", "before": "none", "after": "standard", "requestedBy": "alice@example.com"}},
		},
		"a promotion": {
			arrange: func(w *world) {
				bound(w)
				binding := w.binding()
				w.edit(binding, func() { binding.Spec.IsOwner = true })
			},
			want: []map[string]any{{"action": "promote", "before": "standard", "after": "owner"}},
		},
		"a demotion that the API refuses to overwrite": {
			arrange: func(w *world) {
				w.platform.Adjust(func(s *delossim.Settings) { s.Existing = delossim.RefuseChange })
				w.platform.SetRelation(john, acme, true)
				w.bind(nil)
			},
			want: []map[string]any{
				{"action": "demote", "before": "owner", "after": "standard", "outcome": "refused", "failure": "already related"},
				{"action": "revoke", "before": "owner", "after": "none"},
			},
		},
		"a grant that fails, and may have been made": {
			arrange: func(w *world) {
				w.platform.Inject(delossim.Fault{Op: opRelate, Failure: delossim.Answer{Status: 500}})
				w.bind(nil)
			},
			want: []map[string]any{{"action": "grant", "before": "none", "after": "standard", "outcome": "unknown", "failure": "API unavailable"}},
		},
		"a revocation": {
			arrange: func(w *world) {
				bound(w)
				w.delete()
			},
			want: []map[string]any{{"action": "revoke", "before": "standard", "after": "none"}},
		},
		"a revocation that could not be sent, since the session had ended and no login was possible": {
			arrange: func(w *world) {
				bound(w)
				w.delete()
				w.clock.Advance(3 * time.Hour)
				w.platform.Inject(delossim.Fault{Op: delossim.OpLogin, Failure: delossim.Answer{Status: 500}})
				w.platform.Inject(delossim.Fault{Op: delossim.OpRefresh, Failure: delossim.Answer{Status: 500}})
			},
			want: []map[string]any{{"action": "revoke", "before": "standard", "after": "none", "outcome": "unsent", "failure": "API unavailable"}},
		},
		"access that is left behind": {
			arrange: func(w *world) {
				bound(w)
				w.delete()
				binding := w.binding()
				w.edit(binding, func() { binding.Spec.DeletionPolicy = v1alpha1.DeletionPolicyOrphan })
			},
			want: []map[string]any{{"action": "orphan", "before": "standard", "after": "standard", "outcome": "left"}},
		},
		"nothing for a look": {arrange: func(w *world) {
			bound(w)
			w.clock.Advance(w.lookAgain())
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect()
			tc.arrange(w)
			binding := w.binding()

			got := w.audited()

			var want []map[string]any
			sent := map[string]bool{}
			for _, call := range w.platform.Calls() {
				sent[call.RequestID] = true
			}
			for _, line := range tc.want {
				result, id := w.auditLine(binding, line), "none"
				if line["action"] != "orphan" {
					intent := maps.Clone(result)
					intent["outcome"], intent["failure"] = "intended", ""
					// Both lines have the id under which the request was sent, if it was.
					id, _ = got[min(len(want), len(got)-1)]["requestID"].(string)
					if sent[id] == (line["outcome"] == "unsent") {
						t.Errorf("%s: whether the platform has seen the request %q is %t", line["action"], id, sent[id])
					}
					intent["requestID"] = id
					want = append(want, intent)
				}
				result["requestID"] = id
				want = append(want, result)
			}
			expectEqual(t, "lines", want, got)
		})
	}
}
