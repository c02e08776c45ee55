package connection

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// gather is the time that a read gathers callers for, by the time of the bubble.
const gather = 4 * time.Millisecond

var gathering = Options{GatherReads: gather, AfterFunc: func(wait time.Duration, f func()) func() bool { return time.AfterFunc(wait, f).Stop }}

// slowAPI answers reads when it is told to. Its users are named after the reads: "john 1", "john 2".
type slowAPI struct {
	answer chan error
	began  []string
}

func (a *slowAPI) read(_ context.Context, uuid string) (*delos.User, error) {
	a.began = append(a.began, uuid)
	user := &delos.User{UUID: fmt.Sprint(uuid, " ", len(a.began))}
	if err := <-a.answer; err != nil {
		return nil, err
	}
	return user, nil
}

// asker is a run that asked for a user.
type asker struct {
	user *delos.User
	err  error
	done bool
}

func (a *asker) String() string {
	switch {
	case !a.done:
		return "waiting"
	case a.err != nil:
		return a.err.Error()
	default:
		return a.user.UUID
	}
}

// askSoon asks for a user.
func askSoon(ctx context.Context, of *reads, uuid string) *asker {
	a := &asker{}
	go func() {
		a.user, a.err = of.user(ctx, uuid)
		a.done = true
	}()
	return a
}

// ask asks for a user, and returns once a read that gathers has begun.
func ask(ctx context.Context, of *reads, uuid string) *asker {
	a := askSoon(ctx, of, uuid)
	time.Sleep(gather)
	synctest.Wait()
	return a
}

// inBubble runs a test in a bubble of synctest, which knows when all wait, and fails the
// test if a goroutine is left behind in the end.
func inBubble(t *testing.T, test func(t *testing.T, api *slowAPI, of *reads)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		api := &slowAPI{answer: make(chan error)}
		test(t, api, newReads(api.read, gathering))
	})
}

// end ends a read that is under way.
func (a *slowAPI) end(err error) {
	a.answer <- err
	synctest.Wait()
}

func expectAnswers(t *testing.T, when string, want []string, of ...*asker) {
	t.Helper()
	var got []string
	for _, asker := range of {
		got = append(got, asker.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answers %s (-want +got):\n%s", when, diff)
	}
}

// TestReadBeganAfterTheAsking: a read is a confirmation since a caller that asks after a write gets a read that began
// after the write.
func TestReadBeganAfterTheAsking(t *testing.T) {
	inBubble(t, func(t *testing.T, api *slowAPI, of *reads) {
		first := ask(t.Context(), of, "john")
		second, third := ask(t.Context(), of, "john"), ask(t.Context(), of, "john")
		api.end(nil)
		fourth := ask(t.Context(), of, "john")
		expectAnswers(t, "after the first read", []string{"john 1", "waiting", "waiting", "waiting"}, first, second, third, fourth)
		api.end(nil)
		expectAnswers(t, "after the second", []string{"john 2", "john 2", "waiting"}, second, third, fourth)
		api.end(nil)
		expectAnswers(t, "after the third", []string{"john 3"}, fourth)
		if diff := cmp.Diff([]string{"john", "john", "john"}, api.began); diff != "" {
			t.Errorf("reads (-want +got):\n%s", diff)
		}
		if len(of.next) != 0 {
			t.Errorf("%d users are remembered", len(of.next))
		}
	})
}

func TestManyAskersShareARead(t *testing.T) {
	inBubble(t, func(t *testing.T, api *slowAPI, of *reads) {
		ask(t.Context(), of, "john")
		var askers []*asker
		var want []string
		for range 1000 {
			askers = append(askers, ask(t.Context(), of, "john"))
			want = append(want, "john 2")
		}
		api.end(nil)
		api.end(nil)
		expectAnswers(t, "after two reads", want, askers...)
	})
}

// TestAskersOfOneMomentShareARead: the bindings of one user are due together, and none of them waits for two reads.
func TestAskersOfOneMomentShareARead(t *testing.T) {
	inBubble(t, func(t *testing.T, api *slowAPI, of *reads) {
		var askers []*asker
		for range 3 {
			askers = append(askers, askSoon(t.Context(), of, "john"))
			time.Sleep(gather / 4)
		}
		api.end(nil)
		expectAnswers(t, "after one read", []string{"john 1", "john 1", "john 1"}, askers...)
	})
}

func TestReadsOfDifferentUsersDoNotWaitForEachOther(t *testing.T) {
	inBubble(t, func(t *testing.T, api *slowAPI, of *reads) {
		john, maria := ask(t.Context(), of, "john"), ask(t.Context(), of, "maria")
		if len(api.began) != 2 {
			t.Errorf("under way: %q", api.began)
		}
		api.end(nil)
		api.end(nil)
		expectAnswers(t, "after two reads", []string{"john 1", "maria 2"}, john, maria)
	})
}

func TestCallerThatHasGivenUpBeginsNoRead(t *testing.T) {
	inBubble(t, func(t *testing.T, api *slowAPI, of *reads) {
		ctx, giveUp := context.WithCancel(t.Context())
		giveUp()

		asked := ask(ctx, of, "john")

		expectAnswers(t, "at once", []string{"context canceled"}, asked)
		if len(api.began) > 0 {
			t.Errorf("reads began: %q", api.began)
		}
	})
}

func TestErrorsOfAReadAreShared(t *testing.T) {
	inBubble(t, func(t *testing.T, api *slowAPI, of *reads) {
		first, second, third := ask(t.Context(), of, "john"), ask(t.Context(), of, "john"), ask(t.Context(), of, "john")
		api.end(errors.New("boom"))
		fourth := ask(t.Context(), of, "john")
		api.end(errors.New("bang"))
		api.end(nil)
		expectAnswers(t, "after three reads", []string{"boom", "bang", "bang", "john 3"}, first, second, third, fourth)
	})
}

// TestCallerThatGivesUpLeavesTheOthersWaiting: neither the caller that began a read, nor one that waits for the next, ends it for others.
func TestCallerThatGivesUpLeavesTheOthersWaiting(t *testing.T) {
	inBubble(t, func(t *testing.T, api *slowAPI, of *reads) {
		ctx, cancel := context.WithCancel(t.Context())
		began, waits, stays := ask(ctx, of, "john"), ask(ctx, of, "john"), ask(t.Context(), of, "john")
		cancel()
		synctest.Wait()
		expectAnswers(t, "once they gave up", []string{"context canceled", "context canceled", "waiting"}, began, waits, stays)
		api.end(nil)
		api.end(nil)
		expectAnswers(t, "in the end", []string{"john 2"}, stays)
	})
}

func TestReadIsNotCanceledWithItsAsker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asker, giveUp := context.WithCancel(t.Context())
		read := make(chan error, 1)
		of := newReads(func(ctx context.Context, _ string) (*delos.User, error) {
			giveUp()
			read <- ctx.Err()
			return &delos.User{}, nil
		}, Options{})
		_, _ = of.user(asker, "john")
		if err := <-read; err != nil {
			t.Errorf("the read got a context that is %v", err)
		}
	})
}
