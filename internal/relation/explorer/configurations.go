package explorer

import "github.com/delos-financial/clientbinding-operator/internal/relation"

// The forms in which bindings are created.
var (
	owner     = binding{phase: there, declares: relation.Owner}
	standard  = binding{phase: there, declares: relation.Standard}
	suspended = binding{phase: there, declares: relation.Owner, suspended: true}
	orphan    = binding{phase: there, declares: relation.Owner, orphan: true}
	// beside and lower go through the other connection.
	beside = binding{phase: there, declares: relation.Owner, conn: 1}
	lower  = binding{phase: there, declares: relation.Standard, conn: 1}
)

// Configurations returns all configurations to explore.
func Configurations() []Configuration {
	all := configurations
	for i := range all {
		c := &all[i]
		c.Processes = max(1, c.Processes)
		if c.Timeout == 0 {
			c.Timeout, c.Settle, c.Lag = 1, 1, 1
		}
	}
	return all
}

var configurations = []Configuration{
	{
		Name: "calls", About: "One binding that is edited, expires or is orphaned; two faults and a crash",
		Bindings: 1, Witnesses: true, Deletes: true, Expires: true, EditsAccess: true, EditsOrphan: true, Stalls: true,
		Creates: []binding{owner}, Edits: 1, Faults: 2, Crashes: 1,
	},
	{
		Name: "long calls", About: "As calls; what a call makes may show two ticks later, and an empty list is left out",
		LeavesOut: true, Bindings: 1, Timeout: 1, Settle: 2, Lag: 2, Witnesses: true, Deletes: true, Expires: true, EditsAccess: true, Stalls: true,
		Creates: []binding{owner}, Edits: 1, Faults: 2,
	},
	{
		Name: "two", About: "Two bindings; a fault and a crash",
		Bindings: 2, Witnesses: true, Deletes: true, Stalls: true,
		Creates: []binding{owner, standard}, Faults: 1, Crashes: 1,
	},
	{
		Name: "empty lists", About: "As two; the platform leaves an empty list out",
		LeavesOut: true, Bindings: 2, Witnesses: true, Deletes: true, Stalls: true,
		Creates: []binding{owner, standard}, Faults: 2,
	},
	{
		Name: "three", About: "Three bindings; a fault",
		Bindings: 3, Witnesses: true, Deletes: true,
		Creates: []binding{owner, standard}, Faults: 1,
	},
	{
		Name: "edits", About: "Two bindings; two edits of access, suspension or orphaning",
		Bindings: 2, Witnesses: true, Deletes: true, EditsAccess: true, EditsSuspend: true, EditsOrphan: true,
		Creates: []binding{owner, standard}, Edits: 2,
	},
	{
		Name: "expiries", About: "Two bindings that expire, may be suspended or orphans; a fault",
		Bindings: 2, Witnesses: true, Deletes: true, Expires: true,
		Creates: []binding{owner, suspended, orphan}, Faults: 1,
	},
	{
		Name: "older", About: "An older binding is resumed, takes the relation over, and leaves; a fault and a crash",
		Bindings: 2, Witnesses: true, Deletes: true, EditsSuspend: true, EditsOrphan: true, Edits: 2, Faults: 1, Crashes: 1,
		start: func(w *world) {
			w.bindings[0] = suspended
			w.bindings[1] = binding{phase: there, declares: relation.Standard, finalizer: true, claimed: true, claimAccount: 1, status: saysBound, rests: true}
			w.platform.access, w.platform.made = relation.Standard, true
		},
	},
	{
		Name: "accounts", About: "Two connections; two times an account comes to read only, sees nobody, or is replaced by the other one",
		Bindings: 2, Witnesses: true, Deletes: true, Stalls: true,
		Creates: []binding{owner, lower}, OutageCount: 2, Outages: []outageKind{rotates, goesBlind, readsOnly},
	},
	{
		Name: "accounts and calls", About: "As accounts, once, and a fault",
		Bindings: 2, Witnesses: true, Deletes: true, Stalls: true,
		Creates: []binding{owner, beside}, OutageCount: 1, Outages: []outageKind{rotates, goesBlind, readsOnly}, Faults: 1,
	},
	{
		Name: "connections", About: "Two connections; one of them goes, cannot be used, or does not allow",
		Bindings: 2, Witnesses: true, Deletes: true, Stalls: true,
		Creates: []binding{owner, lower}, OutageCount: 1,
		Outages: []outageKind{isMissing, notReady, elsewhere, starting, unprotected, leaves, deniesAll, deniesOwners},
	},
	{
		Name: "denials", About: "Two connections that two times cannot be used or do not allow",
		Bindings: 2, Witnesses: true, Deletes: true, Stalls: true,
		Creates: []binding{owner, lower}, OutageCount: 2, Outages: []outageKind{notReady, deniesAll, deniesOwners},
	},
	{
		Name: "rebind", About: "A binding names another connection, which may be of no use",
		Bindings: 2, Witnesses: true, Deletes: true, Stalls: true, EditsConnection: true, Edits: 1,
		Creates: []binding{owner, lower}, OutageCount: 1, Outages: []outageKind{readsOnly, deniesAll, notReady},
	},
	{
		Name: "users", About: "The user goes missing, is deleted or restored, two times",
		Bindings: 2, Witnesses: true, Deletes: true, Expires: true, Stalls: true,
		Creates: []binding{owner, standard}, UserEvents: 2,
	},
	{
		Name: "drift", About: "Others change the relation two times; a fault",
		Bindings: 1, Witnesses: true, Deletes: true, Expires: true, EditsSuspend: true, Edits: 1, Stalls: true,
		Creates: []binding{owner}, Drifts: 2, Faults: 1, Crashes: 1,
	},
	{
		Name: "no witness", About: "There is no other user to ask for; the user goes; a fault",
		Bindings: 1, Deletes: true, Expires: true, Stalls: true,
		Creates: []binding{owner}, UserEvents: 2, Drifts: 1, Faults: 1,
	},
	{
		Name: "restored", About: "A status is lost",
		Bindings: 2, Witnesses: true, Deletes: true, Expires: true, Stalls: true,
		Creates: []binding{owner, suspended}, Restores: 1,
	},
	{
		Name: "no overwriting", About: "A platform that does not overwrite a relation; an edit and a fault",
		Bindings: 2, Witnesses: true, KeepsRelations: true, Deletes: true, EditsAccess: true, Stalls: true, Edits: 1,
		Creates: []binding{owner, standard}, Faults: 1,
	},
	{
		Name: "contested", About: "Corrections come to their limit; others change the relation",
		Bindings: 2, Witnesses: true, Contests: true, Deletes: true,
		Creates: []binding{owner, standard}, Drifts: 1,
	},
	{
		Name: "brake", About: "A limit on revocations; a fault",
		Bindings: 2, Witnesses: true, Brake: true, Deletes: true,
		Creates: []binding{owner, standard}, Faults: 1,
	},
	{
		Name: "dry run", About: "The operator only says what it would do; others change the relation",
		Bindings: 2, Witnesses: true, DryRun: true, Deletes: true, Expires: true, EditsSuspend: true, Edits: 1,
		Creates: []binding{owner, standard}, Faults: 1, Drifts: 2,
		start: func(w *world) {
			w.bindings[0] = binding{phase: there, declares: relation.Owner, finalizer: true, claimed: true, claimAccount: 1, status: saysBound, rests: true}
			w.platform.access, w.platform.made = relation.Owner, true
		},
	},
	{
		Name: "stale caches", About: "A cache shows each binding as it was; edits of access or orphaning",
		Bindings: 2, Witnesses: true, StaleCaches: true, Deletes: true, EditsAccess: true, EditsOrphan: true, Edits: 1,
		Creates: []binding{owner, standard},
	},
	{
		Name: "stale caches and calls", About: "A cache shows each binding as it was; a fault and a crash",
		Bindings: 2, Witnesses: true, StaleCaches: true, Deletes: true,
		Creates: []binding{owner, lower}, Faults: 1, Crashes: 1,
	},
	{
		Name: "two leaders", About: "Two processes, and the lead moves; caches that are behind; a fault",
		Bindings: 1, Processes: 2, Witnesses: true, StaleCaches: true, Deletes: true, EditsAccess: true, Edits: 1,
		Creates: []binding{owner}, Faults: 1, Moves: 1,
	},
	{
		Name: "frozen writer", About: "Two processes; one that does not lead any more still writes to Kubernetes",
		Bindings: 2, Processes: 2, Witnesses: true, UnfencedWrites: true, Deletes: true,
		Creates: []binding{owner, standard}, Moves: 1,
	},
}
