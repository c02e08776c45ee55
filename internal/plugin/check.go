package plugin

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

// checking is `check`.
type checking struct {
	*access

	writeTest []string
}

// readBack is the number of reads until a change has to show, and readBackPause the time between them.
const (
	readBack      = 15
	readBackPause = time.Second
)

func newCheck(access *access) *cobra.Command {
	c := &checking{access: access}
	command := &cobra.Command{
		Use:   "check",
		Short: "Try a connection step by step, and print the spec that the APIConnection needs",
		Long: `Try a connection step by step: name, TLS, login, second factor, the right to read users, and the form of the answers. At the end it prints
the spec that the APIConnection needs.

The command writes nothing, unless --write-test names a user and a client. Then it gives access, reads it back, and restores the former access.
If the user already has access there, it gives the same access once more.`,
		Example: `  # The APIConnection default of your namespace
  kubectl clientbindings check

  # An API before there is an APIConnection
  DELOS_LOGIN=me@example.com DELOS_PASSWORD=… kubectl clientbindings check --url https://stagep.tst-apidmndelss.com

  # Also try to give access, to a user and a client that exist for tests
  kubectl clientbindings check --write-test user_test,cust_test`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return c.run(command.Context()) },
	}
	c.addFlags(command)
	command.Flags().StringSliceVar(&c.writeTest, "write-test", nil, "USER,CUID: give this user access to this client, read it back, and restore the former access.")
	return command
}

// errStep ends a check whose step failed. The step has printed the problem.
var errStep = errors.New("a step failed")

// steps runs the steps of a check, and prints their outcomes.
type steps struct {
	*checking
	platform *platform
	paint    func(colour, text string) string
}

func (s *steps) ok(step, format string, arguments ...any) {
	fmt.Fprintf(s.program.Streams.Out, "%s %-16s %s\n", s.paint(green, "ok  "), step, visible(fmt.Sprintf(format, arguments...)))
}

func (s *steps) fail(step, format string, arguments ...any) error {
	fmt.Fprintf(s.program.Streams.Out, "%s %-16s %s\n", s.paint(red, "FAIL"), step, visible(fmt.Sprintf(format, arguments...)))
	return errStep
}

func (c *checking) run(ctx context.Context) error {
	if len(c.writeTest) != 0 && len(c.writeTest) != 2 {
		return errors.New("--write-test takes a user and a client, as in --write-test user_abc123def,cust_789xyz")
	}
	platform, err := c.platform(ctx)
	if err != nil {
		return err
	}
	s := &steps{checking: c, platform: platform, paint: c.program.paint(c.program.Streams.Out)}
	for _, step := range []func(context.Context) error{s.name, s.tls, s.login, s.users, s.write} {
		if err := step(ctx); err != nil {
			if ctx.Err() != nil {
				return err
			}
			if errors.Is(err, errStep) {
				return errFindings
			}
			return err
		}
	}
	return s.advise()
}

// proxy is the proxy before the API; nil if there is none.
func (s *steps) proxy() *url.URL {
	proxy, err := s.platform.config.Proxy(&http.Request{URL: s.platform.config.BaseURL})
	if err != nil {
		return nil
	}
	return proxy
}

// name resolves the name of the API.
func (s *steps) name(ctx context.Context) error {
	host := s.platform.config.BaseURL.Hostname()
	if proxy := s.proxy(); proxy != nil {
		s.ok("name", "%s is resolved by the proxy %s", host, proxy.Host)
		return nil
	}
	if net.ParseIP(host) != nil {
		s.ok("name", "%s is an address", host)
		return nil
	}
	addresses, err := new(net.Resolver).LookupHost(ctx, host)
	if err != nil {
		return s.fail("name", "%s cannot be resolved: correct spec.url, or have your network resolve it", host)
	}
	s.ok("name", "%s is at %s", host, strings.Join(addresses, ", "))
	return nil
}

// tls speaks TLS with the API.
func (s *steps) tls(ctx context.Context) error {
	base := s.platform.config.BaseURL
	if base.Scheme != "https" {
		s.ok("TLS", "none: the API is on this machine")
		return nil
	}
	if proxy := s.proxy(); proxy != nil {
		s.ok("TLS", "goes through the proxy %s, and is tried with the login", proxy.Host)
		return nil
	}
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: s.platform.config.RootCAs, ServerName: base.Hostname(),
	}}
	made, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(base.Hostname(), cmp.Or(base.Port(), "443")))
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &untrusted):
		text := fmt.Sprintf("the certificate is not trusted: %s", untrusted.Err)
		var authority x509.UnknownAuthorityError
		if errors.As(err, &authority) {
			text += ". Put the certificate of its authority into spec.caBundle (--ca-file)"
		}
		return s.fail("TLS", "%s", text)
	case err != nil:
		return s.fail("TLS", "%s cannot be reached: %s", base.Host, err)
	}
	defer func() { _ = made.Close() }() // nothing was sent
	if secured, is := made.(*tls.Conn); is {
		leaf := secured.ConnectionState().PeerCertificates[0]
		s.ok("TLS", "trusted until %s, issued by %s", leaf.NotAfter.UTC().Format(time.DateOnly), leaf.Issuer)
	}
	return nil
}

