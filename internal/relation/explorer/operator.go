package explorer

import (
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/relation"
)

// tick is the unit of time.
const tick = time.Second

// facts are the relation.Facts of a run, with the binding of each member.
type facts struct {
	relation.Facts
	bindings [maxBindings]int
}

// begin begins a run: it gathers the facts from what the cache shows.
func (e *explorer) begin(w *world, p int) {
	proc := &w.procs[p]
	proc.run = run{phase: deciding, conns: w.conns}
	for i := range e.Bindings {
		if !e.StaleCaches {
			proc.catchUp(w, i)
		}
		b := &proc.view[i]
		if b.phase != there {
			proc.memory[i] = [4]uint8{}
			continue
		}
		m := &proc.run.members[i]
		for k, recorded := range b.calls {
			switch {
			case recorded == 0:
				proc.memory[i][k] = 0
			case proc.memory[i][k] == 0:
				// A record that it finds counts in full from now.
				proc.memory[i][k] = e.length() + 1
			}
		}
		m.left, m.accepted, m.account = proc.memory[i], relation.Access(b.calls[0]), b.claimAccount
		if b.calls[0] == 0 {
			proc.overtakesNone[i] = false
		}
		m.overtakes = b.calls[0] != 0 && !proc.overtakesNone[i]
		m.rests = b.rests && !proc.sent && !confirmedLater(&proc.view, b)
		if e.Brake && (b.leaving || b.expired) {
			m.brake = relation.BrakeAsk
		}
	}
}

// length of a call on record.
func (e *explorer) length() uint8 {
	return e.Timeout + e.Settle
}

// catchUp has the cache show what is stored.
func (proc *process) catchUp(w *world, i int) {
	proc.view[i], proc.behind[i] = w.bindings[i], false
	for k := range proc.memory[i] {
		if proc.foreign[i]&(1<<k) != 0 {
			proc.memory[i][k] = 0
		}
	}
	proc.overtakesNone[i] = proc.overtakesNone[i] && proc.foreign[i]&1 == 0
	proc.foreign[i] = 0
}

// confirmedLater reports whether a binding with a claim was confirmed after b.
func confirmedLater(bindings *[maxBindings]binding, b *binding) bool {
	for j := range bindings {
		if b.after&(1<<j) != 0 && bindings[j].phase == there && bindings[j].claimed {
			return true
		}
	}
	return false
}

var accountNames = [...]string{"", "a", "b"}

// gather returns the facts of a run as they are now. They are valid until the next call of gather.
func (e *explorer) gather(w *world, p int, into *scratch) *facts {
	proc := &w.procs[p]
	f := &into.facts
	f.DryRun = e.DryRun
	f.Members = into.members[:0]
	for i := range e.Bindings {
		b, m := &proc.view[i], &proc.run.members[i]
		if b.phase != there {
			continue
		}
		f.bindings[len(f.Members)] = i
		link := linkOf(&proc.run.conns[b.conn], b)
		account := accountNames[proc.run.conns[b.conn].account+1]
		if link == relation.LinkMissing || proc.run.conns[b.conn].link == relation.LinkNotReady || proc.run.conns[b.conn].link == relation.LinkStarting {
			account = ""
		}
		calls := into.calls[i][:0]
		for k, left := range m.left {
			if left == 0 {
				continue
			}
			call := relation.Call{Makes: relation.Access(k), Left: time.Duration(left-1) * tick, Timeout: time.Duration(e.Timeout) * tick, Settle: time.Duration(e.Settle) * tick}
			if k == 0 {
				call.Makes, call.Accepted, call.Overtakes = m.accepted, true, m.overtakes
			}
			calls = append(calls, call)
		}
		f.Members = append(f.Members, relation.Member{
			Declares: b.declares, Leaving: b.leaving, Expired: b.expired, Suspended: b.suspended, Orphan: b.orphan,
			Finalizer: b.finalizer, Claimed: b.claimed || m.claims, Calls: calls, Rests: m.rests, DueIn: tick,
			SaidUnclaimed: b.saidUnclaimed, WaitedLong: b.waitedLong, Contested: b.contested, Brake: m.brake,
			Through: int(b.conn), Link: link, Account: account, ClaimAccount: accountNames[m.account],
			Reading:  m.reading.facts(),
			Recorded: m.recorded, Sent: relation.Sent{Makes: m.sent, Answer: m.answer},
		})
		if m.prior > 0 {
			f.Members[len(f.Members)-1].Prior = relation.Call{
				Makes: m.recorded, Left: time.Duration(m.prior-1) * tick, Timeout: time.Duration(e.Timeout) * tick, Settle: time.Duration(e.Settle) * tick,
			}
		}
	}
	return f
}

