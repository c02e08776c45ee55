package relation

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// owner is a member that declares owner access, with a connection that can be used, and with changes.
func owner(changes ...func(*Member)) Member {
	m := Member{Declares: Owner, Account: "operator"}
	for _, change := range changes {
		change(&m)
	}
	return m
}

func standard(m *Member)   { m.Declares = Standard }
func claimed(m *Member)    { m.Claimed, m.Finalizer, m.ClaimAccount = true, true, "operator" }
func rested(m *Member)     { m.Rests, m.DueIn = true, time.Hour }
func leaving(m *Member)    { m.Leaving, m.Finalizer = true, true }
func expired(m *Member)    { m.Expired = true }
func orphan(m *Member)     { m.Orphan = true }
func suspended(m *Member)  { m.Suspended = true }
func contested(m *Member)  { m.Contested = true }
func waitedLong(m *Member) { m.WaitedLong = true }

func through(link Link) func(*Member) { return func(m *Member) { m.Link, m.Through = link, int(link) } }
func byAccount(name string) func(*Member) {
	return func(m *Member) { m.Account, m.Through = name, len(name) }
}
func shown(access Access) func(*Member) {
	return reads(Reading{State: Shown, Access: access, Whole: true})
}
func reads(reading Reading) func(*Member) { return func(m *Member) { m.Reading = reading } }
func noUser(witness Witness) func(*Member) {
	return reads(Reading{State: NoUser, Named: true, Witness: witness})
}
func brake(says Brake) func(*Member) { return func(m *Member) { m.Brake = says } }
func sent(makes Access, answer Answer) func(*Member) {
	return func(m *Member) { m.Sent = Sent{makes, answer} }
}

// An unanswered call may still arrive for ten seconds, and an accepted one may not show for as long. A settled one can do neither.
func unanswered(makes Access) Call { return Call{Makes: makes, Left: 10 * time.Second} }
func accepted(makes Access) Call   { return Call{Makes: makes, Accepted: true, Left: 10 * time.Second} }
func overtaking(makes Access) Call {
	return Call{Makes: makes, Accepted: true, Overtakes: true, Left: 10 * time.Second}
}
func settled(makes Access) Call { return Call{Makes: makes} }

func calls(calls ...Call) func(*Member) { return func(m *Member) { m.Calls = calls } }

func next(step Step, member int, makes Access) Decision {
	return Decision{Step: step, Member: member, Makes: makes}
}

func report(outcomes ...Outcome) Decision { return Decision{Outcomes: outcomes} }

