package controller

import "slices"

// occasion is a place in a run of the operator at which something else may happen.
type occasion int

const (
	beforeKubeRead occasion = iota
	afterKubeRead
	beforeKubeWrite
	afterKubeWrite
	beforeAPIRead
	afterAPIRead
	beforeAPIWrite
	afterAPIWrite
)

// fate is what becomes of what the run was about to do.
type fate int

const (
	goesOn fate = iota
	isLost
	isLate
)

// interruption is something that happens in the middle of a run, on the first occasion that suits it after so many.
type interruption struct {
	what  string
	after int
	suits func(occasion) bool
	do    func(p *process, at occasion) fate
}

func anywhere(occasion) bool { return true }

func among(these ...occasion) func(occasion) bool {
	return func(at occasion) bool { return slices.Contains(these, at) }
}

// interrupt is called on each occasion of a run.
func (p *process) interrupt(at occasion) fate {
	if p.dead {
		if at == beforeAPIRead || at == beforeAPIWrite || at == afterAPIRead || at == afterAPIWrite {
			return isLost
		}
		panic(killed{})
	}
	p.points++
	armed := p.interruption
	if armed == nil || p.points < armed.after || !armed.suits(at) {
		return goesOn
	}
	p.interruption = nil
	p.log("    -- %s", armed.what)
	return armed.do(p, at)
}

// draw draws what happens during the next run; mostly nothing.
func (w *walk) drawInterruption(it item) *interruption {
	often := 20
	if it.of != ofBindings {
		often = 5
	}
	if w.calm || !w.chance(often) {
		return nil
	}
	drawn := pick(w, []*interruption{
		{what: "killed", suits: anywhere, do: (*process).kill},
		{what: "killed", suits: anywhere, do: (*process).kill},
		{what: "told to shut down", suits: among(beforeKubeRead, afterKubeRead, beforeKubeWrite, afterKubeWrite, afterAPIRead, afterAPIWrite), do: (*process).shutDown},
		{what: "lost", suits: among(beforeKubeWrite, afterKubeWrite), do: (*process).lose},
		{what: "delayed", suits: among(beforeAPIWrite), do: (*process).delayCall},
		{what: "delayed", suits: among(beforeAPIWrite), do: (*process).delayCall},
		{what: "meanwhile", suits: anywhere, do: (*process).meanwhile},
		{what: "meanwhile", suits: anywhere, do: (*process).meanwhile},
		// Reads of one user are shared, so that a second worker might wait for the one that it interrupts.
		{what: "a second worker", suits: among(beforeKubeRead, afterKubeRead, beforeKubeWrite, afterKubeWrite, beforeAPIWrite, afterAPIWrite), do: (*process).secondWorker},
		{what: "a second worker", suits: among(beforeKubeRead, afterKubeRead, beforeKubeWrite, afterKubeWrite, beforeAPIWrite, afterAPIWrite), do: (*process).secondWorker},
	})
	drawn.after = 1 + w.rand.IntN(10)
	if it.of != ofBindings {
		drawn.after = 1 + w.rand.IntN(4)
	}
	return drawn
}

// kill ends the process at once. What it was about to send may have left the machine all the same.
func (p *process) kill(at occasion) fate {
	sent := pick(p.walk, []fate{goesOn, isLost, isLate})
	p.end("is killed")
	switch at {
	case beforeAPIWrite:
		return sent
	case beforeAPIRead:
		return isLost
	case afterAPIRead, afterAPIWrite:
		return goesOn
	default:
		panic(killed{})
	}
}

// shutDown ends the process as a signal does: it is told, and may still write.
func (p *process) shutDown(occasion) fate {
	// The last that is done here: a call that is given up lets the run go on by itself.
	p.stop()
	return goesOn
}

func (p *process) lose(occasion) fate { return isLost }

func (p *process) delayCall(occasion) fate { return isLate }

// meanwhile lets somebody act in the middle of a run.
func (p *process) meanwhile(occasion) fate {
	p.current.disturbed = true
	pick(p.walk, []func(*walk){
		(*walk).declare, (*walk).edited, (*walk).edited, (*walk).withdraw, (*walk).drift, (*walk).drift, (*walk).usersChange,
	})(p.walk)
	return goesOn
}

// secondWorker lets another run take place in the middle of one.
func (p *process) secondWorker(occasion) fate {
	var others []item
	for _, key := range sortedKeys(p.cache.bindings) {
		if it := bindingItem(key); !slices.Contains(p.busy, it) {
			others = append(others, it)
		}
	}
	if len(others) == 0 {
		return goesOn
	}
	p.run(pick(p.walk, others))
	if !p.dead {
		p.learn()
	}
	p.observe()
	if p.dead {
		return isLost
	}
	return goesOn
}
