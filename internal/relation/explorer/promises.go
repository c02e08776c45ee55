package explorer

import (
	"fmt"

	"github.com/delos-financial/clientbinding-operator/internal/relation"
)

// maxSteps is how many steps a run may take.
const maxSteps = 25

func (e *explorer) fail(format string, args ...any) {
	if e.violation == "" {
		e.violation = fmt.Sprintf(format, args...)
	}
}

// checkRecord checks a call that is put on record against the bindings that are stored in Kubernetes.
func (e *explorer) checkRecord(w *world, p, i int, makes relation.Access) {
	b := &w.bindings[i]
	link := linkOf(&w.procs[p].run.conns[b.conn], b)
	switch {
	case e.DryRun:
		e.fail("a dry run writes a record for %s", name(i))
	case makes == relation.None && !e.KeepsRelations && (!b.leaving && !b.expired || b.leaving && b.orphan || !b.claimed):
		e.fail("%s removes access, and its own is not to end", name(i))
	case makes == relation.None && w.procs[p].run.members[i].brake != relation.BrakeNone:
		e.fail("%s removes access, and the limit on revocations did not let it through", name(i))
	case makes == relation.None && !b.waitedLong && e.heldBeside(w, p, i):
		e.fail("%s removes access that another one declares and holds", name(i))
	case makes == relation.None:
	case b.phase != there, b.leaving, b.expired, b.suspended, b.declares != makes, link == relation.LinkDenied, link == relation.LinkMissing, link == relation.LinkElsewhere:
		e.fail("%s gives %s, which nobody declares or allows", name(i), accessName(makes))
	}
}

// heldBeside reports whether another binding is bound, and can take the relation over from i at once.
func (e *explorer) heldBeside(w *world, p, i int) bool {
	conns := &w.procs[p].run.conns
	for j := range e.Bindings {
		b := &w.bindings[j]
		if j != i && b.phase == there && !b.leaving && !b.expired && b.claimed && b.rests && !w.procs[p].behind[j] && !w.procs[p].sent &&
			b.conn == w.bindings[i].conn && linkOf(&conns[b.conn], b) == relation.LinkReady && w.procs[p].view[j] == *b {
			return true
		}
	}
	return false
}

// checkReport checks that a status is true, and that nothing is let go too early.
func (e *explorer) checkReport(w *world, p, i int, m *relation.Member, out *relation.Outcome) {
	b, pl := &w.bindings[i], &w.platform
	drifted := w.procs[p].run.drifted
	switch {
	case out.State == relation.Bound && out.Why != relation.NoReason && !drifted:
		if pl.user != userThere || pl.access != b.declares {
			e.fail("%s is said to be bound as %s, and the access is %s", name(i), accessName(b.declares), accessName(pl.access))
		}
		for _, t := range pl.transit {
			if t.left > 0 && t.makes != b.declares {
				e.fail("%s is said to be bound as %s, and a call that makes %s may still arrive", name(i), accessName(b.declares), accessName(t.makes))
			}
		}
	case out.State == relation.Gone && b.leaving:
		if e.DryRun {
			e.fail("a dry run lets %s go", name(i))
		}
		if out.Why == relation.HandedOver && !w.procs[p].run.accountsChanged {
			holder := &w.procs[p].view[e.scratch.facts.bindings[out.Other]]
			conns := &w.procs[p].run.conns
			if account := conns[holder.conn].account; w.accounts[account].readsOnly && account != conns[b.conn].account {
				e.fail("%s hands over to an account that may only read", name(i))
			}
		}
		if e.answeredFor(w, i) {
			return
		}
		switch out.Why {
		case relation.Orphaned, relation.NotOurs, relation.GivenUp, relation.DeclaredByOther:
			w.platform.made = false
		case relation.NothingToRevoke:
			if m.Link == relation.LinkDenied {
				w.platform.made = false
			}
		}
	case out.State == relation.Gone && b.lost && (out.Why == relation.ExpiredUndeclared || out.Why == relation.ExpiredElsewhere):
		if !e.answeredFor(w, i) {
			w.platform.made = false
		}
	}
}

// answeredFor reports whether a binding other than i answers for the relation: its deletion does not leave access behind silently.
func (e *explorer) answeredFor(w *world, i int) bool {
	for j := range e.Bindings {
		b := &w.bindings[j]
		if j != i && b.phase == there && b.finalizer && (b.claimed || b.lost) {
			return true
		}
	}
	return false
}

// check checks the promises that hold in every state.
func (e *explorer) check(w *world) {
	pl := &w.platform
	if pl.made && pl.access > relation.None && !e.answeredFor(w, -1) {
		e.fail("nobody answers for the access (%s) that the operator gave or confirmed", accessName(pl.access))
	}
	for _, t := range pl.transit {
		if t.left == 0 || t.makes == relation.None {
			continue
		}
		b := &w.bindings[t.binding]
		if b.phase != there || b.calls[t.makes] == 0 {
			e.fail("a call that makes %s may still arrive, and is on no record of %s", accessName(t.makes), name(int(t.binding)))
		}
	}
}

const maxRounds = 60

// quiet reports whether nothing is under way that ends by itself.
func (w *world) quiet() bool {
	if w.platform.transit[0].left > 0 || w.platform.stale != ([4]uint8{}) {
		return false
	}
	for p := range w.procs {
		if w.procs[p].run.phase != idle || w.procs[p].behind != ([maxBindings]bool{}) {
			return false
		}
	}
	return true
}

