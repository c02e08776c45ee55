package controller

import (
	"strings"
	"time"

	"github.com/delos-financial/clientbinding-operator/internal/delossim"
)

// outside is the cause of what others than the operator change on the platform.
const outside = "from outside"

// drift makes, changes or removes a relation past the operator.
func (w *walk) drift() {
	relation := w.drawRelation()
	user, cuid := relation.user, relation.cuid
	if w.chance(40) {
		w.platform.RemoveRelation(user, cuid)
	} else {
		w.platform.SetRelation(user, cuid, w.chance(50))
	}
	w.log("somebody changes what %s may do on %s", strings.TrimPrefix(user, "model-"), cuid)
	w.note(outside)
}

// usersChange deletes, restores, removes or creates a user.
func (w *walk) usersChange() {
	uuid := w.drawRelation().user
	name := strings.TrimPrefix(uuid, "model-")
	user, found := w.platform.User(uuid)
	switch {
	case !found:
		w.platform.AddUser(delossim.User{UUID: uuid, Username: name})
		w.log("%s is made a user again", name)
	case user.IsDeleted:
		w.platform.RestoreUser(uuid)
		w.log("%s is restored", name)
	case w.chance(40):
		w.platform.RemoveUser(uuid)
		w.log("%s is removed", name)
	default:
		w.platform.SoftDeleteUser(uuid)
		w.log("%s is deleted", name)
	}
	w.note(outside)
}

// clientsChange removes a client or adds it again.
func (w *walk) clientsChange() {
	cuid := pick(w, w.clients[:])
	if w.platform.RemoveClient(cuid) {
		w.log("client %s is removed", cuid)
	} else {
		w.platform.AddClient(cuid)
		w.log("client %s is added", cuid)
	}
	w.note(outside)
}

// sessionsEnd makes the platform forget its sessions.
func (w *walk) sessionsEnd() {
	if w.chance(50) {
		w.platform.RevokeSessions()
	} else {
		w.platform.RevokeAccessTokens()
	}
	w.log("the platform ends its sessions")
}

// lagChanges lets writes show late, or at once.
func (w *walk) lagChanges() {
	lag := pick(w, []time.Duration{0, 0, time.Second, 5 * time.Second, 20 * time.Second})
	w.platform.Adjust(func(s *delossim.Settings) { s.Lag = lag })
	w.log("writes show after %s", lag)
}

// fault lets one of the fault matrix's faults hit some calls. Those that take time by the real clock are left out:
// for the operator they are calls without an answer, as others are. So is what no client can tell from the truth:
// that an API knows a user no longer whom it shows to others.
func (w *walk) fault() {
	operation := pick(w, []delossim.Operation{
		delossim.OpAny, opUser, opUser, opRelate, opRelate, opRelate, opUnrelate, opUnrelate, opUnrelate,
		delossim.OpLogin, delossim.OpRefresh, delossim.OpList,
	})
	drawn := pick(w, faults)
	if drawn.slow {
		return
	}
	failure := drawn.failure(operation)
	switch drawn.name {
	case "404 in the API's words":
		if operation == opUser || operation == delossim.OpAny {
			return
		}
		failure = says(404, "User not found: "+pick(w, w.users[:]))(operation)
	case "another user's answer":
		failure = delossim.WrongUser{UUID: pick(w, w.users[:])}
	}
	times := drawn.times
	if times == 0 {
		times = pick(w, []int{1, 1, 2, 4, 8})
	}
	skip := pick(w, []int{0, 0, 0, 1, 2})
	w.platform.Inject(delossim.Fault{Op: operation, Skip: skip, Times: times, Apply: drawn.applied, Failure: failure})
	w.log("fault: %s, for %d calls %q after %d", drawn.name, times, operation, skip)
}

func (w *walk) faultsEnd() {
	w.platform.ClearFaults()
	w.log("no more faults")
}

// delayNext lets the next grant or removal arrive when its sender no longer waits for it.
func (w *walk) delayNext() {
	w.delayed = true
	w.log("the next write will be late")
}

// arrive lets a late call arrive before its time is over.
func (w *walk) arrive() {
	if len(w.late) > 0 {
		w.deliver(pick(w, w.late))
	}
}
