// Package delossim simulates the Delos platform API over memory, for tests and for the demo.
//
// It answers the documented calls (docs/delos-api.md) with real sessions that expire. It delays the effect of writes
// as configured, fails as scripted, and records every call. The fields of [Settings] choose between the readings
// that the documentation leaves open, or contradicts.
//
// It shares no types with the operator's own client, so tests find a misspelled field name. Where the real platform
// may be lenient it is strict, so that tests find mistakes of a client: it refuses a relation without isOwner,
// an unknown field and a token without "Bearer ".
//
//	sim := delossim.New(delossim.Config{
//		Tokens:  []string{"secret"},
//		Clients: []string{"cust_789xyz"},
//		Users:   []delossim.User{{UUID: "user_abc123def", Username: "john.smith"}},
//	})
//	server := httptest.NewServer(sim)
//	sim.Inject(delossim.Fault{Op: delossim.OpRelate, Times: 1, Apply: true, Failure: delossim.Reset{}})
//
// Faults need a server that speaks HTTP/1.1; over HTTP/2 a reset ends the stream instead of the connection.
package delossim
