package explorer

import "github.com/delos-financial/clientbinding-operator/internal/relation"

var (
	owner     = binding{phase: there, declares: relation.Owner}
	standard  = binding{phase: there, declares: relation.Standard}
	suspended = binding{phase: there, declares: relation.Owner, suspended: true}
	beside    = binding{phase: there, declares: relation.Owner, conn: 1}
)

// Configurations are those that are explored.
var Configurations = []Configuration{
	{
		Name: "calls", About: "one binding, calls that are lost",
		Bindings: 1, Processes: 1, Timeout: 1, Settle: 1, Lag: 1, Witnesses: true,
		Deletes: true, Expires: true, EditsAccess: true, EditsOrphan: true, Stalls: true,
		Creates: []binding{owner}, Edits: 1, Faults: 2, Crashes: 1, Drifts: 1,
	},
	{
		Name: "two", About: "two bindings, calls that are lost",
		Bindings: 2, Processes: 1, Timeout: 1, Settle: 1, Lag: 1, Witnesses: true,
		Deletes: true, Stalls: true,
		Creates: []binding{owner, standard}, Edits: 0, Faults: 1, Crashes: 1,
	},
}