// linkOf is the state of a connection for a binding.
func linkOf(c *conn, b *binding) relation.Link {
	switch ending := b.leaving || b.expired; {
	case c.link == relation.LinkMissing, c.link == relation.LinkElsewhere && b.claimed:
		return c.link
	case (!ending || !b.claimed) && (c.deniesAll || c.deniesOwns && b.declares == relation.Owner):
		return relation.LinkDenied
	case c.link == relation.LinkUnprotected || c.link == relation.LinkLeaving:
		if b.claimed || ending || b.suspended {
			return relation.LinkReady
		}
		return c.link
	case c.link == relation.LinkElsewhere:
		return relation.LinkReady
	default:
		return c.link
	}
}

// keep writes what was noted in the facts back into the run.
func keep(f *facts, proc *process) {
	for at := range f.Members {
		from, to := &f.Members[at], &proc.run.members[f.bindings[at]]
		to.left, to.accepted, to.overtakes = callsOf(from.Calls)
		to.reading = reading{from.Reading.State, from.Reading.Access, from.Reading.Deleted, from.Reading.State == relation.Shown && !from.Reading.Whole, from.Reading.Witness}
		to.recorded, to.prior = from.Recorded, 0
		if from.Recorded != relation.Unknown && from.Prior.Left > 0 {
			to.prior = ticks(from.Prior.Left) + 1
		}
		to.sent, to.answer = from.Sent.Makes, from.Sent.Answer
		to.account = accountNumber(from.ClaimAccount)
		to.brake, to.rests = from.Brake, from.Rests
		to.claims = from.Claimed
	}
}

func accountNumber(name string) uint8 {
	if name == "" {
		return 0
	}
	return name[0] - 'a' + 1
}

func callsOf(calls []relation.Call) (left [4]uint8, accepted relation.Access, overtakes bool) {
	for _, call := range calls {
		if call.Accepted {
			if left[0] != 0 {
				panic("two accepted calls on one record")
			}
			left[0], accepted, overtakes = ticks(call.Left)+1, call.Makes, call.Overtakes
			continue
		}
		if left[call.Makes] != 0 {
			panic("two records of calls without an answer that make the same")
		}
		left[call.Makes] = ticks(call.Left) + 1
	}
	return left, accepted, overtakes
}

// facts is a reading in the form that the operator gets.
func (r reading) facts() relation.Reading {
	return relation.Reading{
		State: r.state, Access: r.access, Deleted: r.deleted, Witness: r.witness,
		Whole: r.state == relation.Shown && !r.listless, Named: r.state == relation.NoUser,
	}
}

func ticks(left time.Duration) uint8 { return uint8(max(0, (left+tick-1)/tick)) }

// recordsOf returns the calls on record in the form in which a binding stores them.
func recordsOf(calls []relation.Call) (records [4]uint8) {
	left, accepted, _ := callsOf(calls)
	for k := range left {
		if left[k] != 0 {
			records[k] = 1
		}
	}
	records[0] = uint8(accepted)
	return records
}

// step takes the next step of a run, in each way in which it may end.
func (e *explorer) step(w *world, p int, emit emitter) {
	f := e.gather(w, p, &e.scratch)
	d := relation.Decide(f.Facts)
	next := *w
	proc := &next.procs[p]
	if proc.run.phase == deciding {
		proc.run.steps++
		if proc.run.steps > maxSteps {
			e.fail("a run does not end: it has taken %d steps", maxSteps)
		}
	}
	i := 0
	if d.Step != relation.StepReport {
		i = f.bindings[d.Member]
	}
	switch d.Step {
	case relation.StepRead:
		e.reads(&next, p, i, func(r reading, how verb) {
			after := next
			g := e.gather(w, p, &e.scratch)
			g.NoteRead(d.Member, r.facts())
			keep(g, &after.procs[p])
			after.procs[p].run.drifted = false
			if how == readsUser {
				// No later read is older than this one.
				after.platform.stale = [4]uint8{}
			}
			emit(&after, action{what: how, proc: uint8(p), binding: uint8(i), x: uint8(r.access), y: uint8(r.state)})
		})
	case relation.StepWitness:
		witness := relation.SeesOthers
		switch conn := &proc.run.conns[proc.view[i].conn]; {
		case !e.Witnesses && proc.view[i].waitedLong:
			witness = relation.LongAbsent
		case !e.Witnesses:
			witness = relation.NoWitness
		case w.accounts[conn.account].blind:
			witness = relation.SeesNobody
		}
		g := e.gather(w, p, &e.scratch)
		r := g.Members[d.Member].Reading
		r.Witness = witness
		g.NoteRead(d.Member, r)
		keep(g, proc)
		emit(&next, action{what: readsWitness, proc: uint8(p), binding: uint8(i), x: uint8(witness)})
	case relation.StepAskBrake:
		proc.run.members[i].brake = relation.BrakeNone
		emit(&next, action{what: asksBrake, proc: uint8(p), binding: uint8(i)})
		proc.run.members[i].brake = relation.BrakeHolds
		emit(&next, action{what: brakeHolds, proc: uint8(p), binding: uint8(i)})
	case relation.StepRecord:
		e.record(&next, p, d, emit)
	case relation.StepSend:
		e.send(&next, p, d, emit)
	default:
		e.report(&next, p, f, d.Outcomes, emit)
	}
}

