// Package delossim simulates the Delos platform API over memory, for tests and for the demo.
//
// It answers the documented calls (docs/delos-api.md) with real sessions that expire, shows writes as
// late as it is told to, fails as it is scripted to, and remembers every call it was sent. What the
// documentation leaves open is a field of [Settings]; what it contradicts itself in is one, too.
//
// It shares no types with the operator's own client, so that a misspelt field name is found rather than
// cancelled out. Where the real platform may be lenient it is strict: a relation without a spoken isOwner,
// an unknown field or a token without "Bearer " is refused, so that a mistake in a client is seen.
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
