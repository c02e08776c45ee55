package explorer

import "github.com/delos-financial/clientbinding-operator/internal/relation"

// apply has a call take effect. Reads may show the former access for as long as stale.
func (pl *platform) apply(makes relation.Access, stale uint8) {
	if pl.user == userMissing || pl.user == userDeleted && makes > relation.None {
		return
	}
	if makes == relation.None {
		pl.made = false
	} else {
		pl.made = true
	}
	if pl.access == makes {
		return
	}
	pl.stale[pl.access] = max(stale, pl.stale[pl.access])
	pl.access = makes
}

// put adds a call in transit, in canonical order.
func (pl *platform) put(t transit) {
	pl.transit[maxTransit-1] = t
	pl.sort()
}

// sort has the calls that may still arrive first.
func (pl *platform) sort() {
	for i := range pl.transit {
		if pl.transit[i].left == 0 {
			pl.transit[i] = transit{}
		}
	}
	a, b := &pl.transit[0], &pl.transit[1]
	if a.left < b.left || a.left == b.left && (a.makes < b.makes || a.makes == b.makes && a.binding < b.binding) {
		*a, *b = *b, *a
	}
}

// pass has a tick pass; it reports whether that changes anything.
func (w *world) pass() bool {
	changed := false
	down := func(n *uint8, to uint8) {
		if *n > to {
			*n--
			changed = true
		}
	}
	for a := range w.platform.stale {
		down(&w.platform.stale[a], 0)
	}
	for t := range w.platform.transit {
		down(&w.platform.transit[t].left, 0)
	}
	w.platform.sort()
	for p := range w.procs {
		for i := range w.procs[p].memory {
			for k := range w.procs[p].memory[i] {
				down(&w.procs[p].memory[i][k], 1)
			}
		}
	}
	return changed
}

// environment emits each event that the operator does not cause.
func (e *explorer) environment(w *world, emit emitter) {
	next := *w
	if next.pass() {
		emit(&next, action{what: timePasses})
	}
	for t := range w.platform.transit {
		if call := w.platform.transit[t]; call.left > 0 {
			next = *w
			next.platform.transit[t] = transit{}
			next.platform.sort()
			next.platform.apply(call.makes, min(e.Lag, call.left))
			emit(&next, action{what: arrives, binding: call.binding, x: uint8(call.makes)})
		}
	}
	for i := range e.Bindings {
		e.people(w, i, emit)
	}
	e.outside(w, emit)
	e.outage(w, emit)
	for p := range e.Processes {
		proc := &w.procs[p]
		if e.StaleCaches && proc.run.phase == idle {
			for i := range e.Bindings {
				if proc.behind[i] {
					next = *w
					next.procs[p].catchUp(&next, i)
					emit(&next, action{what: catchesUp, proc: uint8(p), binding: uint8(i)})
				}
			}
		}
	}
	if w.budget[crashes] > 0 && w.procs[w.leader] != (process{}) {
		next = *w
		next.budget[crashes]--
		e.die(&next, int(w.leader))
		emit(&next, action{what: crash, proc: w.leader})
	}
	if w.budget[moves] > 0 {
		next = *w
		next.budget[moves]--
		next.leader = 1 - w.leader
		// A process that has led ends before it leads again, and its cache shows what the former leader wrote.
		e.die(&next, int(next.leader))
		emit(&next, action{what: leaderMoves, proc: next.leader})
	}
}