// TestDecide has a row for each decision. Members are numbered from 0, the oldest first.
func TestDecide(t *testing.T) {
	const ten = 10 * time.Second
	for name, row := range map[string]struct {
		members []Member
		dryRun  bool
		want    Decision
	}{
		// A single binding.
		"it is read first":                      {members: []Member{owner()}, want: next(StepRead, 0, Unknown)},
		"no access: a grant is recorded":        {members: []Member{owner(shown(None))}, want: next(StepRecord, 0, Owner)},
		"what is on record is sent":             {members: []Member{owner(claimed, shown(None), func(m *Member) { m.Recorded = Owner })}, want: next(StepSend, 0, Owner)},
		"as declared: it is adopted":            {members: []Member{owner(shown(Owner))}, want: next(StepRecord, 0, Unknown)},
		"as declared and claimed: it is bound":  {members: []Member{owner(claimed, shown(Owner))}, want: report(Outcome{State: Bound, Why: AsDeclared})},
		"confirmed and not due: it rests":       {members: []Member{owner(claimed, rested)}, want: report(Outcome{State: Bound, Look: time.Hour})},
		"a lost finalizer is put back":          {members: []Member{owner(claimed, rested, func(m *Member) { m.Finalizer = false })}, want: next(StepRecord, 0, Unknown)},
		"also when its access is to end":        {members: []Member{owner(claimed, expired, through(LinkMissing), func(m *Member) { m.Finalizer = false })}, want: next(StepRecord, 0, Unknown)},
		"more than declared: it is demoted":     {members: []Member{owner(standard, claimed, shown(Owner))}, want: next(StepRecord, 0, Standard)},
		"suspended: it only says so":            {members: []Member{owner(suspended, claimed, shown(None))}, want: report(Outcome{Why: Held})},
		"suspended and never claimed: not ours": {members: []Member{owner(suspended, shown(Owner))}, want: report(Outcome{State: Bound, Why: AsDeclaredUnclaimed})},
		"contested: it is not given again":      {members: []Member{owner(claimed, contested, shown(None))}, want: report(Outcome{Why: ContestedAccess})},
		"contested: it is still demoted":        {members: []Member{owner(standard, claimed, contested, shown(Owner))}, want: next(StepRecord, 0, Standard)},
		"its connection does not allow it":      {members: []Member{owner(claimed, through(LinkDenied))}, want: report(Outcome{Why: NotAllowed})},
		"the user is deleted":                   {members: []Member{owner(claimed, reads(Reading{State: Shown, Access: Owner, Deleted: true, Whole: true}))}, want: report(Outcome{Why: UserDeleted})},
		"a dry run says what it would do":       {members: []Member{owner(shown(None))}, dryRun: true, want: report(Outcome{Why: Held})},
		"a dry run does not claim":              {members: []Member{owner(shown(Owner))}, dryRun: true, want: report(Outcome{State: Bound, Why: AsDeclaredUnclaimed})},
		"a dry run lets nothing go":             {members: []Member{owner(claimed, leaving, orphan)}, dryRun: true, want: report(Outcome{State: Revoking, Why: LetGoHeldBack})},
		"a dry run would remove":                {members: []Member{owner(claimed, leaving)}, dryRun: true, want: report(Outcome{State: Revoking, Why: HeldBack})},
		"its connection has no turn":            {members: []Member{owner(claimed, reads(Reading{State: NoTurn}))}, want: report(Outcome{Why: NoTurnYet})},
		"it could not be read":                  {members: []Member{owner(claimed, reads(Reading{State: ReadFailed}))}, want: report(Outcome{Why: CannotRead})},
		"the answer says two things":            {members: []Member{owner(claimed, reads(Reading{State: Shown}))}, want: report(Outcome{Why: CannotRead})},
		"there is no such user":                 {members: []Member{owner(claimed, noUser(NotAsked))}, want: report(Outcome{Why: UserMissing})},
		"its fields do not decode":              {members: []Member{owner(claimed, func(m *Member) { m.SpecUnreadable = true })}, want: report(Outcome{Why: Unreadable})},
		"its claim does not decode":             {members: []Member{owner(claimed, leaving, func(m *Member) { m.ClaimUnreadable = true })}, want: report(Outcome{State: Revoking, Why: Unreadable})},

		// A lost answer.
		"a grant without an answer is sent again": {
			members: []Member{owner(claimed, shown(None), calls(unanswered(Owner)))}, want: next(StepRecord, 0, Owner)},
		"nothing is given while a removal may arrive": {
			members: []Member{owner(claimed, shown(None), calls(unanswered(None)))},
			want:    report(Outcome{State: Confirming, Why: CallMayArrive, Look: ten, Calls: []Call{unanswered(None)}})},
		"nothing is confirmed while a promotion may arrive": {
			members: []Member{owner(standard, claimed, shown(Standard), calls(unanswered(Owner)))},
			want:    report(Outcome{State: Confirming, Why: CallMayArrive, Look: ten, Calls: []Call{unanswered(Owner)}})},
		"a demotion overtakes a promotion": {
			members: []Member{owner(standard, claimed, shown(Owner), calls(unanswered(Owner)))}, want: next(StepRecord, 0, Standard)},
		"as declared, but the last accepted call made another access: it is sent again": {
			members: []Member{owner(claimed, shown(Owner), calls(accepted(Standard)))}, want: next(StepRecord, 0, Owner)},
		"an accepted call that does not show is waited for": {
			members: []Member{owner(claimed, shown(None), calls(accepted(Owner)))},
			want:    report(Outcome{State: Confirming, Why: NotShownYet, Look: ten, Calls: []Call{accepted(Owner)}})},
		"a run that lost its call ends": {
			members: []Member{owner(claimed, shown(None), sent(Owner, Lost), calls(unanswered(Owner)))},
			want:    report(Outcome{Why: CallFailed, Calls: []Call{unanswered(Owner)}})},
		"a platform that does not overwrite gets a removal first": {
			members: []Member{owner(claimed, shown(Standard), sent(Owner, AlreadyRelated))}, want: next(StepRecord, 0, None)},
		"which is made again by the next run": {
			members: []Member{owner(claimed, shown(None), sent(None, Accepted), calls(accepted(None)))},
			want:    report(Outcome{State: Confirming, Why: RemovedToRebind, Look: soon, Calls: []Call{accepted(None)}})},
		"also if it is contested": {
			members: []Member{owner(standard, claimed, contested, shown(None), calls(accepted(None)))}, want: next(StepRecord, 0, Standard)},
		"suspended, and the last accepted call made another access: it does not show yet": {
			members: []Member{owner(suspended, claimed, shown(Owner), calls(accepted(Standard)))},
			want:    report(Outcome{State: Confirming, Why: NotShownYet, Look: ten, Calls: []Call{accepted(Standard)}})},
		"a confirmation that may be older than another call leaves the call on record": {
			members: []Member{owner(claimed, shown(Owner), calls(overtaking(Owner)))},
			want:    report(Outcome{State: Bound, Why: AsDeclared, Calls: []Call{overtaking(Owner)}})},

		// A contested relation.
		"the oldest holds it": {
			members: []Member{owner(claimed, rested), owner()},
			want:    report(Outcome{State: Bound, Look: time.Hour}, Outcome{Why: OlderHolds})},
		"one that cannot act and has no claim does not hold it": {
			members: []Member{owner(through(LinkNotReady)), owner(claimed, rested)},
			want:    report(Outcome{Why: ConnectionNotReady}, Outcome{State: Bound, Look: time.Hour, Other: 1})},
		"one that is suspended and has no claim does not hold it": {
			members: []Member{owner(suspended, shown(Standard)), owner(claimed, rested)},
			want:    report(Outcome{Why: Held}, Outcome{State: Bound, Look: time.Hour, Other: 1})},
		"one whose connection does not allow it does not hold it": {
			members: []Member{owner(claimed, through(LinkDenied)), owner(claimed, rested)},
			want:    report(Outcome{Why: NotAllowed}, Outcome{State: Bound, Look: time.Hour, Other: 1})},

		// A deletion or an expiry.
		"it is removed":                       {members: []Member{owner(claimed, leaving)}, want: next(StepRecord, 0, None)},
		"so is what has expired":              {members: []Member{owner(claimed, expired)}, want: next(StepRecord, 0, None)},
		"the limit on revocations is asked":   {members: []Member{owner(claimed, leaving, brake(BrakeAsk))}, want: next(StepAskBrake, 0, Unknown)},
		"the limit on revocations holds it":   {members: []Member{owner(claimed, leaving, brake(BrakeHolds))}, want: report(Outcome{State: Revoking, Why: BrakeHeld})},
		"removed: it is read":                 {members: []Member{owner(claimed, leaving, sent(None, Accepted))}, want: next(StepRead, 0, Unknown)},
		"removed and seen gone: it is let go": {members: []Member{owner(claimed, leaving, sent(None, Accepted), shown(None))}, want: report(Outcome{State: Gone, Why: Revoked})},
		"nothing was there to remove: it is let go": {
			members: []Member{owner(claimed, leaving, sent(None, NothingThere), shown(None))}, want: report(Outcome{State: Gone, Why: Revoked})},
		"removed and still shown": {
			members: []Member{owner(claimed, leaving, sent(None, Accepted), shown(Owner), calls(accepted(None)))},
			want:    report(Outcome{State: Revoking, Why: RemovalNotShown, Look: ten, Calls: []Call{accepted(None)}})},
		"the platform refuses": {
			members: []Member{owner(claimed, leaving, sent(None, Refused), shown(Owner))}, want: report(Outcome{State: Revoking, Why: RemovalRefused})},
		"it refuses one of two that leave": {
			members: []Member{owner(claimed, leaving, sent(None, Refused), shown(Owner)), owner(claimed, leaving, shown(Owner))},
			want:    report(Outcome{State: Revoking, Why: RemovalRefused}, Outcome{State: Revoking, Why: RemovalRefused, Other: 1})},
		"the platform finds nothing to remove, and shows it": {
			members: []Member{owner(claimed, leaving, sent(None, NothingThere), shown(Owner))}, want: report(Outcome{State: Revoking, Why: NothingRemoved})},
		"two that leave through one account: one removal is enough": {
			members: []Member{owner(claimed, leaving, sent(None, Accepted), shown(None), calls(accepted(None))), owner(claimed, leaving, shown(None))},
			want:    report(Outcome{State: Gone, Why: Revoked}, Outcome{State: Gone, Why: Revoked, Other: 1})},
		"but not through two accounts": {
			members: []Member{owner(claimed, leaving, sent(None, Accepted), shown(None)), owner(claimed, leaving, byAccount("other"))},
			want:    next(StepRecord, 1, None)},
		"removed before, but another one has a claim and could have given it again": {
			members: []Member{owner(claimed, leaving, calls(accepted(None))), owner(claimed, expired)}, want: next(StepRecord, 0, None)},
		"the removal was lost: it is tried again": {
			members: []Member{owner(claimed, leaving, sent(None, Lost), calls(unanswered(None)))},
			want:    report(Outcome{State: Revoking, Why: CallFailed, Calls: []Call{unanswered(None)}})},
		"removed, and there is no list of clients: that is an empty list": {
			members: []Member{owner(claimed, leaving, sent(None, Accepted), reads(Reading{State: Shown, Access: None}), calls(accepted(None)))},
			want:    report(Outcome{State: Gone, Why: Revoked})},
		"gone, but what was read may be older than the removal": {
			members: []Member{owner(claimed, leaving, sent(None, Accepted), shown(None), calls(overtaking(None)))},
			want:    report(Outcome{State: Revoking, Why: GoneMayBeOlder, Look: ten, Calls: []Call{overtaking(None)}})},
		"nothing was removed, and there is no list of clients": {
			members: []Member{owner(claimed, leaving, sent(None, NothingThere), reads(Reading{State: Shown, Access: None}))},
			want:    report(Outcome{State: Revoking, Why: AbsenceNotWhole})},
		"a client that cannot be told may be this one": {
			members: []Member{owner(claimed, leaving, sent(None, Accepted), reads(Reading{State: Shown, Access: None, Whole: true, Odd: true}))},
			want:    report(Outcome{State: Revoking, Why: AbsenceOdd})},
		"gone, but a grant that was accepted before may show after it": {
			members: []Member{owner(claimed, leaving, sent(None, NothingThere), shown(None), calls(accepted(Owner)))},
			want:    report(Outcome{State: Revoking, Why: GoneMayBeOlder, Look: ten, Calls: []Call{accepted(Owner)}})},
		"gone, but its grant may still arrive": {
			members: []Member{owner(claimed, leaving, sent(None, Accepted), shown(None), calls(unanswered(Owner)))},
			want:    report(Outcome{State: Revoking, Why: RemovedButMayArrive, Look: ten, Calls: []Call{unanswered(Owner)}})},
		"its grant has settled: it is removed once more": {
			members: []Member{owner(claimed, leaving, calls(settled(Owner), accepted(None)))}, want: next(StepRecord, 0, None)},
		"a removal without an answer: it is read": {
			members: []Member{owner(claimed, leaving, calls(unanswered(None)))}, want: next(StepRead, 0, Unknown)},
		"a removal without an answer is sent again only if the relation is there": {
			members: []Member{owner(claimed, leaving, shown(Owner), calls(unanswered(None)))}, want: next(StepRecord, 0, None)},
		"a removal without an answer, and nothing is there": {
			members: []Member{owner(claimed, leaving, shown(None), calls(unanswered(None)))},
			want:    report(Outcome{State: Revoking, Why: RemovedButMayArrive, Look: ten, Calls: []Call{unanswered(None)}})},
		"a deleted user: only an accepted removal counts": {
			members: []Member{owner(claimed, leaving, sent(None, NothingThere), reads(Reading{State: Shown, Access: None, Deleted: true, Whole: true}))},
			want:    report(Outcome{State: Revoking, Why: DeletedNotRemoved})},
		"a deleted user: it was accepted": {
			members: []Member{owner(claimed, leaving, sent(None, Accepted), reads(Reading{State: Shown, Access: None, Deleted: true, Whole: true}), calls(accepted(None)))},
			want:    report(Outcome{State: Gone, Why: Revoked})},
		"a deleted user: it was accepted, and would still be there": {
			members: []Member{owner(claimed, leaving, sent(None, Accepted), reads(Reading{State: Shown, Access: Owner, Deleted: true, Whole: true}), calls(accepted(None)))},
			want:    report(Outcome{State: Revoking, Why: RemovalNotShown, Look: ten, Calls: []Call{accepted(None)}})},
		"it is left behind": {members: []Member{owner(claimed, leaving, orphan)}, want: report(Outcome{State: Gone, Why: Orphaned})},
		"it is left behind when nothing of it can change it": {
			members: []Member{owner(claimed, leaving, orphan, calls(unanswered(Owner)))},
			want:    report(Outcome{State: Revoking, Why: OrphanMayArrive, Look: ten, Calls: []Call{unanswered(Owner)}})},

		// An absence that is no proof, and one that is.
		"no such user, in words that name nobody": {
			members: []Member{owner(claimed, leaving, sent(None, NothingThere), reads(Reading{State: NoUser}))},
			want:    report(Outcome{State: Revoking, Why: AbsenceUnnamed})},
		"no such user, by another account": {
			members: []Member{owner(claimed, leaving, byAccount("other"), sent(None, NothingThere), noUser(SeesOthers))},
			want:    report(Outcome{State: Revoking, Why: AbsenceSeenByOther})},
		"no such user: another one is read": {
			members: []Member{owner(claimed, leaving, sent(None, NothingThere), noUser(NotAsked))}, want: next(StepWitness, 0, Unknown)},
		"no such user, by an account that sees nobody": {
			members: []Member{owner(claimed, leaving, sent(None, NothingThere), noUser(SeesNobody))},
			want:    report(Outcome{State: Revoking, Why: AbsenceSeenByBlind})},
		"no such user, by an account that sees others": {
			members: []Member{owner(claimed, leaving, sent(None, NothingThere), noUser(SeesOthers))}, want: report(Outcome{State: Gone, Why: Revoked})},
		"no such user for long, and nobody else to ask for": {
			members: []Member{owner(claimed, leaving, sent(None, NothingThere), noUser(LongAbsent))}, want: report(Outcome{State: Gone, Why: Revoked})},

		// A handover.
		"the holder is read before anything is removed": {
			members: []Member{owner(claimed, leaving), owner(claimed, rested)}, want: next(StepRead, 1, Unknown)},
		"the holder of the same account has read it": {
			members: []Member{owner(claimed, leaving), owner(claimed, shown(Owner))},
			want:    report(Outcome{State: Gone, Why: HandedOver, Other: 1}, Outcome{State: Bound, Why: AsDeclared, Other: 1})},
		"the holder of another account proves that it may revoke": {
			members: []Member{owner(claimed, leaving), owner(claimed, byAccount("other"), shown(Owner))}, want: next(StepRecord, 1, Owner)},
		"a holder that may not write: it is removed": {
			members: []Member{owner(claimed, leaving), owner(claimed, byAccount("other"), sent(Owner, Refused))}, want: next(StepRecord, 0, None)},
		"a holder whose connection is not ready is waited for": {
			members: []Member{owner(claimed, leaving), owner(claimed, through(LinkNotReady))},
			want:    report(Outcome{State: Revoking, Why: HandingOver, Other: 1}, Outcome{Why: ConnectionNotReady, Other: 1})},
		"but not without end": {
			members: []Member{owner(claimed, leaving, waitedLong), owner(claimed, through(LinkNotReady))}, want: next(StepRecord, 0, None)},
		"nor for a holder whose calls get no answer": {
			members: []Member{owner(claimed, leaving, waitedLong), owner(claimed, byAccount("other"), shown(Owner), calls(unanswered(Owner)))}, want: next(StepRecord, 0, None)},
		"nor does it wait for a holder that would give more": {
			members: []Member{owner(standard, claimed, leaving, waitedLong), owner(claimed, shown(Standard))}, want: next(StepRecord, 0, None)},
		"nothing is handed over while a call of its own may arrive": {
			members: []Member{owner(claimed, leaving, calls(unanswered(Owner))), owner(claimed, shown(Owner))},
			want: report(Outcome{State: Revoking, Why: HandedOverSoon, Other: 1, Look: ten, Calls: []Call{unanswered(Owner)}},
				Outcome{State: Bound, Why: AsDeclared, Other: 1})},

		// The finalizer without a claim.
		"restored: it is read": {members: []Member{owner(leaving)}, want: next(StepRead, 0, Unknown)},
		"restored: another one that declares it is waited for": {
			members: []Member{owner(leaving, shown(Owner)), owner(through(LinkUnprotected))},
			want:    report(Outcome{State: Revoking, Why: HandingOver, Other: 1}, Outcome{Why: ConnectionUnprotected, Other: 1})},
		"restored: but not without end": {
			members: []Member{owner(leaving, waitedLong, shown(Owner)), owner(through(LinkUnprotected))},
			want:    report(Outcome{State: Gone, Why: DeclaredByOther, Other: 1}, Outcome{Why: ConnectionUnprotected, Other: 1})},
		"restored: there is access that nobody declares": {
			members: []Member{owner(leaving, shown(Owner))}, want: report(Outcome{State: Revoking, Why: Undeclared})},
		"restored: there is none": {members: []Member{owner(leaving, shown(None))}, want: report(Outcome{State: Gone, Why: NothingToRevoke})},
		"restored: it was said to be not ours": {
			members: []Member{owner(leaving, suspended, func(m *Member) { m.SaidUnclaimed = true })}, want: report(Outcome{State: Gone, Why: NotOurs})},
		"restored: its connection does not allow it": {
			members: []Member{owner(leaving, through(LinkDenied))}, want: report(Outcome{State: Gone, Why: NothingToRevoke})},
		"restored: another one holds the relation": {
			members: []Member{owner(leaving), owner(claimed, rested)},
			want:    report(Outcome{State: Gone, Why: DeclaredByOther, Other: 1}, Outcome{State: Bound, Look: time.Hour, Other: 1})},
		"restored: it cannot be read": {
			members: []Member{owner(leaving, through(LinkMissing))}, want: report(Outcome{State: Revoking, Why: NoConnection})},
		"restored: it could not be read for long": {
			members: []Member{owner(leaving, through(LinkMissing), waitedLong)}, want: report(Outcome{State: Gone, Why: GivenUp})},
		"expired before it was claimed: it is only read": {
			members: []Member{owner(expired, shown(Owner))}, want: report(Outcome{State: Gone, Why: ExpiredUndeclared})},
		"expired before it was claimed: there is none": {
			members: []Member{owner(expired, shown(None))}, want: report(Outcome{State: Gone, Why: ExpiredBefore})},
		"expired before it was claimed: another one declares it": {
			members: []Member{owner(expired, shown(Owner)), owner(claimed, rested)},
			want:    report(Outcome{State: Gone, Why: ExpiredElsewhere, Other: 1}, Outcome{State: Bound, Look: time.Hour, Other: 1})},
		"expired before it was claimed: it cannot be read, also with a finalizer": {
			members: []Member{owner(expired, reads(Reading{State: ReadFailed}), func(m *Member) { m.Finalizer = true })}, want: report(Outcome{Why: CannotRead})},
	} {
		t.Run(name, func(t *testing.T) {
			got := Decide(Facts{Members: row.members, DryRun: row.dryRun})
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestAfterCalls leads a run through calls that it records and sends, to the decision after them, and the calls that stay on record.
func TestAfterCalls(t *testing.T) {
	const ten = 10 * time.Second
	makes := func(access Access, answer Answer) func(*Facts) {
		return func(f *Facts) {
			f.NoteRecorded(0, Call{Makes: access, Left: ten})
			f.NoteSent(0, answer, ten)
		}
	}
	reads := func(reading Reading) func(*Facts) { return func(f *Facts) { f.NoteRead(0, reading) } }
	listless := Reading{State: Shown, Access: None}
	for name, row := range map[string]struct {
		members []Member
		happens []func(*Facts)
		want    Decision
	}{
		"a removal that nobody answered does not make up for a grant that has settled": {
			members: []Member{owner(claimed, leaving, calls(settled(Owner), accepted(None)))},
			happens: []func(*Facts){makes(None, Lost)},
			want: report(Outcome{State: Revoking, Why: CallFailed,
				Calls: []Call{settled(Owner), accepted(None), {Makes: None, Left: ten}}})},
		"nor does one that found nothing": {
			members: []Member{owner(claimed, leaving, calls(settled(Owner), accepted(None)))},
			happens: []func(*Facts){makes(None, NothingThere), reads(listless)},
			want:    report(Outcome{State: Revoking, Why: AbsenceNotWhole, Calls: []Call{settled(Owner), accepted(None)}})},
		"one that was accepted does": {
			members: []Member{owner(claimed, leaving, calls(settled(Owner), Call{Makes: None, Accepted: true}))},
			happens: []func(*Facts){makes(None, Accepted), reads(Reading{State: Shown, Access: None, Whole: true})},
			want:    report(Outcome{State: Gone, Why: Revoked})},
		"what was granted and shows leaves the record": {
			members: []Member{owner(claimed)},
			happens: []func(*Facts){makes(Owner, Accepted), reads(Reading{State: Shown, Access: Owner, Whole: true})},
			want:    report(Outcome{State: Bound, Why: AsDeclared})},
		"but not soon after another call was accepted": {
			members: []Member{owner(claimed, calls(accepted(Standard)))},
			happens: []func(*Facts){makes(Owner, Accepted), reads(Reading{State: Shown, Access: Owner, Whole: true})},
			want:    report(Outcome{State: Bound, Why: AsDeclared, Calls: []Call{{Makes: Owner, Accepted: true, Overtakes: true, Left: ten, Settle: ten}}})},
		"nor what is read soon after a grant that nobody answered": {
			members: []Member{owner(claimed, leaving, calls(unanswered(Owner)))},
			happens: []func(*Facts){makes(None, Accepted), reads(Reading{State: Shown, Access: None, Whole: true})},
			want: report(Outcome{State: Revoking, Why: RemovedButMayArrive, Look: ten,
				Calls: []Call{unanswered(Owner), {Makes: None, Accepted: true, Overtakes: true, Left: ten, Settle: ten}}})},
		"a call that follows one which overtook another one overtakes that, too": {
			members: []Member{owner(claimed, calls(overtaking(Owner)))},
			happens: []func(*Facts){makes(Owner, Accepted), reads(Reading{State: Shown, Access: Owner, Whole: true})},
			want:    report(Outcome{State: Bound, Why: AsDeclared, Calls: []Call{{Makes: Owner, Accepted: true, Overtakes: true, Left: ten, Settle: ten}}})},
		"the record of an earlier call stays when the later one was answered": {
			members: []Member{owner(standard, claimed, calls(unanswered(Standard)))},
			happens: []func(*Facts){makes(Standard, Refused), reads(Reading{State: Shown, Access: None, Whole: true})},
			want:    report(Outcome{Why: CallFailed, Calls: []Call{unanswered(Standard)}})},
		"what was read before a call counts no more": {
			members: []Member{owner(shown(None))}, happens: []func(*Facts){makes(Owner, Accepted)}, want: next(StepRead, 0, Unknown)},
		"a call that was not sent leaves what was read": {
			members: []Member{owner(shown(None))}, happens: []func(*Facts){makes(Owner, Unsent)},
			want: report(Outcome{Why: CallFailed})},
	} {
		t.Run(name, func(t *testing.T) {
			f := Facts{Members: row.members}
			for _, happens := range row.happens {
				happens(&f)
			}
			if diff := cmp.Diff(row.want, Decide(f), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