// reads calls show with each answer that a read through the connection of a binding may get.
func (e *explorer) reads(w *world, p, i int, show func(reading, verb)) {
	conn := &w.procs[p].run.conns[w.procs[p].view[i].conn]
	if conn.link == relation.LinkNotReady || conn.link == relation.LinkStarting || conn.link == relation.LinkMissing {
		show(reading{state: relation.ReadFailed}, readFails)
		return
	}
	switch pl := &w.platform; {
	case w.accounts[conn.account].blind, pl.user == userMissing:
		show(reading{state: relation.NoUser}, readsUser)
	case pl.user == userDeleted:
		show(reading{state: relation.Shown, access: pl.access, deleted: true}, readsUser)
		if pl.access > relation.None {
			show(reading{state: relation.Shown, access: relation.None, deleted: true}, readsUser)
		}
	default:
		show(reading{state: relation.Shown, access: pl.access, listless: e.LeavesOut && pl.access == relation.None}, readsUser)
		for a := relation.None; a <= relation.Owner; a++ {
			if pl.stale[a] > 0 {
				show(reading{state: relation.Shown, access: a, listless: e.LeavesOut && a == relation.None}, readsOld)
			}
		}
	}
	if w.budget[faults] > 0 {
		w.budget[faults]--
		show(reading{state: relation.ReadFailed}, readFails)
		w.budget[faults]++
	}
}

// leads reports whether a process may write: the check and the write are one step.
func (e *explorer) leads(w *world, p int) bool { return int(w.leader) == p }

// die replaces a process by one that remembers nothing.
func (e *explorer) die(w *world, p int) {
	w.procs[p] = process{}
	if e.StaleCaches {
		w.procs[p].view = w.bindings
	}
}

// store writes a binding on behalf of a process; written are the calls on record that are new.
func (e *explorer) store(w *world, i int, b binding, by int, written uint8) {
	if b.phase == deleted {
		b = binding{phase: deleted}
	}
	w.bindings[i] = b
	for q := range e.Processes {
		if q == by {
			continue
		}
		w.procs[q].foreign[i] |= written
		if e.StaleCaches || w.procs[q].run.phase != idle {
			w.procs[q].behind[i] = true
		}
	}
}

// record sets the finalizer, and records the claim and the call.
func (e *explorer) record(w *world, p int, d relation.Decision, emit emitter) {
	f := e.gather(w, p, &e.scratch)
	i, proc := f.bindings[d.Member], &w.procs[p]
	did := action{what: records, proc: uint8(p), binding: uint8(i), x: uint8(d.Makes)}
	switch {
	case !e.leads(w, p):
		e.die(w, p)
		did.what = loses
		emit(w, did)
		return
	case proc.behind[i]:
		proc.run = run{}
		did.what = conflicts
		emit(w, did)
		return
	}
	if !proc.view[i].finalizer && !proc.view[i].leaving {
		b := w.bindings[i]
		b.finalizer = true
		e.store(w, i, b, p, 0)
		proc.view[i] = b
		did.what = protects
		if d.Makes == relation.Unknown {
			f.NoteRecorded(d.Member, relation.Call{})
			keep(f, proc)
		}
		emit(w, did)
		return
	}
	if d.Makes == relation.Unknown {
		// The report writes the claim.
		f.NoteRecorded(d.Member, relation.Call{})
		keep(f, proc)
		did.what = adopts
		emit(w, did)
		return
	}
	e.checkRecord(w, p, i, d.Makes)
	length := time.Duration(e.Timeout+e.Settle) * tick
	f.NoteRecorded(d.Member, relation.Call{Makes: d.Makes, Left: length, Timeout: time.Duration(e.Timeout) * tick, Settle: time.Duration(e.Settle) * tick})
	b := w.bindings[i]
	b.claimed, b.lost, b.saidUnclaimed = true, false, false
	if !b.leaving {
		b.status, b.rests = noStatus, false
		w.confirmed(i, false)
	}
	b.claimAccount = accountNumber(f.Members[d.Member].ClaimAccount)
	b.calls = recordsOf(f.Members[d.Member].Calls)
	proc.memory[i][d.Makes] = e.length() + 1
	e.store(w, i, b, p, 1<<d.Makes)
	proc.view[i] = b
	keep(f, proc)
	emit(w, did)
}

