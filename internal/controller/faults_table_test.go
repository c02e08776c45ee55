package controller

import (
	"net/http"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// fault is what becomes of a call.
type fault struct {
	name string
	// failure arrives instead of the call's answer.
	failure func(delossim.Operation) delossim.Failure
	// applied: the call was carried out all the same. It always is by failures that spoil its own answer.
	applied bool
	// times is how many calls are hit; 0 for all that the run makes.
	times int
	// slow faults cost real time, as much as the connection's timeout.
	slow bool
}

var faults = []fault{
	{name: "400", failure: says(400, "Malformed request")},
	{name: "401", failure: says(401, "Unauthorized")},
	{name: "401, once", failure: says(401, "Unauthorized"), times: 1},
	{name: "403", failure: says(403, "Permission denied")},
	{name: "403, Retry-After 30 s", failure: saysLater(403)},
	{name: "404 in the API's words", failure: notFound},
	{name: "404, HTML", failure: page(404)},
	{name: "409", failure: says(409, "Conflict")},
	{name: "409, already related", failure: says(409, "User already related to this customer")},
	{name: "422", failure: says(422, "Malformed request")},
	{name: "429", failure: says(429, "Too many requests")},
	{name: "429, Retry-After 30 s", failure: saysLater(429)},
	{name: "500", failure: says(500, "Internal error")},
	{name: "502, HTML", failure: page(502)},
	{name: "503", failure: says(503, "Unavailable")},
	{name: "503, Retry-After 30 s", failure: saysLater(503)},
	{name: "timeout before headers", failure: always(delossim.Hang{}), slow: true},
	{name: "timeout after headers", failure: always(delossim.HangAfterHeaders{}), applied: true, slow: true},
	{name: "reset, not applied", failure: always(delossim.Reset{})},
	{name: "reset, applied", failure: always(delossim.Reset{}), applied: true},
	{name: "connection lost halfway", failure: always(delossim.Truncate{})},
	{name: "truncated JSON", failure: always(delossim.CutJSON{})},
	{name: "20 MiB body", failure: always(delossim.Pad{Bytes: 20 << 20})},
	{name: "redirect", failure: always(delossim.Answer{Status: 307, Header: http.Header{"Location": {"/v2/elsewhere"}}})},
	{name: "200 with an error", failure: says(200, "Internal error")},
	{name: "200, empty, not applied", failure: always(delossim.Answer{Status: 200})},
	{name: "another user's answer", failure: anotherUser},
	{name: "slow drip", failure: always(delossim.Drip{Interval: 50 * time.Millisecond}), slow: true},
}

func always(failure delossim.Failure) func(delossim.Operation) delossim.Failure {
	return func(delossim.Operation) delossim.Failure { return failure }
}

func says(status int, text string) func(delossim.Operation) delossim.Failure {
	return always(delossim.Answer{Status: status, Body: `{"error": "` + text + `"}`})
}

func saysLater(status int) func(delossim.Operation) delossim.Failure {
	return always(delossim.Answer{Status: status, Header: http.Header{"Retry-After": {"30"}}})
}

func page(status int) func(delossim.Operation) delossim.Failure {
	return always(delossim.Answer{Status: status, Body: "<html><body>nginx</body></html>"})
}

// notFound is how the API itself says it of what the call is about.
func notFound(call delossim.Operation) delossim.Failure {
	text := "User not found: " + john
	switch call {
	case delossim.OpLogin:
		text = "User not found: " + login
	case delossim.OpRefresh:
		text = "Invalid or expired refresh token"
	}
	return says(404, text)(call)
}

// anotherUser answers about Maria, also where no user is due but tokens are.
func anotherUser(call delossim.Operation) delossim.Failure {
	switch call {
	case delossim.OpLogin, delossim.OpRefresh:
		return delossim.Answer{Body: `{"item": {"uuid": "` + maria + `"}}`}
	default:
		return delossim.WrongUser{UUID: maria}
	}
}

// situation is what the operator was about to do when the fault hit it.
type situation struct {
	name string
	// about says it for people.
	about string
	// call is the operation that the fault hits, after letting the first few pass.
	call delossim.Operation
	skip int
	// arrange leads up to the run that meets the fault.
	arrange func(*cell)
	// table has a line for each fault: what is to be seen.
	table string
}

var situations = []situation{
	{
		name:    "PUT: granting",
		about:   "A new ClientBinding is granted. Get user shows no relation, the operator sets the finalizer and sends Bind client, which meets the fault.",
		call:    opRelate,
		arrange: func(c *cell) { c.turn(); c.declare() },
		table: `
fault                   | the binding says | Ready | tries again | Stalled | calls                   | access | finalizer | and after
400                     | Rejected         | False | 10m         | yes     | GET PUT                 | no     | yes       | Bound after 10m: refresh GET PUT GET
401                     | Forbidden        | False | 2s          | no      | GET PUT list            | no     | yes       | Bound after 2s: GET PUT GET
401, once               | Forbidden        | False | 2s          | no      | GET PUT list            | no     | yes       | Bound after 2s: GET PUT GET
403                     | Forbidden        | False | 2s          | no      | GET PUT                 | no     | yes       | Bound after 2s: GET PUT GET
403, Retry-After 30 s   | RateLimited      | False | 30s         | no      | GET PUT                 | no     | yes       | Bound after 30s: GET PUT GET
404 in the API's words  | UserNotFound     | False | 2s          | no      | GET PUT                 | no     | yes       | Bound after 2s: GET PUT GET
404, HTML               | UnexpectedAnswer | False | 2s          | no      | GET PUT                 | no     | yes       | Bound after 2s: GET PUT GET
409                     | Rejected         | False | 2s          | no      | GET PUT                 | no     | yes       | Bound after 2s: GET PUT GET
409, already related    | UnexpectedAnswer | False | 2s          | no      | GET PUT GET             | no     | yes       | Bound after 2s: GET PUT GET
422                     | Rejected         | False | 10m         | yes     | GET PUT                 | no     | yes       | Bound after 10m: refresh GET PUT GET
429                     | RateLimited      | False | 2s          | no      | GET PUT                 | no     | yes       | Bound after 2s: GET PUT GET
429, Retry-After 30 s   | RateLimited      | False | 30s         | no      | GET PUT                 | no     | yes       | Bound after 30s: GET PUT GET
500                     | APIUnavailable   | False | 2s          | no      | GET PUT                 | no     | yes       | Bound after 2s: GET PUT GET
502, HTML               | APIUnavailable   | False | 2s          | no      | GET PUT                 | no     | yes       | Bound after 2s: GET PUT GET
503                     | APIUnavailable   | False | 2s          | no      | GET PUT                 | no     | yes       | Bound after 2s: GET PUT GET
503, Retry-After 30 s   | RateLimited      | False | 30s         | no      | GET PUT                 | no     | yes       | Bound after 30s: GET PUT GET
timeout before headers  | APIUnavailable   | False | 2s          | no      | GET PUT                 | no     | yes       | Bound after 2s: GET PUT GET
timeout after headers   | APIUnavailable   | False | 2s          | no      | GET PUT                 | yes    | yes       | Bound after 2s: GET
reset, not applied      | APIUnavailable   | False | 2s          | no      | GET PUT                 | no     | yes       | Bound after 2s: GET PUT GET
reset, applied          | APIUnavailable   | False | 2s          | no      | GET PUT                 | yes    | yes       | Bound after 2s: GET
connection lost halfway | APIUnavailable   | False | 2s          | no      | GET PUT                 | yes    | yes       | Bound after 2s: GET
truncated JSON          | UnexpectedAnswer | False | 2s          | no      | GET PUT                 | yes    | yes       | Bound after 2s: GET
20 MiB body             | UnexpectedAnswer | False | 2s          | no      | GET PUT                 | yes    | yes       | Bound after 2s: GET
redirect                | UnexpectedAnswer | False | 2s          | no      | GET PUT                 | no     | yes       | Bound after 2s: GET PUT GET
200 with an error       | UnexpectedAnswer | False | 2s          | no      | GET PUT                 | no     | yes       | Bound after 2s: GET PUT GET
200, empty, not applied | Confirming       | False | 2s          | no      | GET PUT GET             | no     | yes       | Bound after 30s: GET GET GET GET GET PUT GET
another user's answer   | UnexpectedAnswer | False | 2s          | no      | GET PUT                 | yes    | yes       | Bound after 2s: GET
slow drip               | APIUnavailable   | False | 2s          | no      | GET PUT                 | yes    | yes       | Bound after 2s: GET
`,
	},
	{
		name:    "GET: looking before a grant",
		about:   "A new ClientBinding is looked at. Get user, its first call, meets the fault.",
		call:    opUser,
		arrange: func(c *cell) { c.turn(); c.declare() },
		table: `
fault                   | the binding says | Ready | tries again | Stalled | calls                   | access | finalizer | and after
400                     | Rejected         | False | 10m         | yes     | GET                     | no     | no        | Bound after 10m: refresh GET PUT GET
401                     | Forbidden        | False | 2s          | no      | GET list                | no     | no        | Bound after 2s: GET PUT GET
401, once               | Forbidden        | False | 2s          | no      | GET list                | no     | no        | Bound after 2s: GET PUT GET
403                     | Forbidden        | False | 2s          | no      | GET                     | no     | no        | Bound after 2s: GET PUT GET
403, Retry-After 30 s   | RateLimited      | False | 30s         | no      | GET                     | no     | no        | Bound after 30s: GET PUT GET
404 in the API's words  | UserNotFound     | False | 2s          | no      | GET                     | no     | no        | Bound after 2s: GET PUT GET
404, HTML               | UnexpectedAnswer | False | 2s          | no      | GET                     | no     | no        | Bound after 2s: GET PUT GET
409                     | Rejected         | False | 2s          | no      | GET                     | no     | no        | Bound after 2s: GET PUT GET
409, already related    | UnexpectedAnswer | False | 2s          | no      | GET                     | no     | no        | Bound after 2s: GET PUT GET
422                     | Rejected         | False | 10m         | yes     | GET                     | no     | no        | Bound after 10m: refresh GET PUT GET
429                     | RateLimited      | False | 2s          | no      | GET                     | no     | no        | Bound after 2s: GET PUT GET
429, Retry-After 30 s   | RateLimited      | False | 30s         | no      | GET                     | no     | no        | Bound after 30s: GET PUT GET
500                     | APIUnavailable   | False | 2s          | no      | GET                     | no     | no        | Bound after 2s: GET PUT GET
502, HTML               | APIUnavailable   | False | 2s          | no      | GET                     | no     | no        | Bound after 2s: GET PUT GET
503                     | APIUnavailable   | False | 2s          | no      | GET                     | no     | no        | Bound after 2s: GET PUT GET
503, Retry-After 30 s   | RateLimited      | False | 30s         | no      | GET                     | no     | no        | Bound after 30s: GET PUT GET
timeout before headers  | APIUnavailable   | False | 2s          | no      | GET                     | no     | no        | Bound after 2s: GET PUT GET
timeout after headers   | APIUnavailable   | False | 2s          | no      | GET                     | no     | no        | Bound after 2s: GET PUT GET
reset, not applied      | APIUnavailable   | False | 2s          | no      | GET GET                 | no     | no        | Bound after 2s: GET PUT GET
reset, applied          | APIUnavailable   | False | 2s          | no      | GET GET                 | no     | no        | Bound after 2s: GET PUT GET
connection lost halfway | APIUnavailable   | False | 2s          | no      | GET                     | no     | no        | Bound after 2s: GET PUT GET
truncated JSON          | UnexpectedAnswer | False | 2s          | no      | GET                     | no     | no        | Bound after 2s: GET PUT GET
20 MiB body             | UnexpectedAnswer | False | 2s          | no      | GET                     | no     | no        | Bound after 2s: GET PUT GET
redirect                | UnexpectedAnswer | False | 2s          | no      | GET                     | no     | no        | Bound after 2s: GET PUT GET
200 with an error       | UnexpectedAnswer | False | 2s          | no      | GET                     | no     | no        | Bound after 2s: GET PUT GET
200, empty, not applied | UnexpectedAnswer | False | 2s          | no      | GET                     | no     | no        | Bound after 2s: GET PUT GET
another user's answer   | UnexpectedAnswer | False | 2s          | no      | GET                     | no     | no        | Bound after 2s: GET PUT GET
slow drip               | APIUnavailable   | False | 2s          | no      | GET                     | no     | no        | Bound after 2s: GET PUT GET
`,
	},
	{
		name:    "GET: confirming a grant",
		about:   "A new ClientBinding was granted. Get user, which is to confirm it, meets the fault.",
		call:    opUser,
		skip:    1,
		arrange: func(c *cell) { c.turn(); c.declare() },
		table: `
fault                   | the binding says | Ready | tries again | Stalled | calls                   | access | finalizer | and after
400                     | Rejected         | False | 10m         | yes     | GET PUT GET             | yes    | yes       | Bound after 10m: refresh GET
401                     | Forbidden        | False | 2s          | no      | GET PUT GET list        | yes    | yes       | Bound after 2s: GET
401, once               | Forbidden        | False | 2s          | no      | GET PUT GET list        | yes    | yes       | Bound after 2s: GET
403                     | Forbidden        | False | 2s          | no      | GET PUT GET             | yes    | yes       | Bound after 2s: GET
403, Retry-After 30 s   | RateLimited      | False | 30s         | no      | GET PUT GET             | yes    | yes       | Bound after 30s: GET
404 in the API's words  | UserNotFound     | False | 2s          | no      | GET PUT GET             | yes    | yes       | Bound after 2s: GET
404, HTML               | UnexpectedAnswer | False | 2s          | no      | GET PUT GET             | yes    | yes       | Bound after 2s: GET
409                     | Rejected         | False | 2s          | no      | GET PUT GET             | yes    | yes       | Bound after 2s: GET
409, already related    | UnexpectedAnswer | False | 2s          | no      | GET PUT GET             | yes    | yes       | Bound after 2s: GET
422                     | Rejected         | False | 10m         | yes     | GET PUT GET             | yes    | yes       | Bound after 10m: refresh GET
429                     | RateLimited      | False | 2s          | no      | GET PUT GET             | yes    | yes       | Bound after 2s: GET
429, Retry-After 30 s   | RateLimited      | False | 30s         | no      | GET PUT GET             | yes    | yes       | Bound after 30s: GET
500                     | APIUnavailable   | False | 2s          | no      | GET PUT GET             | yes    | yes       | Bound after 2s: GET
502, HTML               | APIUnavailable   | False | 2s          | no      | GET PUT GET             | yes    | yes       | Bound after 2s: GET
503                     | APIUnavailable   | False | 2s          | no      | GET PUT GET             | yes    | yes       | Bound after 2s: GET
503, Retry-After 30 s   | RateLimited      | False | 30s         | no      | GET PUT GET             | yes    | yes       | Bound after 30s: GET
timeout before headers  | APIUnavailable   | False | 2s          | no      | GET PUT GET             | yes    | yes       | Bound after 2s: GET
timeout after headers   | APIUnavailable   | False | 2s          | no      | GET PUT GET             | yes    | yes       | Bound after 2s: GET
reset, not applied      | APIUnavailable   | False | 2s          | no      | GET PUT GET GET         | yes    | yes       | Bound after 2s: GET
reset, applied          | APIUnavailable   | False | 2s          | no      | GET PUT GET GET         | yes    | yes       | Bound after 2s: GET
connection lost halfway | APIUnavailable   | False | 2s          | no      | GET PUT GET             | yes    | yes       | Bound after 2s: GET
truncated JSON          | UnexpectedAnswer | False | 2s          | no      | GET PUT GET             | yes    | yes       | Bound after 2s: GET
20 MiB body             | UnexpectedAnswer | False | 2s          | no      | GET PUT GET             | yes    | yes       | Bound after 2s: GET
redirect                | UnexpectedAnswer | False | 2s          | no      | GET PUT GET             | yes    | yes       | Bound after 2s: GET
200 with an error       | UnexpectedAnswer | False | 2s          | no      | GET PUT GET             | yes    | yes       | Bound after 2s: GET
200, empty, not applied | UnexpectedAnswer | False | 2s          | no      | GET PUT GET             | yes    | yes       | Bound after 2s: GET
another user's answer   | UnexpectedAnswer | False | 2s          | no      | GET PUT GET             | yes    | yes       | Bound after 2s: GET
slow drip               | APIUnavailable   | False | 2s          | no      | GET PUT GET             | yes    | yes       | Bound after 2s: GET
`,
	},
	{
		name:    "DELETE: revoking",
		about:   "A ClientBinding that was Bound is deleted. Remove bind client meets the fault.",
		call:    opUnrelate,
		arrange: func(c *cell) { c.turn(); c.declare(); c.turn(); c.withdraw() },
		table: `
fault                   | the binding says  | Ready | tries again | Stalled | calls                     | access | finalizer | and after
400                     | RevocationBlocked | False | 2s          | no      | DELETE GET                | yes    | yes       | gone after 2s: DELETE GET
401                     | RevocationBlocked | False | 2s          | no      | DELETE list               | yes    | yes       | gone after 2s: DELETE GET
401, once               | RevocationBlocked | False | 2s          | no      | DELETE list               | yes    | yes       | gone after 2s: DELETE GET
403                     | RevocationBlocked | False | 2s          | no      | DELETE                    | yes    | yes       | gone after 2s: DELETE GET
403, Retry-After 30 s   | RevocationBlocked | False | 30s         | no      | DELETE                    | yes    | yes       | gone after 30s: DELETE GET
404 in the API's words  | RevocationBlocked | False | 2s          | no      | DELETE GET                | yes    | yes       | gone after 2s: DELETE GET
404, HTML               | RevocationBlocked | False | 2s          | no      | DELETE                    | yes    | yes       | gone after 40s: GET DELETE GET GET
409                     | RevocationBlocked | False | 2s          | no      | DELETE GET                | yes    | yes       | gone after 2s: DELETE GET
409, already related    | RevocationBlocked | False | 2s          | no      | DELETE GET                | yes    | yes       | gone after 2s: DELETE GET
422                     | RevocationBlocked | False | 2s          | no      | DELETE GET                | yes    | yes       | gone after 2s: DELETE GET
429                     | RevocationBlocked | False | 2s          | no      | DELETE                    | yes    | yes       | gone after 2s: DELETE GET
429, Retry-After 30 s   | RevocationBlocked | False | 30s         | no      | DELETE                    | yes    | yes       | gone after 30s: DELETE GET
500                     | RevocationBlocked | False | 2s          | no      | DELETE                    | yes    | yes       | gone after 40s: GET DELETE GET GET
502, HTML               | RevocationBlocked | False | 2s          | no      | DELETE                    | yes    | yes       | gone after 40s: GET DELETE GET GET
503                     | RevocationBlocked | False | 2s          | no      | DELETE                    | yes    | yes       | gone after 40s: GET DELETE GET GET
503, Retry-After 30 s   | RevocationBlocked | False | 30s         | no      | DELETE                    | yes    | yes       | gone after 40s: GET DELETE GET GET
timeout before headers  | RevocationBlocked | False | 2s          | no      | DELETE                    | yes    | yes       | gone after 31s: GET DELETE GET GET
timeout after headers   | RevocationBlocked | False | 2s          | no      | DELETE                    | no     | yes       | gone after 31s: GET DELETE GET
reset, not applied      | RevocationBlocked | False | 2s          | no      | DELETE                    | yes    | yes       | gone after 40s: GET DELETE GET GET
reset, applied          | RevocationBlocked | False | 2s          | no      | DELETE                    | no     | yes       | gone after 40s: GET DELETE GET
connection lost halfway | RevocationBlocked | False | 2s          | no      | DELETE                    | no     | yes       | gone after 40s: GET DELETE GET
truncated JSON          | gone              | –     | –           | –       | DELETE GET                | no     | –         | –
20 MiB body             | gone              | –     | –           | –       | DELETE GET                | no     | –         | –
redirect                | RevocationBlocked | False | 2s          | no      | DELETE                    | yes    | yes       | gone after 40s: GET DELETE GET GET
200 with an error       | RevocationBlocked | False | 2s          | no      | DELETE GET                | yes    | yes       | gone after 2s: DELETE GET
200, empty, not applied | Revoking          | False | 2s          | no      | DELETE GET                | yes    | yes       | gone after 30s: GET GET GET GET GET DELETE GET
another user's answer   | gone              | –     | –           | –       | DELETE GET                | no     | –         | –
slow drip               | RevocationBlocked | False | 2s          | no      | DELETE                    | no     | yes       | gone after 31s: GET DELETE GET
`,
	},
	{
		name:    "GET: confirming a removal",
		about:   "A ClientBinding that was Bound is deleted, and its relation removed. Get user, which is to show that it is gone, meets the fault.",
		call:    opUser,
		arrange: func(c *cell) { c.turn(); c.declare(); c.turn(); c.withdraw() },
		table: `
fault                   | the binding says  | Ready | tries again | Stalled | calls                  | access | finalizer | and after
400                     | RevocationBlocked | False | 2s          | no      | DELETE GET             | no     | yes       | gone after 2s: GET
401                     | RevocationBlocked | False | 2s          | no      | DELETE GET list        | no     | yes       | gone after 2s: GET
401, once               | RevocationBlocked | False | 2s          | no      | DELETE GET list        | no     | yes       | gone after 2s: GET
403                     | RevocationBlocked | False | 2s          | no      | DELETE GET             | no     | yes       | gone after 2s: GET
403, Retry-After 30 s   | RevocationBlocked | False | 30s         | no      | DELETE GET             | no     | yes       | gone after 30s: GET
404 in the API's words  | RevocationBlocked | False | 2s          | no      | DELETE GET             | no     | yes       | gone after 2s: GET
404, HTML               | RevocationBlocked | False | 2s          | no      | DELETE GET             | no     | yes       | gone after 2s: GET
409                     | RevocationBlocked | False | 2s          | no      | DELETE GET             | no     | yes       | gone after 2s: GET
409, already related    | RevocationBlocked | False | 2s          | no      | DELETE GET             | no     | yes       | gone after 2s: GET
422                     | RevocationBlocked | False | 2s          | no      | DELETE GET             | no     | yes       | gone after 2s: GET
429                     | RevocationBlocked | False | 2s          | no      | DELETE GET             | no     | yes       | gone after 2s: GET
429, Retry-After 30 s   | RevocationBlocked | False | 30s         | no      | DELETE GET             | no     | yes       | gone after 30s: GET
500                     | RevocationBlocked | False | 2s          | no      | DELETE GET             | no     | yes       | gone after 2s: GET
502, HTML               | RevocationBlocked | False | 2s          | no      | DELETE GET             | no     | yes       | gone after 2s: GET
503                     | RevocationBlocked | False | 2s          | no      | DELETE GET             | no     | yes       | gone after 2s: GET
503, Retry-After 30 s   | RevocationBlocked | False | 30s         | no      | DELETE GET             | no     | yes       | gone after 30s: GET
timeout before headers  | RevocationBlocked | False | 2s          | no      | DELETE GET             | no     | yes       | gone after 2s: GET
timeout after headers   | RevocationBlocked | False | 2s          | no      | DELETE GET             | no     | yes       | gone after 2s: GET
reset, not applied      | RevocationBlocked | False | 2s          | no      | DELETE GET GET         | no     | yes       | gone after 2s: GET
reset, applied          | RevocationBlocked | False | 2s          | no      | DELETE GET GET         | no     | yes       | gone after 2s: GET
connection lost halfway | RevocationBlocked | False | 2s          | no      | DELETE GET             | no     | yes       | gone after 2s: GET
truncated JSON          | RevocationBlocked | False | 2s          | no      | DELETE GET             | no     | yes       | gone after 2s: GET
20 MiB body             | RevocationBlocked | False | 2s          | no      | DELETE GET             | no     | yes       | gone after 2s: GET
redirect                | RevocationBlocked | False | 2s          | no      | DELETE GET             | no     | yes       | gone after 2s: GET
200 with an error       | RevocationBlocked | False | 2s          | no      | DELETE GET             | no     | yes       | gone after 2s: GET
200, empty, not applied | RevocationBlocked | False | 2s          | no      | DELETE GET             | no     | yes       | gone after 2s: GET
another user's answer   | RevocationBlocked | False | 2s          | no      | DELETE GET             | no     | yes       | gone after 2s: GET
slow drip               | RevocationBlocked | False | 2s          | no      | DELETE GET             | no     | yes       | gone after 2s: GET
`,
	},
	{
		name:    "login",
		about:   "A new APIConnection logs in, which meets the fault, and a new ClientBinding waits for it. The connection tries again and is Stalled, not the binding.",
		call:    delossim.OpLogin,
		arrange: func(c *cell) { c.declare() },
		table: `
fault                   | the connection says | tries again | Stalled | the binding says   | Ready | calls | access | finalizer | and after
400                     | LoginRefused        | 15m         | yes     | ConnectionNotReady | False | login | no     | no        | Bound after 15m: login list GET PUT GET
401                     | LoginRefused        | 15m         | yes     | ConnectionNotReady | False | login | no     | no        | Bound after 15m: login list GET PUT GET
401, once               | LoginRefused        | 15m         | yes     | ConnectionNotReady | False | login | no     | no        | Bound after 15m: login list GET PUT GET
403                     | LoginRefused        | 15m         | yes     | ConnectionNotReady | False | login | no     | no        | Bound after 15m: login list GET PUT GET
403, Retry-After 30 s   | RateLimited         | 30s         | no      | ConnectionNotReady | False | login | no     | no        | Bound after 30s: login list GET PUT GET
404 in the API's words  | LoginRefused        | 15m         | yes     | ConnectionNotReady | False | login | no     | no        | Bound after 15m: login list GET PUT GET
404, HTML               | UnexpectedAnswer    | 2s          | no      | ConnectionNotReady | False | login | no     | no        | Bound after 2s: login list GET PUT GET
409                     | LoginRefused        | 15m         | yes     | ConnectionNotReady | False | login | no     | no        | Bound after 15m: login list GET PUT GET
409, already related    | LoginRefused        | 15m         | yes     | ConnectionNotReady | False | login | no     | no        | Bound after 15m: login list GET PUT GET
422                     | LoginRefused        | 15m         | yes     | ConnectionNotReady | False | login | no     | no        | Bound after 15m: login list GET PUT GET
429                     | RateLimited         | 2s          | no      | ConnectionNotReady | False | login | no     | no        | Bound after 2s: login list GET PUT GET
429, Retry-After 30 s   | RateLimited         | 30s         | no      | ConnectionNotReady | False | login | no     | no        | Bound after 30s: login list GET PUT GET
500                     | APIUnavailable      | 2s          | no      | ConnectionNotReady | False | login | no     | no        | Bound after 2s: login list GET PUT GET
502, HTML               | APIUnavailable      | 2s          | no      | ConnectionNotReady | False | login | no     | no        | Bound after 2s: login list GET PUT GET
503                     | APIUnavailable      | 2s          | no      | ConnectionNotReady | False | login | no     | no        | Bound after 2s: login list GET PUT GET
503, Retry-After 30 s   | RateLimited         | 30s         | no      | ConnectionNotReady | False | login | no     | no        | Bound after 30s: login list GET PUT GET
timeout before headers  | APIUnavailable      | 2s          | no      | ConnectionNotReady | False | login | no     | no        | Bound after 2s: login list GET PUT GET
timeout after headers   | APIUnavailable      | 2s          | no      | ConnectionNotReady | False | login | no     | no        | Bound after 2s: login list GET PUT GET
reset, not applied      | APIUnavailable      | 2s          | no      | ConnectionNotReady | False | login | no     | no        | Bound after 2s: login list GET PUT GET
reset, applied          | APIUnavailable      | 2s          | no      | ConnectionNotReady | False | login | no     | no        | Bound after 2s: login list GET PUT GET
connection lost halfway | APIUnavailable      | 2s          | no      | ConnectionNotReady | False | login | no     | no        | Bound after 2s: login list GET PUT GET
truncated JSON          | UnexpectedAnswer    | 2s          | no      | ConnectionNotReady | False | login | no     | no        | Bound after 2s: login list GET PUT GET
20 MiB body             | UnexpectedAnswer    | 2s          | no      | ConnectionNotReady | False | login | no     | no        | Bound after 2s: login list GET PUT GET
redirect                | UnexpectedAnswer    | 2s          | no      | ConnectionNotReady | False | login | no     | no        | Bound after 2s: login list GET PUT GET
200 with an error       | LoginRefused        | 15m         | yes     | ConnectionNotReady | False | login | no     | no        | Bound after 15m: login list GET PUT GET
200, empty, not applied | UnexpectedAnswer    | 2s          | no      | ConnectionNotReady | False | login | no     | no        | Bound after 2s: login list GET PUT GET
another user's answer   | UnexpectedAnswer    | 2s          | no      | ConnectionNotReady | False | login | no     | no        | Bound after 2s: login list GET PUT GET
slow drip               | APIUnavailable      | 2s          | no      | ConnectionNotReady | False | login | no     | no        | Bound after 2s: login list GET PUT GET
`,
	},
	{
		name:    "refresh: the access token is still good",
		about:   "A session's access token, of five minutes' life, is due for renewal, and a new ClientBinding is granted. Refresh access token meets the fault.",
		call:    delossim.OpRefresh,
		arrange: func(c *cell) { c.turn(); c.clock.Advance(4*time.Minute + 48*time.Second); c.declare() },
		table: `
fault                   | the connection says | the binding says | Ready | tries again | Stalled | calls                     | access | finalizer | and after
400                     | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
401                     | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
401, once               | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
403                     | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
403, Retry-After 30 s   | LoggedIn            | RateLimited      | False | 30s         | no      | refresh                   | no     | no        | Bound after 30s: refresh GET PUT GET
404 in the API's words  | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
404, HTML               | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
409                     | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
409, already related    | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
422                     | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
429                     | LoggedIn            | Bound            | True  | –           | –       | refresh GET PUT GET       | yes    | yes       | –
429, Retry-After 30 s   | LoggedIn            | RateLimited      | False | 30s         | no      | refresh                   | no     | no        | Bound after 30s: refresh GET PUT GET
500                     | LoggedIn            | Bound            | True  | –           | –       | refresh GET PUT GET       | yes    | yes       | –
502, HTML               | LoggedIn            | Bound            | True  | –           | –       | refresh GET PUT GET       | yes    | yes       | –
503                     | LoggedIn            | Bound            | True  | –           | –       | refresh GET PUT GET       | yes    | yes       | –
503, Retry-After 30 s   | LoggedIn            | RateLimited      | False | 30s         | no      | refresh                   | no     | no        | Bound after 30s: refresh GET PUT GET
timeout before headers  | LoggedIn            | Bound            | True  | –           | –       | refresh GET PUT GET       | yes    | yes       | –
timeout after headers   | LoggedIn            | Bound            | True  | –           | –       | refresh GET PUT GET       | yes    | yes       | –
reset, not applied      | LoggedIn            | Bound            | True  | –           | –       | refresh GET PUT GET       | yes    | yes       | –
reset, applied          | LoggedIn            | Bound            | True  | –           | –       | refresh GET PUT GET       | yes    | yes       | –
connection lost halfway | LoggedIn            | Bound            | True  | –           | –       | refresh GET PUT GET       | yes    | yes       | –
truncated JSON          | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
20 MiB body             | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
redirect                | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
200 with an error       | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
200, empty, not applied | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
another user's answer   | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
slow drip               | LoggedIn            | Bound            | True  | –           | –       | refresh GET PUT GET       | yes    | yes       | –
`,
	},
	{
		name:    "refresh: the access token has expired",
		about:   "Nothing was to do for longer than the access token's life, and now a new ClientBinding is granted. Refresh access token meets the fault.",
		call:    delossim.OpRefresh,
		arrange: func(c *cell) { c.turn(); c.clock.Advance(6 * time.Minute); c.declare() },
		table: `
fault                   | the connection says | the binding says | Ready | tries again | Stalled | calls                     | access | finalizer | and after
400                     | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
401                     | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
401, once               | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
403                     | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
403, Retry-After 30 s   | LoggedIn            | RateLimited      | False | 30s         | no      | refresh                   | no     | no        | Bound after 30s: refresh GET PUT GET
404 in the API's words  | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
404, HTML               | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
409                     | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
409, already related    | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
422                     | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
429                     | LoggedIn            | RateLimited      | False | 2s          | no      | refresh                   | no     | no        | Bound after 2s: refresh GET PUT GET
429, Retry-After 30 s   | LoggedIn            | RateLimited      | False | 30s         | no      | refresh                   | no     | no        | Bound after 30s: refresh GET PUT GET
500                     | LoggedIn            | APIUnavailable   | False | 2s          | no      | refresh                   | no     | no        | Bound after 2s: login GET PUT GET
502, HTML               | LoggedIn            | APIUnavailable   | False | 2s          | no      | refresh                   | no     | no        | Bound after 2s: login GET PUT GET
503                     | LoggedIn            | APIUnavailable   | False | 2s          | no      | refresh                   | no     | no        | Bound after 2s: login GET PUT GET
503, Retry-After 30 s   | LoggedIn            | RateLimited      | False | 30s         | no      | refresh                   | no     | no        | Bound after 30s: refresh GET PUT GET
timeout before headers  | LoggedIn            | APIUnavailable   | False | 2s          | no      | refresh                   | no     | no        | Bound after 2s: login GET PUT GET
timeout after headers   | LoggedIn            | APIUnavailable   | False | 2s          | no      | refresh                   | no     | no        | Bound after 2s: login GET PUT GET
reset, not applied      | LoggedIn            | APIUnavailable   | False | 2s          | no      | refresh                   | no     | no        | Bound after 2s: login GET PUT GET
reset, applied          | LoggedIn            | APIUnavailable   | False | 2s          | no      | refresh                   | no     | no        | Bound after 2s: login GET PUT GET
connection lost halfway | LoggedIn            | APIUnavailable   | False | 2s          | no      | refresh                   | no     | no        | Bound after 2s: login GET PUT GET
truncated JSON          | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
20 MiB body             | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
redirect                | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
200 with an error       | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
200, empty, not applied | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
another user's answer   | LoggedIn            | Bound            | True  | –           | –       | refresh login GET PUT GET | yes    | yes       | –
slow drip               | LoggedIn            | APIUnavailable   | False | 2s          | no      | refresh                   | no     | no        | Bound after 2s: login GET PUT GET
`,
	},
}
