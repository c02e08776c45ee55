package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	// annotationSize is how much others write beside each Secret; the API server takes 256 KiB.
	annotationSize = 200 << 10
	// nearby is the share of these Secrets in the namespace of a connection.
	nearby = 5
	// mostGrowth is how much more memory the operator may hold with all these Secrets than without: what two starts of the
	// same process differ by.
	mostGrowth = 1.1
	// workingLimit is how soon after its start the operator has to work.
	workingLimit = 5 * time.Second
	mebibyte     = 1 << 20
)

// playStrangers starts the operator without and with many large Secrets of others. Neither its memory nor the time until
// it works may depend on them.
func playStrangers(t *trial) {
	t.connect(longInterval, ample)
	without := t.startAfresh("without them")
	others := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "strangers-"}}
	t.Create(t, others)
	began := time.Now()
	t.each(0, t.strangers, func(ctx context.Context, i int) error {
		if i%nearby == 0 {
			return t.Kube.Create(ctx, strange(t.Namespace, i))
		}
		return t.Kube.Create(ctx, strange(others.Name, i))
	})
	t.measured(fmt.Sprintf("%d Secrets of %d KiB", t.strangers, annotationSize>>10), "made within "+seconds(time.Since(began)))
	t.memory("memory of the operator that ran meanwhile")
	with := t.startAfresh("with them")
	atMost(t, "memory with them, as a multiple of that without", ratio(float64(with)/float64(without)), mostGrowth)
}

// memory measures how much memory the operator holds.
func (t *trial) memory(what string) megabytes {
	held, err := t.Operator.Usage()
	sandbox.Must(t, err)
	t.measured(what, megabytes(held.Memory))
	return megabytes(held.Memory)
}

// startAfresh starts the operator anew, with a binding that it does not know, and returns how much memory it holds when it
// has done its work and rests.
func (t *trial) startAfresh(when string) megabytes {
	sandbox.Must(t, t.Operator.Stop())
	t.bind(1)
	began := time.Now()
	sandbox.Must(t, t.Operator.Start(t.Context()))
	t.awaitReady("a new binding Ready " + when)
	atMost(t, "from the start of the process until then, "+when, span(time.Since(began)), span(workingLimit))
	sandbox.Pause(t, t.rests)
	return t.memory("memory " + when)
}

// strange is a Secret that a person applies with kubectl.
func strange(namespace string, i int) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace:   namespace,
		Name:        fmt.Sprintf("strange-%04d", i),
		Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: strings.Repeat("x", annotationSize)},
	}}
}

// megabytes are bytes that are printed in MiB.
type megabytes float64

func (m megabytes) String() string { return fmt.Sprintf("%.1f MiB", float64(m)/mebibyte) }

// ratio is a number that is printed with two digits.
type ratio float64

func (r ratio) String() string { return fmt.Sprintf("%.2f", float64(r)) }

// rounded is the number as it is printed.
func (r ratio) rounded() ratio { return ratio(math.Round(float64(r)*100) / 100) }
