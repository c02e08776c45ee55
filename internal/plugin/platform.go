package plugin

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

const (
	// parallel is the number of users that are read at once, the same as the operator's.
	parallel = 16
	// attempts is the number of tries of a call with a temporary failure.
	attempts = 6
	// firstWait is the first wait of such a call, if the API names none. It doubles up to lastWait.
	firstWait = time.Second
	lastWait  = 30 * time.Second
)

// platform is the API as a command uses it: within the rate, and with further tries after temporary failures.
type platform struct {
	api        *delos.Client
	config     delos.Config
	pace       *pace
	connection *v1alpha1.APIConnection
	// host and port of the API.
	host      string
	perSecond int
	// names of the clients, by their cuid; nil until diff has read them. Empty where they cannot be read.
	names map[string]string
}

// pace keeps calls within the rate, and waits when the API asks for it.
type pace struct {
	limiter *rate.Limiter

	mu    sync.Mutex
	until time.Time
}

func (p *pace) wait(ctx context.Context) error {
	for {
		p.mu.Lock()
		pause := time.Until(p.until)
		p.mu.Unlock()
		if pause <= 0 {
			return p.limiter.Wait(ctx)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// rest delays all calls for a time.
func (p *pace) rest(pause time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(pause); until.After(p.until) {
		p.until = until
	}
}

func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// again makes a call until it has no temporary failure.
func (p *platform) again(ctx context.Context, call func() error) error {
	pause := firstWait
	for attempt := 1; ; attempt++ {
		err := call()
		switch delos.KindOf(err) {
		case delos.KindRateLimited, delos.KindAwaitingCode, delos.KindUnavailable, delos.KindUnreachable:
		default:
			return err
		}
		if ctx.Err() != nil || attempt == attempts {
			return err
		}
		asked := delos.RetryAfterOf(err)
		if asked <= 0 {
			asked, pause = pause, min(2*pause, lastWait)
		}
		p.pace.rest(asked)
	}
}

// readList reads a list to its end. It reports its progress after each page.
func readList[T any](ctx context.Context, p *platform, list *delos.Listing[T], progress func(read int)) ([]T, error) {
	for {
		var done bool
		err := p.again(ctx, func() (err error) {
			done, err = list.Next(ctx)
			return err
		})
		progress(len(list.Entries()))
		if done || err != nil {
			return list.Entries(), err
		}
	}
}

// clientNames are the names of all clients, by their cuid. If the account may not list them, or the list has an unknown form,
// there are none, and why has the reason.
func (p *platform) clientNames(ctx context.Context) (names map[string]string, why string, err error) {
	customers, err := readList(ctx, p, p.api.Customers(), func(int) {})
	switch delos.KindOf(err) {
	case delos.KindNone:
	case delos.KindForbidden, delos.KindInvalid, delos.KindRefused, delos.KindUnexpected, delos.KindTooLarge:
		return map[string]string{}, fmt.Sprintf("the names of clients are not known: %s", err), nil
	}
	if err != nil {
		return nil, "", err
	}
	names = map[string]string{}
	for _, customer := range customers {
		names[customer.CUID] = customer.Name
	}
	return names, "", nil
}

// person is a user with all access, as the API shows it. The journal of an import stores it.
type person struct {
	UUID     string     `json:"uuid"`
	Username string     `json:"username,omitempty"`
	Status   string     `json:"status,omitempty"`
	Deleted  bool       `json:"deleted,omitempty"`
	Access   []relation `json:"access,omitempty"`
	// Problem is the reason why the user, or a part of its access, could not be read.
	Problem string `json:"problem,omitempty"`
	// Absent: the API knows no such user.
	Absent bool `json:"absent,omitempty"`
	// Listless: the answer has no list of clients at all.
	Listless bool `json:"listless,omitempty"`
}

// relation is the access of a user at a client.
type relation struct {
	CUID  string `json:"cuid"`
	Owner bool   `json:"owner,omitempty"`
	// Problem is the reason why the access is not known.
	Problem string `json:"problem,omitempty"`
}

// person reads a user. A missing user, or an answer that cannot be read, is not an error but the Problem of the person.
func (p *platform) person(ctx context.Context, uuid string) (person, error) {
	var user *delos.User
	err := p.again(ctx, func() (err error) {
		user, err = p.api.User(ctx, uuid)
		return err
	})
	switch delos.KindOf(err) {
	case delos.KindNone:
		if err != nil {
			return person{}, err
		}
	case delos.KindUserNotFound, delos.KindForbidden, delos.KindInvalid, delos.KindRefused, delos.KindTooLarge, delos.KindUnexpected:
		var failure *delos.Error
		return person{UUID: uuid, Problem: problem(err), Absent: errors.As(err, &failure) && failure.ProvesUserGone()}, nil
	default:
		return person{}, err
	}
	result := person{
		UUID: uuid, Username: user.Username, Status: user.Status, Deleted: user.Deleted,
		Listless: !user.Complete && len(user.Form.Clients) == 0,
	}
	switch {
	case user.Foreign:
		result.Problem = "an entry in the list of clients has a form that may be about any client"
	case !user.Complete && !result.Listless:
		result.Problem = "an entry in the list of clients names no client"
	}
	for _, cuid := range user.Clients() {
		owner, _, err := user.Relation(cuid)
		one := relation{CUID: cuid, Owner: owner}
		if err != nil {
			one.Problem = problem(err)
		}
		result.Access = append(result.Access, one)
	}
	return result, nil
}

// problem is the text of an error, without the request's id, which differs each time.
func problem(err error) string {
	var failure *delos.Error
	if !errors.As(err, &failure) {
		return err.Error()
	}
	if failure.OtherCase != "" {
		return didYouMean(failure.OtherCase)
	}
	if failure.Text != "" {
		return failure.Text
	}
	return failure.Kind.String()
}

// people reads users, in parallel and within the rate, and calls took for each. It makes one call of took at a time.
func (p *platform) people(ctx context.Context, uuids []string, took func(person) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	var mu sync.Mutex
	for _, uuid := range uuids {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			one, err := p.person(ctx, uuid)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return took(one)
		})
	}
	return group.Wait()
}
