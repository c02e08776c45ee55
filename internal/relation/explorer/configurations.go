package explorer

import "github.com/delos-financial/clientbinding-operator/internal/relation"

var (
	owner     = binding{phase: there, declares: relation.Owner}
	standard  = binding{phase: there, declares: relation.Standard}
	suspended = binding{phase: there, declares: relation.Owner, suspended: true}
	beside    = binding{phase: there, declares: relation.Owner, conn: 1}
	lower     = binding{phase: there, declares: relation.Standard, conn: 1}
)

// Configurations are those that are explored.
var Configurations = []Configuration{
	{
		Name: "calls", About: "one binding, calls that are lost",
		Bindings: 1, Processes: 1, Timeout: 1, Settle: 1, Lag: 1, Witnesses: true,
		Deletes: true, Expires: true, EditsAccess: true, EditsOrphan: true, Stalls: true,
		Creates: []binding{owner}, Edits: 1, Faults: 2, Crashes: 1,
	},
	{
		Name: "two", About: "two bindings, calls that are lost",
		Bindings: 2, Processes: 1, Timeout: 1, Settle: 1, Lag: 1, Witnesses: true,
		Deletes: true, Stalls: true,
		Creates: []binding{owner, standard}, Edits: 0, Faults: 1, Crashes: 1,
	},
	{
		Name: "edits", About: "two bindings that are edited and expire",
		Bindings: 2, Processes: 1, Timeout: 1, Settle: 1, Lag: 1, Witnesses: true,
		Deletes: true, Expires: true, EditsAccess: true, EditsSuspend: true, EditsOrphan: true,
		Creates: []binding{owner, standard}, Edits: 2,
	},
	{
		Name: "three", About: "three bindings",
		Bindings: 3, Processes: 1, Timeout: 1, Settle: 1, Lag: 1, Witnesses: true,
		Deletes: true, Stalls: true,
		Creates: []binding{owner, standard}, Faults: 1,
	},
	{
		Name: "accounts", About: "two bindings through two connections, whose accounts may come to read only, to see nobody, or to be others",
		Bindings: 2, Processes: 1, Timeout: 1, Settle: 1, Lag: 1, Witnesses: true,
		Deletes: true, Expires: true, Stalls: true,
		Creates: []binding{owner, lower}, OutageCount: 2, Outages: []outageKind{rotates, goesBlind, readsOnly}, Faults: 0,
	},
	{
		Name: "lost accounts", About: "as accounts, with a call that is lost",
		Bindings: 2, Processes: 1, Timeout: 1, Settle: 1, Lag: 1, Witnesses: true,
		Deletes: true, Stalls: true,
		Creates: []binding{owner, beside}, OutageCount: 1, Outages: []outageKind{rotates, goesBlind, readsOnly}, Faults: 1,
	},
	{
		Name: "connections", About: "connections that cannot be used or do not allow",
		Bindings: 2, Processes: 1, Timeout: 1, Settle: 1, Lag: 1, Witnesses: true,
		Deletes: true, Expires: true, Stalls: true,
		Creates: []binding{owner, lower}, OutageCount: 2, Outages: []outageKind{isMissing, notReady, elsewhere, starting, unprotected, leaves, deniesAll, deniesOwners},
	},
	{
		Name: "rebind", About: "a binding names another connection",
		Bindings: 2, Processes: 1, Timeout: 1, Settle: 1, Lag: 1, Witnesses: true,
		Deletes: true, Stalls: true, EditsConnection: true, Edits: 1,
		Creates: []binding{owner, lower}, OutageCount: 1, Outages: []outageKind{readsOnly, deniesAll, notReady}, Faults: 1,
	},
	{
		Name: "users", About: "users that are missing or deleted, and drift",
		Bindings: 2, Processes: 1, Timeout: 1, Settle: 1, Lag: 1, Witnesses: true,
		Deletes: true, Expires: true, Stalls: true,
		Creates: []binding{owner, standard}, UserEvents: 2, Drifts: 1,
	},
	{
		Name: "no witness", About: "there is no other user to ask for",
		Bindings: 1, Processes: 1, Timeout: 1, Settle: 1, Lag: 1,
		Deletes: true, Expires: true, Stalls: true,
		Creates: []binding{owner}, UserEvents: 2, Drifts: 1, Faults: 1,
	},
	{
		Name: "restored", About: "statuses are lost",
		Bindings: 2, Processes: 1, Timeout: 1, Settle: 1, Lag: 1, Witnesses: true,
		Deletes: true, Expires: true, EditsSuspend: true, Stalls: true, Edits: 1,
		Creates: []binding{owner, standard}, Restores: 1,
	},
	{
		Name: "keeps", About: "a platform that does not overwrite",
		Bindings: 2, Processes: 1, Timeout: 1, Settle: 1, Lag: 1, Witnesses: true, KeepsRelations: true,
		Deletes: true, EditsAccess: true, Stalls: true, Edits: 1,
		Creates: []binding{owner, standard}, Faults: 1, Crashes: 1,
	},
	{
		Name: "stale caches", About: "caches that show what was so before",
		Bindings: 2, Processes: 1, Timeout: 1, Settle: 1, Lag: 1, Witnesses: true, StaleCaches: true,
		Deletes: true, EditsAccess: true, EditsSuspend: true, EditsOrphan: true, Edits: 1,
		Creates: []binding{owner, standard}, Faults: 1,
	},
	{
		Name: "two leaders", About: "two processes that overlap",
		Bindings: 2, Processes: 2, Timeout: 1, Settle: 1, Lag: 1, Witnesses: true, StaleCaches: true,
		Deletes: true,
		Creates: []binding{owner, standard}, Faults: 1, Moves: 2,
	},
	{
		Name: "unfenced", About: "two processes that overlap; Kubernetes writes are not fenced",
		Bindings: 2, Processes: 2, Timeout: 1, Settle: 1, Lag: 1, Witnesses: true, UnfencedWrites: true,
		Deletes: true,
		Creates: []binding{owner, standard}, Faults: 1, Moves: 2,
	},
	{
		Name: "brake", About: "a limit on revocations",
		Bindings: 2, Processes: 1, Timeout: 1, Settle: 1, Lag: 1, Witnesses: true, Brake: true,
		Deletes: true, Expires: true,
		Creates: []binding{owner, standard}, Faults: 1,
	},
	{
		Name: "contested", About: "access that is given back again and again",
		Bindings: 2, Processes: 1, Timeout: 1, Settle: 1, Lag: 1, Witnesses: true, Contests: true,
		Deletes: true, Expires: true,
		Creates: []binding{owner, standard}, Faults: 1, Drifts: 1,
	},
	{
		Name: "dry run", About: "the operator only says what it would do",
		Bindings: 2, Processes: 1, Timeout: 1, Settle: 1, Lag: 1, Witnesses: true, DryRun: true,
		Deletes: true, Expires: true, EditsSuspend: true, Edits: 1,
		Creates: []binding{owner, standard, suspended}, Faults: 1, Drifts: 2,
	},
	{
		Name: "long settle", About: "one binding, longer times",
		Bindings: 1, Processes: 1, Timeout: 1, Settle: 2, Lag: 2, Witnesses: true,
		Deletes: true, Expires: true, EditsAccess: true, Stalls: true,
		Creates: []binding{owner}, Edits: 1, Faults: 2, Crashes: 1,
	},
}
