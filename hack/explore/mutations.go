package main

// mutation is a change of internal/relation that breaks a promise.
type mutation struct {
	// file of internal/relation; old stands in it once, and becomes changed.
	file, old, changed string
	// breaks says what it does.
	breaks string
}

var mutations = []mutation{
	{"decide.go", "case left > 0:\n\t\treturn Outcome{State: Confirming, Why: CallMayArrive", "case false:\n\t\treturn Outcome{State: Confirming, Why: CallMayArrive",
		"confirms although a call without an answer may still change the relation"},
	{"decide.go", "case d.overtaken(m.Declares), d.toProve(i):", "case d.toProve(i):",
		"confirms by a read that may be older than the last accepted call"},
	{"decide.go", "case d.overtaken(m.Declares), d.toProve(i):", "case d.overtaken(m.Declares):",
		"does not have a holder of another account prove that it may revoke"},
	{"decide.go", "case m.ending(), m.SpecUnreadable, m.ClaimUnreadable:\n\t\t\treturn false", "case m.Leaving, m.SpecUnreadable, m.ClaimUnreadable:\n\t\t\treturn false",
		"has an expired member hold the relation"},
	{"decide.go", "return !m.Suspended && m.Link.usable()", "return m.Link.usable()",
		"has a suspended member without a claim hold the relation"},
	{"decide.go", "return leaving || m.arrivesWithin(Unknown) > 0 || d.Doubtful(i)", "return leaving || m.arrivesWithin(Unknown) > 0",
		"rests although a call that makes another access is on record"},
	{"leave.go", "case taken && left > 0:", "case false:",
		"lets a member go at a handover while its own call may still arrive"},
	{"leave.go", "case left > 0:\n\t\treturn Outcome{State: Revoking, Why: RemovedButMayArrive", "case false:\n\t\treturn Outcome{State: Revoking, Why: RemovedButMayArrive",
		"lets a member go whose grant may still arrive"},
	{"leave.go", "case r.Witness == SeesNobody:", "case false:",
		"takes the word of an account that sees nobody"},
	{"leave.go", "case !d.removed(i):\n\t\treturn d.revoking(i, DeletedNotRemoved)", "case false:\n\t\treturn d.revoking(i, DeletedNotRemoved)",
		"takes a deleted user for one without a relation"},
	{"leave.go", "if left > 0 {\n\t\treturn Outcome{State: Revoking, Why: OrphanMayArrive", "if false {\n\t\treturn Outcome{State: Revoking, Why: OrphanMayArrive",
		"lets an orphan go while its call may still arrive"},
	{"facts.go", "\tif answer != Lost {", "\tif true {",
		"forgets a call whose answer nobody saw"},
	{"facts.go", "\t\tif !m.Prior.settled() {", "\t\tif false {",
		"has the answer to a second call stand for the first one, too"},
	{"decide.go", "return confirmed && (c.settled() || c.Accepted && !c.Overtakes)", "return (confirmed || !confirmed) && (c.settled() || c.Accepted)",
		"takes an accepted call off the record before it shows"},
	{"decide.go", "return confirmed && (c.settled() || c.Accepted && !c.Overtakes)", "return confirmed && (c.settled() || c.Accepted)",
		"takes a call off the record by a read that may be older than another call"},
	{"leave.go", "case d.overtaken(None), m.overtook() > 0:", "case d.overtaken(None):",
		"lets a member go by a read that may be older than the grant"},
	{"decide.go", "m.Account != \"\" && m.Account == leaver.Account", "true",
		"hands a relation over to an account that has only read it"},
	{"decide.go", "case m.Link == LinkMissing, m.Link == LinkElsewhere, m.Link == LinkDenied:", "case m.Link == LinkMissing, m.Link == LinkElsewhere:",
		"has a member hold the relation whose connection does not allow it"},
	{"decide.go", "case m.Suspended:\n\t\treturn d.wait(i, Held)", "case false:\n\t\treturn d.wait(i, Held)",
		"gives access on behalf of a suspended member"},
	{"leave.go", "case m.Leaving && m.Orphan:", "case false:",
		"removes access that is to be left as it is"},
	{"leave.go", "case m.Brake == BrakeAsk && !d.DryRun && m.Reading.State != NoTurn:", "case false:",
		"does not ask the limit on revocations"},
}