// settles checks that runs without faults come to rest, in a state that judge accepts.
func (e *explorer) settles(w world, tell func(string)) {
	w.budget = [budgets]uint8{}
	for p := range w.procs {
		if p != int(w.leader) {
			e.die(&w, p)
		}
	}
	var path []hash
	wasDue := false
	for range maxRounds {
		if tell != nil && len(path) > 8 {
			tell = nil
		}
		e.normalize(&w)
		key := e.hash(&w)
		if _, good := e.good[key]; good {
			break
		}
		path = append(path, key)
		before := w
		e.runAlone(&w, tell)
		if e.violation != "" {
			return
		}
		w.pass()
		e.normalize(&w)
		if w != before {
			continue
		}
		if w.stallAll() {
			continue
		}
		due := w
		rests := !wasDue && due.comeDue()
		if !rests || e.Drifts+e.UserEvents == 0 {
			// Without changes from outside, statuses hold although they are not due to be checked.
			if e.judge(&w); e.violation != "" {
				return
			}
		}
		if rests {
			w, wasDue = due, true
			continue
		}
		for _, key := range path {
			e.good[key] = struct{}{}
		}
		return
	}
	if len(path) == maxRounds {
		e.fail("runs without faults do not come to rest")
		return
	}
	for _, key := range path {
		e.good[key] = struct{}{}
	}
}

// comeDue makes all bindings that rest due for a look.
func (w *world) comeDue() bool {
	changed := false
	for i := range w.bindings {
		changed = changed || w.bindings[i].rests
		w.bindings[i].rests = false
		for p := range w.procs {
			w.procs[p].view[i].rests = false
		}
	}
	return changed
}

// stallAll makes all failures long ones.
func (w *world) stallAll() bool {
	changed := false
	for i := range w.bindings {
		if b := &w.bindings[i]; b.phase == there && b.status == saysRevoking && !b.waitedLong {
			b.waitedLong, changed = true, true
			for p := range w.procs {
				if w.procs[p].view[i].phase == there {
					w.procs[p].view[i].waitedLong = true
				}
			}
		}
	}
	return changed
}

// runAlone takes one run, in which nothing fails and reads are as old as they may be.
func (e *explorer) runAlone(w *world, tell func(string)) {
	p := int(w.leader)
	for i := range e.Bindings {
		w.procs[p].catchUp(w, i)
	}
	e.begin(w, p)
	for w.procs[p].run.phase != idle && e.violation == "" {
		chosen, did := *w, action{}
		e.step(w, p, func(next *world, a action) {
			if did == (action{}) || a.what == readsOld {
				chosen, did = *next, a
			}
		})
		*w = chosen
		if tell != nil {
			tell("without faults: " + did.String())
		}
	}
	if tell != nil {
		tell(w.String())
	}
}

// judge checks a state at rest.
func (e *explorer) judge(w *world) {
	pl := &w.platform
	holder := e.rightful(w)
	if holder >= 0 {
		b := &w.bindings[holder]
		able := e.able(w, b)
		if able && !b.suspended && pl.user == userThere && !e.DryRun {
			if pl.access != b.declares && (!b.contested || pl.access >= b.declares) {
				e.fail("at rest %s declares %s, and the access is %s", name(holder), accessName(b.declares), accessName(pl.access))
			}
			if b.status != saysBound && !b.contested {
				e.fail("at rest %s is as declared, and does not say so", name(holder))
			}
		}
	}
	for i := range e.Bindings {
		b := &w.bindings[i]
		if b.phase == there && b.leaving && !e.explained(w, b) {
			e.fail("at rest the deletion of %s hangs", name(i))
		}
		if b.phase == there && !b.leaving && b.expired && b.claimed && !e.explained(w, b) {
			e.fail("at rest the expired access of %s is still there", name(i))
		}
		if b.phase == there && !b.leaving && b.status == noStatus && e.Bindings > 0 {
			e.fail("at rest %s has no status", name(i))
		}
	}
}

// rightful is the binding whose declaration counts: the oldest that may hold the relation.
func (e *explorer) rightful(w *world) int {
	for i := range e.Bindings {
		b := &w.bindings[i]
		link := linkOf(&w.conns[b.conn], b)
		switch {
		case b.phase != there, b.leaving, b.expired:
		case link == relation.LinkMissing, link == relation.LinkElsewhere, link == relation.LinkDenied:
		case !b.claimed && (b.suspended || link == relation.LinkNotReady || link == relation.LinkLeaving):
		default:
			return i
		}
	}
	return -1
}

// able reports whether a binding can act.
func (e *explorer) able(w *world, b *binding) bool {
	conn := &w.conns[b.conn]
	acc := w.accounts[conn.account]
	return linkOf(conn, b) == relation.LinkReady && !acc.blind && !acc.readsOnly
}

// explained reports whether there is a documented reason why access that is to end has not ended.
func (e *explorer) explained(w *world, b *binding) bool {
	conn := &w.conns[b.conn]
	link := linkOf(conn, b)
	acc := w.accounts[conn.account]
	switch {
	case e.DryRun, e.Brake:
		return true
	case b.orphan && b.leaving:
		return false
	case link == relation.LinkMissing, link == relation.LinkElsewhere, link == relation.LinkNotReady, link == relation.LinkStarting:
		return true
	case acc.blind, acc.readsOnly:
		return true
	case w.platform.user == userDeleted:
		return true
	case e.LeavesOut && w.platform.access == relation.None:
		return true // without a list only an accepted removal counts
	case b.claimAccount != 0 && b.claimAccount != conn.account+1:
		return true
	case !b.claimed && b.leaving && w.platform.access > relation.None:
		return true // Undeclared, which people have to settle
	default:
		return false
	}
}
