//go:build e2e

package cluster

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

var update = flag.Bool("update", false, "write what was measured into docs/high-availability.md")

// trouble is an event that hits the leader.
type trouble struct {
	name string
	// limit is the time for the next revocation.
	limit time.Duration
	// strike causes the event, and recover undoes it.
	strike, recover func(*testing.T, *corev1.Pod)
}

func nothing(*testing.T, *corev1.Pod) {}

// send returns a function that sends a signal to the operator in a pod.
func send(signal string) func(*testing.T, *corev1.Pod) {
	return func(t *testing.T, pod *corev1.Pod) {
		t.Helper()
		sandbox.Must(t, machine.Signal(t.Context(), pod.Status.ContainerStatuses[0], signal))
	}
}

var troubles = []trouble{
	{"nothing happens", 5 * time.Second, nothing, nothing},
	// The Lease is released. Otherwise it would last for 15 seconds.
	{"its pod is deleted", 10 * time.Second, func(t *testing.T, pod *corev1.Pod) {
		t.Helper()
		sandbox.Must(t, kube.Delete(t.Context(), pod))
	}, nothing},
	{"it is killed (SIGKILL)", 40 * time.Second, send("SIGKILL"), nothing},
	{"it is frozen (SIGSTOP), and goes on after the revocation", 40 * time.Second, send("SIGSTOP"), send("SIGCONT")},
}

// rounds is the number of measurements of each: three for the document.
func rounds() int {
	if *update {
		return 3
	}
	return 1
}

// An event that hits the leader only delays the next revocation: no access is granted twice, and no access is left.
func TestAvailability(t *testing.T) {
	install(t)
	n := newTenant(t, crowd(rounds()*len(troubles)))
	n.connect(t)
	var table strings.Builder
	fmt.Fprintf(&table, "| to the leader | seconds until the next revocation is done, %d times |\n| --- | --- |\n", rounds())
	user := 0
	for _, trouble := range troubles {
		t.Run(trouble.name, func(t *testing.T) {
			var took []string
			for range rounds() {
				took = append(took, fmt.Sprintf("%.1f", n.revokeIn(t, trouble, user).Seconds()))
				user++
			}
			slices.Sort(took)
			fmt.Fprintf(&table, "| %s | %s |\n", trouble.name, strings.Join(took, ", "))
		})
	}
	if diff := cmp.Diff(map[string]bool{}, n.platform.relations(t)); diff != "" {
		t.Errorf("access (-want +got):\n%s", diff)
	}
	want := map[string]int{}
	for i := range user {
		want["PUT "+relation(i)], want["DELETE "+relation(i)] = 1, 1
	}
	if diff := cmp.Diff(want, n.platform.writes(t)); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	record(t, "leader", table.String())
}

// revokeIn gives access, and measures the time until it is revoked when the event hits the leader.
func (n *tenant) revokeIn(t *testing.T, trouble trouble, user int) time.Duration {
	t.Helper()
	n.bind(t, user, user+1)
	sandbox.Within(t, time.Minute, func() string { return n.allReady(t, 1) })
	former := leader(t)
	restarts := former.Status.ContainerStatuses[0].RestartCount
	trouble.strike(t, former)
	start := time.Now()
	n.Delete(t, n.bindingOf(user))
	sandbox.Within(t, time.Minute, func() string { return cmp.Diff(map[string]bool{}, n.platform.relations(t)) })
	took := time.Since(start)
	if took > trouble.limit {
		t.Errorf("the revocation was done after %s, want %s", took, trouble.limit)
	}
	sandbox.Within(t, time.Minute, func() string { return stillThere(t.Context(), n.bindingOf(user)) })
	trouble.recover(t, former)
	// The next round has two replicas again, of which the former leader is not the same process.
	sandbox.Within(t, 2*time.Minute, func() string {
		if found := readyPods(t, systemNamespace, operatorLabels); len(found) != 2 {
			return fmt.Sprintf("%d replicas are ready", len(found))
		}
		pod := &corev1.Pod{}
		if kube.Get(t.Context(), client.ObjectKeyFromObject(former), pod) != nil || trouble.name == troubles[0].name {
			return ""
		}
		if pod.Status.ContainerStatuses[0].RestartCount == restarts {
			return "the former leader has not ended"
		}
		return ""
	})
	return took
}

// While many bindings are made, the leader is killed. Each is made, once.
func TestKilledInABurst(t *testing.T) {
	install(t)
	const count = 200
	n := newTenant(t, crowd(count))
	n.connect(t)
	n.bind(t, 0, count)
	sandbox.Within(t, time.Minute, func() string {
		if len(n.platform.relations(t)) < count/4 {
			return "too few are made yet"
		}
		return ""
	})
	send("SIGKILL")(t, leader(t))
	if made := len(n.platform.relations(t)); made == count {
		t.Fatal("all were made before the leader was killed")
	}
	sandbox.Within(t, 2*time.Minute, func() string { return n.allReady(t, count) })
	want := map[string]int{}
	for user := range count {
		want["PUT "+relation(user)] = 1
	}
	if diff := cmp.Diff(want, n.platform.writes(t)); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}

// record logs a table, and with -update writes it into the document, between the marks of its name.
func record(t *testing.T, name, table string) {
	t.Helper()
	t.Log("\n" + table)
	if !*update || t.Failed() {
		return
	}
	file := filepath.Join(root, "docs", "high-availability.md")
	text, err := os.ReadFile(file)
	sandbox.Must(t, err)
	begin, end := "<!-- measured: "+name+" -->\n", "<!-- end -->"
	before, rest, found := strings.Cut(string(text), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for %s", file, name)
	}
	sandbox.Must(t, os.WriteFile(file, []byte(before+begin+table+end+after), 0o644))
}