// send sends the call on record.
func (e *explorer) send(w *world, p int, d relation.Decision, emit emitter) {
	proc := &w.procs[p]
	i := e.scratch.facts.bindings[d.Member]
	conn := proc.run.conns[proc.view[i].conn]
	outcome := func(answer relation.Answer, how verb, arrives, inTransit bool) {
		next := *w
		proc := &next.procs[p]
		f := e.gather(w, p, &e.scratch)
		prior := ticks(f.Members[d.Member].Prior.Left)
		f.NoteSent(d.Member, answer, time.Duration(e.Settle)*tick)
		keep(f, proc)
		if answer != relation.Unsent {
			proc.sent = true
		}
		switch {
		case answer == relation.Lost, answer == relation.Accepted:
			// The length counts from here: time may have passed since the record. Until the report is written, an accepted call
			// is on record as one without an answer.
			proc.memory[i][d.Makes] = e.length() + 1
		case prior > 0:
			proc.memory[i][d.Makes] = prior + 1
		}
		if answer == relation.Accepted {
			proc.memory[i][0] = e.Settle + 1
			proc.overtakesNone[i] = !proc.run.members[i].overtakes
		}
		if arrives {
			next.platform.apply(d.Makes, e.Lag)
		}
		if inTransit {
			next.platform.put(transit{makes: d.Makes, left: e.length(), binding: uint8(i)})
			next.budget[faults]--
		} else if answer == relation.Lost {
			next.budget[faults]--
		}
		emit(&next, action{what: how, proc: uint8(p), binding: uint8(i), x: uint8(d.Makes), y: uint8(answer)})
	}
	pl := &w.platform
	acc := w.accounts[conn.account]
	grants := d.Makes > relation.None
	works := false
	switch {
	case !e.leads(w, p):
		e.die(w, p)
		emit(w, action{what: loses, proc: uint8(p), binding: uint8(i)})
		return
	case conn.link == relation.LinkNotReady, conn.link == relation.LinkStarting, conn.link == relation.LinkMissing:
		outcome(relation.Unsent, sends, false, false)
		return
	case acc.blind && !grants, pl.user == userMissing && !grants:
		outcome(relation.NothingThere, sends, false, false)
	case acc.blind, acc.readsOnly, pl.user == userMissing, pl.user == userDeleted && grants:
		outcome(relation.Refused, sends, false, false)
	case pl.user == userDeleted && pl.access > relation.None:
		works = true
		outcome(relation.Accepted, sends, true, false)
		outcome(relation.NothingThere, sends, false, false)
	case !grants && pl.access == relation.None:
		outcome(relation.NothingThere, sends, false, false)
		works = true
	case grants && e.KeepsRelations && pl.access > relation.None:
		outcome(relation.AlreadyRelated, sends, false, false)
	default:
		outcome(relation.Accepted, sends, true, false)
		works = true
	}
	if w.budget[faults] == 0 {
		return
	}
	outcome(relation.Lost, sendArrives, works, false)
	if works && pl.transit[maxTransit-1].left == 0 {
		outcome(relation.Lost, sendTravels, false, true)
	}
	if works {
		w.budget[faults]--
		outcome(relation.Refused, sends, false, false)
		if !grants {
			outcome(relation.NothingThere, sends, false, false)
		}
		w.budget[faults]++
	}
}

