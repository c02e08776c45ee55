//go:build e2e && measure

package cluster

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

// A thousand bindings fit into the memory limit of the chart.
func TestMemory(t *testing.T) {
	uninstall(t)
	install(t)
	limit := leader(t).Spec.Containers[0].Resources.Limits.Memory().Value()
	var table strings.Builder
	fmt.Fprintf(&table, "| bindings | leader | the other replica | limit |\n| --- | --- | --- | --- |\n")
	const count = 1000
	n := newTenant(t, crowd(count))
	n.connect(t)
	for _, bindings := range []int{0, count} {
		if bindings > 0 {
			n.bind(t, 0, bindings)
		}
		sandbox.Within(t, 5*time.Minute, func() string { return n.allReady(t, bindings) })
		leads, waits := memory(t)
		fmt.Fprintf(&table, "| %d | %s | %s | %s |\n", bindings, mebibytes(leads), mebibytes(waits), mebibytes(limit))
		if leads > limit/2 {
			t.Errorf("with %d bindings the leader has %s, want at most half of %s", bindings, mebibytes(leads), mebibytes(limit))
		}
	}
	record(t, "memory", table.String())
}

// memory is the kubelet's last measurement of the replicas' resident sets.
func memory(t *testing.T) (leads, waits int64) {
	t.Helper()
	var summary struct {
		Pods []struct {
			PodRef     struct{ Name string }
			Containers []struct {
				Memory struct {
					Time     time.Time
					RSSBytes int64
				}
			}
		}
	}
	node, now := leader(t), time.Now()
	sandbox.Within(t, time.Minute, func() string {
		text, err := pods.CoreV1().RESTClient().Get().Resource("nodes").Name(node.Spec.NodeName).SubResource("proxy").Suffix("stats/summary").DoRaw(t.Context())
		sandbox.Must(t, err)
		sandbox.Must(t, json.Unmarshal(text, &summary))
		leads, waits = 0, 0
		for _, pod := range summary.Pods {
			if !strings.HasPrefix(pod.PodRef.Name, operatorName+"-") || len(pod.Containers) != 1 || pod.Containers[0].Memory.Time.Before(now) {
				continue
			}
			if pod.PodRef.Name == node.Name {
				leads = pod.Containers[0].Memory.RSSBytes
			} else {
				waits = pod.Containers[0].Memory.RSSBytes
			}
		}
		if leads == 0 || waits == 0 {
			return "the kubelet has not measured both replicas yet"
		}
		return ""
	})
	return leads, waits
}

func mebibytes(bytes int64) string { return fmt.Sprintf("%d Mi", bytes>>20) }