// login proves the credentials, and finds the form in which the API takes the token.
func (s *steps) login(ctx context.Context) error {
	credentials := s.platform.config.Credentials
	how := "with login and password"
	switch {
	case credentials.Token != "":
		how = "with the token"
	case credentials.TOTPSeed != "":
		how = "with login, password and a one-time code"
	}
	err := s.platform.again(ctx, func() error { return s.platform.api.Probe(ctx) })
	var failure *delos.Error
	if errors.As(err, &failure) && (failure.OtherForm == delos.FormBareToken || failure.OtherForm == delos.FormBearer) && s.mayTryAgain(failure) {
		other := s.platform.config
		other.Dialect.BareToken = !other.Dialect.BareToken
		api := delos.New(other)
		if err = s.platform.again(ctx, func() error { return api.Probe(ctx) }); err == nil {
			s.platform.api, s.platform.config = api, other
		}
	}
	switch {
	case err == nil:
		form := v1alpha1.AuthorizationBearer
		if s.platform.config.Dialect.BareToken {
			form = v1alpha1.AuthorizationToken
		}
		s.ok("login", "accepted %s", how)
		s.ok("authorization", "the API takes the access token in the form %s", form)
		return nil
	case delos.KindOf(err) == delos.KindLoginRefused && credentials.Token == "" && credentials.TOTPSeed == "":
		return s.fail("login", "refused %s: %s. If the account has a second factor, add its seed under the key totpSeed; else correct the Secret. Do not try again and again: that can lock the account", how, problem(err))
	case delos.KindOf(err) == delos.KindLoginRefused:
		return s.fail("login", "refused %s: %s. Correct the Secret, and look whether this machine's clock is right. Do not try again and again: that can lock the account", how, problem(err))
	default:
		return s.fail("login", "%s: %s", delos.KindOf(err), problem(err))
	}
}

// mayTryAgain reports whether another login cannot lock the account: the API accepted the credentials, or they are a token.
func (s *steps) mayTryAgain(failure *delos.Error) bool {
	return s.platform.config.Credentials.Token != "" || failure.Operation != delos.OperationLogin
}

// users reads users, and checks the form of the answers.
func (s *steps) users(ctx context.Context) error {
	list := s.platform.api.Users(delos.UserFilter{})
	err := s.platform.again(ctx, func() error { _, err := list.Next(ctx); return err })
	uuids := list.Entries()
	switch {
	case err != nil && len(s.writeTest) == 0:
		return s.fail("list users", "%s: %s. The operator does not need this right; import and report without --user do", delos.KindOf(err), problem(err))
	case err != nil:
		s.ok("list users", "not allowed: %s. The operator does not need this right; import and report without --user do", problem(err))
		uuids = s.writeTest[:1]
	case len(uuids) == 0:
		return s.fail("list users", "the account sees no user: it cannot confirm or revoke any access. Use an account that sees them")
	default:
		text := "the first page has " + amount(len(uuids), "user")
		if total, known := list.Total(); known {
			text += fmt.Sprintf(" of %d", total)
		}
		s.ok("list users", "%s", text)
	}
	return s.forms(ctx, uuids)
}

// formsOf is the number of users that are read to see the form of the answers.
const formsOf = 20

func (s *steps) forms(ctx context.Context, uuids []string) error {
	var form delos.UserForm
	read := 0
	for _, uuid := range uuids[:min(len(uuids), formsOf)] {
		var user *delos.User
		err := s.platform.again(ctx, func() (err error) { user, err = s.platform.api.User(ctx, uuid); return err })
		if err != nil {
			return s.fail("get user", "user %s: %s: %s", uuid, delos.KindOf(err), problem(err))
		}
		read++
		form.UserID = append(form.UserID, user.Form.UserID...)
		form.ClientID = append(form.ClientID, user.Form.ClientID...)
		form.Clients = append(form.Clients, user.Form.Clients...)
		if len(form.ClientID) > 0 {
			break
		}
	}
	s.ok("get user", "%d read", read)
	s.ok("form of answers", "the user's id is called %s, the clients stand in %s, a client's id is called %s",
		names(form.UserID), names(form.Clients), names(form.ClientID))
	if len(form.Clients) == 0 {
		return s.fail("clients", "no user that was read (%d) has a list of clients: without it no access can be confirmed. Look at the rights of the account", read)
	}
	return nil
}

func names(of []string) string {
	set := map[string]bool{}
	for _, name := range of {
		set[name] = true
	}
	if len(set) == 0 {
		return "(not seen)"
	}
	return strings.Join(sortedKeys(set), " and ")
}