// people emits what people and time do to a binding.
func (e *explorer) people(w *world, i int, emit emitter) {
	is := &w.bindings[i]
	change := func(what verb, edit bool, to func(b *binding)) {
		if edit && w.budget[edits] == 0 {
			return
		}
		next := *w
		b := next.bindings[i]
		to(&b)
		if edit {
			next.budget[edits]--
		}
		e.store(&next, i, b, -1, 0)
		emit(&next, action{what: what, binding: uint8(i), x: uint8(b.declares), y: b.conn})
	}
	generation := func(b *binding) { b.status, b.rests = noStatus, false }
	if is.phase == notCreated && (i == 0 || w.bindings[i-1].phase != notCreated) {
		for _, created := range e.Creates {
			change(creates, false, func(b *binding) { *b = created })
		}
	}
	if is.phase != there {
		return
	}
	if !is.leaving && e.Deletes {
		change(deletes, false, func(b *binding) {
			generation(b)
			b.leaving = true
			if !b.finalizer {
				b.phase = deleted
			}
		})
	}
	if !is.leaving && !is.expired && e.Expires {
		change(expires, false, func(b *binding) { b.expired, b.rests = true, false })
	}
	if !is.leaving && !is.expired && e.EditsAccess {
		change(editsAccess, true, func(b *binding) {
			generation(b)
			b.declares = relation.Standard + relation.Owner - b.declares
			b.saidUnclaimed = false
		})
	}
	if !is.leaving && e.EditsSuspend {
		change(editsSuspend, true, func(b *binding) { generation(b); b.suspended = !b.suspended; b.saidUnclaimed = false })
	}
	if e.EditsOrphan {
		change(editsOrphan, true, func(b *binding) { generation(b); b.orphan = !b.orphan })
	}
	if e.EditsConnection {
		change(editsConnection, true, func(b *binding) { generation(b); b.conn = 1 - b.conn; b.saidUnclaimed = false })
	}
	if w.budget[restores] > 0 && (is.claimed || is.status != noStatus) && !w.platform.travels(i) && w.platform.stale == ([4]uint8{}) && w.idle() {
		next := *w
		next.budget[restores]--
		b := next.bindings[i]
		generation(&b)
		b.lost = b.lost || b.claimed
		b.claimed, b.claimAccount, b.calls, b.saidUnclaimed, b.waitedLong, b.contested, b.after = false, 0, [4]uint8{}, false, false, false, 0
		e.store(&next, i, b, -1, 0)
		emit(&next, action{what: losesStatus, binding: uint8(i)})
	}
	// Time causes these and not a write, so no process meets a conflict.
	onward := func(what verb, to func(b *binding)) {
		next := *w
		to(&next.bindings[i])
		for p := range next.procs {
			if next.procs[p].view[i].phase == there {
				to(&next.procs[p].view[i])
			}
		}
		emit(&next, action{what: what, binding: uint8(i)})
	}
	if is.rests {
		onward(comesDue, func(b *binding) { b.rests = false })
	}
	if e.Stalls && !is.waitedLong && (is.status == saysRevoking || is.status == saysWaiting && is.expired) {
		onward(stalls, func(b *binding) { b.waitedLong = b.waitedLong || b.status == saysRevoking })
	}
	if e.Contests && !is.contested && is.claimed {
		onward(contests, func(b *binding) { b.contested = b.contested || b.claimed })
	}
}

// idle reports whether no process is in a run.
func (w *world) idle() bool {
	return w.procs[0].run.phase == idle && w.procs[1].run.phase == idle
}

// travels reports whether a call of a binding is in transit.
func (pl *platform) travels(i int) bool {
	for _, t := range pl.transit {
		if t.left > 0 && int(t.binding) == i {
			return true
		}
	}
	return false
}

// outside emits what others do on the platform.
func (e *explorer) outside(w *world, emit emitter) {
	drift := func(next world, did action) {
		next.platform.stale = [4]uint8{}
		for p := range next.procs {
			next.procs[p].run.drifted = next.procs[p].run.phase != idle
		}
		emit(&next, did)
	}
	if w.budget[drifts] > 0 && w.platform.user == userThere {
		for a := relation.None; a <= relation.Owner; a++ {
			if a == w.platform.access {
				continue
			}
			next := *w
			next.budget[drifts]--
			if a == relation.None || w.platform.access == relation.None {
				next.platform.made = false
			}
			next.platform.access = a
			drift(next, action{what: drifting, x: uint8(a)})
		}
	}
	if w.budget[userEvents] == 0 {
		return
	}
	for u := userThere; u <= userDeleted; u++ {
		if u == w.platform.user || w.platform.user == userMissing && u == userDeleted {
			continue
		}
		next := *w
		next.budget[userEvents]--
		next.platform.user = u
		if u == userMissing {
			next.platform.access, next.platform.made = relation.None, false
		}
		drift(next, action{what: userTurns, x: uint8(u)})
	}
}

// outage emits changes of connections and accounts.
func (e *explorer) outage(w *world, emit emitter) {
	if w.budget[outages] == 0 {
		return
	}
	for c := range connections {
		for _, to := range e.Outages {
			next := *w
			next.budget[outages]--
			conn := &next.conns[c]
			if to == goesBlind && !w.idle() {
				continue
			}
			switch to {
			case deniesAll:
				conn.deniesAll = !conn.deniesAll
			case deniesOwners:
				conn.deniesOwns = !conn.deniesOwns
			case rotates:
				conn.account = 1 - conn.account
			case goesBlind:
				next.accounts[c].blind = !next.accounts[c].blind
			case readsOnly:
				next.accounts[c].readsOnly = !next.accounts[c].readsOnly
				for p := range next.procs {
					next.procs[p].run.accountsChanged = next.procs[p].run.phase != idle
				}
			case isMissing, notReady, elsewhere, starting, unprotected, leaves:
				link := outageLinks[to]
				if conn.link == link {
					link = relation.LinkReady
				}
				conn.link = link
			}
			emit(&next, action{what: outageHappens, x: uint8(c), y: uint8(to)})
		}
	}
}

// outageKind is a change of a connection, or of the account with its number.
type outageKind uint8

const (
	isMissing outageKind = iota
	notReady
	elsewhere
	starting
	unprotected
	leaves
	deniesAll
	deniesOwners
	rotates
	goesBlind
	readsOnly
)

var outageLinks = [...]relation.Link{
	isMissing: relation.LinkMissing, notReady: relation.LinkNotReady, elsewhere: relation.LinkElsewhere, starting: relation.LinkStarting,
	unprotected: relation.LinkUnprotected, leaves: relation.LinkLeaving,
}