// report writes the next status that changed, in the order of the decision: the bound ones, those that stay, then those that are let go.
func (e *explorer) report(w *world, p int, f *facts, outcomes []relation.Outcome, emit emitter) {
	proc := &w.procs[p]
	proc.run.phase = reporting
	did := action{what: ends, proc: uint8(p)}
	done := false
	for order := range 3 {
		for at := range f.Members {
			i, out := f.bindings[at], &outcomes[at]
			bit := uint8(1) << i
			if orderOf(out) != order || proc.run.written&bit != 0 {
				continue
			}
			b := reported(proc.view[i], &f.Members[at], out, !proc.sent && !confirmedLater(&proc.view, &proc.view[i]) && !f.Doubtful(at))
			other := uint8(1) << f.bindings[out.Other]
			if out.Other != at && proc.run.failed&other != 0 || b == proc.view[i] && out.Why != relation.AsDeclared {
				proc.run.written |= bit
				continue
			}
			if done {
				emit(w, did)
				return
			}
			done = true
			proc.run.written |= bit
			did = action{what: reports, proc: uint8(p), binding: uint8(i), x: uint8(out.State), y: uint8(out.Why)}
			switch {
			case !e.leads(w, p) && !e.UnfencedWrites:
				e.die(w, p)
				did.what = loses
				emit(w, did)
				return
			case proc.behind[i]:
				proc.run.failed |= bit
				did.what = conflicts
			default:
				e.checkReport(w, p, i, &f.Members[at], out)
				e.store(w, i, b, p, e.changedCalls(&proc.view[i], &b))
				if out.State == relation.Bound {
					w.confirmed(i, true)
				}
				if out.Why == relation.AsDeclared {
					proc.sent = false
				}
			}
		}
	}
	e.end(w, p)
	emit(w, did)
}

func orderOf(out *relation.Outcome) int {
	switch out.State {
	case relation.Bound:
		return 0
	case relation.Gone:
		return 2
	default:
		return 1
	}
}

// confirmed notes that a binding was confirmed after the others, or is not confirmed.
func (w *world) confirmed(i int, is bool) {
	note := func(bindings *[maxBindings]binding) {
		for j := range bindings {
			switch b := &bindings[j]; {
			case b.phase != there:
			case j == i && is:
				b.after = 0
			case is && b.rests:
				b.after |= 1 << i
			default:
				b.after &^= 1 << i
			}
		}
	}
	note(&w.bindings)
	for p := range w.procs {
		note(&w.procs[p].view)
	}
}

func (e *explorer) changedCalls(was, is *binding) (written uint8) {
	for k := range is.calls {
		if is.calls[k] != 0 && is.calls[k] != was.calls[k] {
			written |= 1 << k
		}
	}
	return written
}

// end ends a run. The cache shows at least what the process has written.
func (e *explorer) end(w *world, p int) {
	proc := &w.procs[p]
	for i := range e.Bindings {
		if proc.run.written&(1<<i) != 0 && proc.run.failed&(1<<i) == 0 {
			proc.catchUp(w, i)
		}
	}
	proc.run = run{}
}

// reported is a binding after its outcome was written. last tells whether nothing was sent or
// confirmed since it was confirmed.
func reported(b binding, m *relation.Member, out *relation.Outcome, last bool) binding {
	switch {
	case out.Why == relation.NoReason && (out.State != relation.Gone || !b.leaving):
		return b
	case out.State == relation.Gone && b.leaving:
		return binding{phase: deleted}
	}
	b.claimed, b.claimAccount = m.Claimed, accountNumber(m.ClaimAccount)
	b.lost = b.lost && !b.claimed
	b.calls = recordsOf(out.Calls)
	switch out.Why {
	case relation.CannotRead, relation.ConnectionNotReady, relation.ConnectionStarting, relation.NoTurnYet:
		if b.status == saysBound && !b.leaving && !b.expired && last {
			// A confirmation stands as long as nothing else is read.
			return b
		}
		if out.Why == relation.NoTurnYet {
			return b
		}
	}
	b.rests, b.saidUnclaimed = false, false
	switch out.State {
	case relation.Waiting:
		b.status = saysWaiting
	case relation.Confirming:
		b.status = saysConfirming
	case relation.Bound:
		b.status, b.rests, b.waitedLong, b.after = saysBound, true, false, 0
		b.saidUnclaimed = out.Why == relation.AsDeclaredUnclaimed
	case relation.Revoking:
		b.status = saysRevoking
	case relation.Gone:
		b.status, b.rests, b.waitedLong, b.after = saysGone, true, false, 0
		b.claimed, b.claimAccount, b.calls, b.finalizer, b.lost = false, 0, [4]uint8{}, false, false
	}
	return b
}