// write gives access, reads it back, and restores the former access, also when the caller interrupts it.
func (s *steps) write(ctx context.Context) (err error) {
	if len(s.writeTest) == 0 {
		return nil
	}
	user, cuid := s.writeTest[0], s.writeTest[1]
	before, err := s.platform.person(ctx, user)
	if err != nil {
		return s.fail("write test", "%s", problem(err))
	}
	had := before.at(cuid).Actual
	if had == unknown || before.Absent || before.Deleted {
		return s.fail("write test", "nothing was written: %s", before.at(cuid).Why)
	}
	wanted := had == v1alpha1.AccessOwner
	defer func() {
		if had == v1alpha1.AccessNone {
			err = errors.Join(err, s.restore(context.WithoutCancel(ctx), user, cuid))
		}
	}()
	_, err = s.platform.api.Relate(ctx, user, cuid, wanted)
	var failure *delos.Error
	if errors.As(err, &failure) && (failure.OtherForm == delos.FormFlatRelation || failure.OtherForm == delos.FormNestedRelation) {
		other := s.platform.config
		other.Dialect.FlatRelation = !other.Dialect.FlatRelation
		s.platform.api, s.platform.config = delos.New(other), other
		_, err = s.platform.api.Relate(ctx, user, cuid, wanted)
	}
	if err != nil && delos.KindOf(err) != delos.KindAlreadyRelated {
		return s.fail("write test", "access could not be given: %s: %s", delos.KindOf(err), problem(err))
	}
	form := v1alpha1.RelationBodyNested
	if s.platform.config.Dialect.FlatRelation {
		form = v1alpha1.RelationBodyFlat
	}
	s.ok("write test", "accepted; the API takes a relation in the form %s", form)
	if err := s.await(ctx, user, cuid, accessOf(wanted)); err != nil {
		return s.fail("read back", "%s", err)
	}
	s.ok("read back", "Get user shows it")
	return nil
}

// restore removes the access of a write test.
func (s *steps) restore(ctx context.Context, user, cuid string) error {
	err := s.platform.again(ctx, func() error {
		_, err := s.platform.api.Unrelate(ctx, user, cuid)
		return err
	})
	var failure *delos.Error
	if err == nil || errors.As(err, &failure) && failure.MayMeanGone() {
		err = s.await(ctx, user, cuid, v1alpha1.AccessNone)
	}
	if err != nil {
		return s.fail("restore", "REMOVE THE ACCESS BY HAND: user %s may have standard access to client %s: %s", user, cuid, problem(err))
	}
	s.ok("restore", "the access is gone again, as Get user shows")
	return nil
}

// await reads a user until a relation shows.
func (s *steps) await(ctx context.Context, user, cuid string, wanted v1alpha1.Access) error {
	for range readBack {
		one, err := s.platform.person(ctx, user)
		if err != nil {
			return err
		}
		if one.at(cuid).Actual == wanted {
			return nil
		}
		if err := sleep(ctx, readBackPause); err != nil {
			return err
		}
	}
	return fmt.Errorf("the answers of Get user did not show it within %s", readBack*readBackPause)
}

// advise prints the spec that the APIConnection needs.
func (s *steps) advise() error {
	spec := map[string]any{
		"url":         strings.TrimSuffix(s.platform.config.BaseURL.String(), "/"),
		"credentials": map[string]any{"secretRef": map[string]any{"name": cmp.Or(s.platform.connection.Spec.Credentials.SecretRef.Name, "delos-credentials")}},
	}
	dialect := map[string]any{}
	if s.platform.config.Dialect.BareToken {
		dialect["authorization"] = string(v1alpha1.AuthorizationToken)
	}
	if s.platform.config.Dialect.FlatRelation {
		dialect["relationBody"] = string(v1alpha1.RelationBodyFlat)
	}
	if len(dialect) > 0 {
		spec["dialect"] = dialect
	}
	if bundle := s.platform.connection.Spec.CABundle; bundle != "" {
		spec["caBundle"] = bundle
	}
	text, err := yaml.Marshal(map[string]any{"spec": spec})
	if err != nil {
		return err
	}
	out := s.program.Streams.Out
	fmt.Fprintf(out, "\nThe APIConnection needs:\n\n%s", text)
	if len(s.writeTest) == 0 {
		fmt.Fprintln(out, "\nWhich form of a relation the API takes shows only in a write: see --write-test.")
	}
	given := s.platform.connection.Spec.Dialect
	bare := given != nil && given.Authorization == v1alpha1.AuthorizationToken
	flat := given != nil && given.RelationBody == v1alpha1.RelationBodyFlat
	if bare != s.platform.config.Dialect.BareToken || flat != s.platform.config.Dialect.FlatRelation {
		fmt.Fprintln(out, "\nIts spec.dialect is another one now: correct it.")
		return errFindings
	}
	return nil
}
