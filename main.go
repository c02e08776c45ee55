// The ClientBinding operator makes access to client accounts on the Delos Financial platform
// declarative. This file reads the flags and wires the parts together; it has no logic of its own.
package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"go.opentelemetry.io/otel/trace"
	uberzap "go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	clusterconfig "sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/leaderelection"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsregistry "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
	reconcilers "github.com/delos-financial/clientbinding-operator/internal/controller"
	"github.com/delos-financial/clientbinding-operator/internal/leading"
	"github.com/delos-financial/clientbinding-operator/internal/metrics"
	"github.com/delos-financial/clientbinding-operator/internal/secretwatch"
	"github.com/delos-financial/clientbinding-operator/internal/tracing"
	"github.com/delos-financial/clientbinding-operator/internal/watchhealth"
)

const name = "clientbinding-operator"

// policyCheckLimit bounds the check of the admission policies at the start, which the start waits for.
const policyCheckLimit = 10 * time.Second

// gatherReads is the time for which the read of a user waits for other bindings of the user. They are due at the same moment, and their runs
// ask within some milliseconds.
const gatherReads = 5 * time.Millisecond

// connectionWorkers is how many APIConnections are checked at the same time.
const connectionWorkers = 10

// settings are the values of the flags.
type settings struct {
	leaderElect       bool
	leaderNamespace   string
	probeAddress      string
	metricsAddress    string
	metricsSecure     bool
	concurrent        int
	dryRun            bool
	stallAfter        time.Duration
	allowHTTPLoopback bool
	allowedHosts      string
	defaultConnection string
	namespaces        string
	connections       reconcilers.Connections
	// selector selects the APIConnections of a shard; nil without --connection-selector.
	selector labels.Selector
	auditLog string
	version  bool
	logging  zap.Options
}

// parseFlags reads the flags. Help, and complaints about flags, go to usage.
func parseFlags(arguments []string, usage io.Writer) (settings, error) {
	s := settings{logging: zap.Options{TimeEncoder: zapcore.RFC3339TimeEncoder}}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.BoolVar(&s.leaderElect, "leader-elect", false, "Wait to be the leader before reconciling. Needed with more than one replica.")
	flags.StringVar(&s.leaderNamespace, "leader-election-namespace", "", "Namespace of the leader election's Lease; the operator's own when empty.")
	flags.StringVar(&s.probeAddress, "health-probe-bind-address", ":8081", "Address of /healthz and /readyz; 0 for none.")
	flags.StringVar(&s.metricsAddress, "metrics-bind-address", "0", "Address of /metrics, such as :8443; 0 for none.")
	flags.BoolVar(&s.metricsSecure, "metrics-secure", true, "Serve /metrics by https, to clients that the API server authenticates and authorizes.")
	flags.IntVar(&s.concurrent, "concurrent", 256, "How many relations (one user and one client each) are worked on at the same time. One APIConnection occupies at most 20 of them, or 68 if its rate is above 100 calls a second. So the default has room for twelve APIConnections whose API answers slowly, or for three with such a rate.")
	flags.BoolVar(&s.dryRun, "dry-run", false, "Read, decide and report, and change nothing: no access on the platform, no finalizer, no claim. Only statuses and events are written. Use it to adopt access that exists, and to restore a backup.")
	flags.DurationVar(&s.stallAfter, "stall-after", 10*time.Minute, "How long a failure may last before it is shown as Stalled. The operator goes on trying, slowly.")
	flags.BoolVar(&s.allowHTTPLoopback, "allow-http-loopback", false, "Let an APIConnection use plain http to this machine (for tests and demonstrations).")
	flags.StringVar(&s.allowedHosts, "allowed-api-hosts", connection.DocumentedHost, "Comma-separated globs of the hosts, or host:port, to which APIConnections may lead, such as *.example.com; * for any. The default is the staging platform: name the production platform here. Through a proxy, and for addresses of this machine or of its network only, a glob has to name the host or its domain.")
	flags.StringVar(&s.defaultConnection, "default-connection", "", "The namespace/name of the APIConnection for ClientBindings that name none; when empty, it is the one called default in their own namespace.")
	flags.StringVar(&s.namespaces, "namespaces", "", "Comma-separated names of the namespaces that the operator serves. It then needs no rights in others; see config/namespaced. All when the flag is not given.")
	flags.StringVar(&s.auditLog, "audit-log", "-", "File to which the operator appends the audit lines, which say who gave and took which access; - for the operator's log. You can rename the file at any time: the operator then makes a new one.")
	selector := ""
	flags.StringVar(&selector, "connection-selector", "", "Be a shard: serve the APIConnections whose labels this selector matches, such as shard=a, and the ClientBindings at their API hosts. All APIConnections of one host have to be in one shard. Needs --leader-elect. All when the flag is not given.")
	flags.BoolVar(&s.version, "version", false, "Print version, commit and version of Go, and end.")
	s.logging.BindFlags(flags)
	clusterconfig.RegisterFlags(flags)
	if err := flags.Parse(arguments); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unknown argument %q: all settings are flags, see --help", flags.Arg(0))
	}
	if s.concurrent < 1 {
		return s, fmt.Errorf("--concurrent is %d: it must be at least 1", s.concurrent)
	}
	if s.stallAfter <= 0 {
		return s, fmt.Errorf("--stall-after is %s: it must be longer than 0s", s.stallAfter)
	}
	if err := connection.CheckHostGlobs(s.hosts()); err != nil {
		return s, fmt.Errorf("--allowed-api-hosts: %w", err)
	}
	if given(flags, "connection-selector") {
		if err := s.parseSelector(selector); err != nil {
			return s, fmt.Errorf("--connection-selector: %w", err)
		}
	}
	err := s.parseConnections(flags)
	return s, err
}

// parseConnections reads the flags about which connections bindings use.
func (s *settings) parseConnections(flags *flag.FlagSet) (err error) {
	if s.connections.Default, err = reconcilers.ParseConnectionName(s.defaultConnection); err != nil {
		return fmt.Errorf("--default-connection: %w", err)
	}
	// An empty list is a mistake: it does not stand for all namespaces.
	if !given(flags, "namespaces") {
		return nil
	}
	if s.connections.Namespaces, err = reconcilers.ParseNamespaces(s.namespaces); err != nil {
		return fmt.Errorf("--namespaces: %w", err)
	}
	if shared := s.connections.Default.Namespace; shared != "" && !s.connections.Serve(shared) {
		return fmt.Errorf("--default-connection is in namespace %s, which --namespaces does not name", shared)
	}
	return nil
}

// openAudit opens the file of --audit-log; nil stands for the operator's log.
func (s settings) openAudit() (*reconcilers.AuditFile, error) {
	if s.auditLog == "-" {
		return nil, nil
	}
	file, err := reconcilers.OpenAuditFile(s.auditLog, time.Now)
	if err != nil {
		return nil, fmt.Errorf("--audit-log: %w: name a file that the operator may write, or - for its log", err)
	}
	return file, nil
}

func given(flags *flag.FlagSet, name string) (is bool) {
	flags.Visit(func(f *flag.Flag) { is = is || f.Name == name })
	return is
}

// parseSelector reads the selector of a shard.
func (s *settings) parseSelector(text string) (err error) {
	switch s.selector, err = labels.Parse(text); {
	case err != nil:
		return fmt.Errorf("%q is not a label selector such as shard=a: %w", text, err)
	case s.selector.Empty():
		return errors.New("it selects all APIConnections: leave the flag out")
	case !s.leaderElect:
		return errors.New("it needs --leader-elect, which keeps two shards from serving the same host")
	default:
		return nil
	}
}

// hosts are the globs of --allowed-api-hosts.
func (s settings) hosts() []string { return strings.Split(s.allowedHosts, ",") }

func main() {
	err := command(ctrl.SetupSignalHandler(), os.Args[1:], os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
}

// command runs the operator, or the command trial.
func command(ctx context.Context, arguments []string, out, usage io.Writer) error {
	if len(arguments) > 0 && arguments[0] == "trial" {
		return try(ctx, arguments[1:], out, usage)
	}
	s, err := parseFlags(arguments, usage)
	if err != nil {
		return err
	}
	if s.version {
		_, err = fmt.Fprintln(out, thisBuild())
		return err
	}
	ctrl.SetLogger(newLogger(s.logging))
	return run(ctx, s)
}

// newLogger returns a logger that writes every line. The logger of controller-runtime samples: of lines that are alike it drops
// most within a second, and audit lines are alike.
func newLogger(options zap.Options) logr.Logger {
	var complete zapcore.Core
	options.ZapOpts = append(options.ZapOpts, uberzap.WrapCore(func(core zapcore.Core) zapcore.Core {
		complete = core
		return core
	}))
	sampled := zap.NewRaw(zap.UseFlagOptions(&options))
	return zapr.NewLogger(sampled.WithOptions(uberzap.WrapCore(func(zapcore.Core) zapcore.Core { return complete })))
}

func run(ctx context.Context, s settings) error {
	build := thisBuild()
	ctrl.Log.Info("starting", "version", build.Version, "commit", build.Commit, "go", build.Go,
		"allowedAPIHosts", s.allowedHosts, "dryRun", s.dryRun)
	audit, err := s.openAudit()
	if err != nil {
		return err
	}
	config, err := clusterconfig.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster (see --kubeconfig): %w", err)
	}
	config.UserAgent = userAgent(build)
	settings := options(s)
	watches, err := watchhealth.New(settings.Scheme, time.Now, watchedKinds(s)...)
	if err != nil {
		return err
	}
	settings.Cache.DefaultWatchErrorHandler = watches.WatchFailed
	lease := &leading.Lock{As: s.sharedIdentity(), Now: time.Now}
	settings.LeaderElectionResourceLockInterface = lease
	mgr, err := ctrl.NewManager(config, settings)
	if err != nil {
		return err
	}
	for _, kind := range []string{"ClientBinding", "APIConnection"} {
		if _, err := mgr.GetRESTMapper().RESTMapping(schema.GroupKind{Group: v1alpha1.GroupVersion.Group, Kind: kind}, v1alpha1.GroupVersion.Version); err != nil {
			return fmt.Errorf("finding the CRD of %s (is it installed?): %w", kind, err)
		}
	}
	if lease.Interface, err = lock(config, mgr, settings); err != nil {
		return err
	}
	metricsregistry.Registry.MustRegister(metrics.NewWatches(watches.Kinds(), func() map[string]error {
		return watches.Problems(ctx, mgr.GetCache())
	}))
	spans, err := tracing.FromEnvironment(ctx, name, build.Version, ctrl.Log)
	if err != nil {
		// No access depends on it.
		ctrl.Log.Info("WARNING: tracing is off", "error", err.Error())
	}
	defer spans.End(ctx)
	policies := reconcilers.NewPolicies(mgr.GetAPIReader())
	if err := errors.Join(
		mgr.AddHealthzCheck("ping", healthz.Ping),
		mgr.AddReadyzCheck("watches", watches.Check(mgr.GetCache())),
		register(ctx, mgr, s, parts{policies: policies, lease: lease, audit: audit, tracer: spans.Tracer}),
	); err != nil {
		return err
	}
	if open := connection.OpenHostGlobs(s.hosts()); len(open) > 0 {
		ctrl.Log.Info("WARNING: --allowed-api-hosts allows hosts of any domain: credentials can be sent to any host that an APIConnection leads to",
			"open", open)
	}
	look, done := context.WithTimeout(ctx, policyCheckLimit)
	policies.Check(ctrl.LoggerInto(look, ctrl.Log))
	done()
	return startAndEnd(ctx, mgr, watches)
}

// lock makes the resource lock that controller-runtime would make by itself; nil without leader election. It needs the manager for events.
func lock(config *rest.Config, mgr ctrl.Manager, settings ctrl.Options) (resourcelock.Interface, error) {
	return leaderelection.NewResourceLock(rest.CopyConfig(config), mgr, leaderelection.Options{
		LeaderElection:          settings.LeaderElection,
		LeaderElectionID:        settings.LeaderElectionID,
		LeaderElectionNamespace: settings.LeaderElectionNamespace,
		RenewDeadline:           *settings.RenewDeadline,
	})
}

// sharedIdentity is the identity with which all shards together hold the Lease of the leader election. It keeps an operator without a
// selector from acting beside them. It contains the flags that have to be the same in all shards. It is empty without --connection-selector.
func (s settings) sharedIdentity() string {
	if s.selector == nil {
		return ""
	}
	return fmt.Sprintf("shards; --namespaces=%s; --default-connection=%s", s.namespaces, s.defaultConnection)
}

// addShard makes this process a shard; nil without --connection-selector. The Leases of API hosts are in the namespace of the leader
// election's Lease.
func addShard(mgr ctrl.Manager, s settings, lease *leading.Lock) (*reconcilers.Shard, error) {
	if s.selector == nil {
		return nil, nil
	}
	election, is := lease.Interface.(*resourcelock.LeaseLock)
	if !is {
		return nil, errors.New("the leader election has no Lease, and the Leases of API hosts have to be in its namespace")
	}
	shard := reconcilers.NewShard(&reconcilers.Shard{
		Selector: s.selector, Kube: mgr.GetClient(), Live: mgr.GetAPIReader(), Namespaces: s.connections.Namespaces, Now: time.Now,
	}, func(host string) resourcelock.Interface {
		return &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: election.LeaseMeta.Namespace, Name: fmt.Sprintf("%s-host-%x", name, sha256.Sum256([]byte(host)))},
			Client:     election.Client,
			LockConfig: resourcelock.ResourceLockConfig{Identity: reconcilers.ShardIdentity(s.selector, host, election.Identity())},
		}
	})
	return shard, mgr.Add(shard)
}

// endWithin bounds the time that the process takes to end. It is longer than the 30 seconds that the manager gives running
// reconciles, and shorter than the Deployment's terminationGracePeriodSeconds.
const endWithin = 35 * time.Second

// startAndEnd runs the manager until the context ends. The manager alone would not end before its caches have filled
// (runnableGroup.Start of controller-runtime), which may never happen. Nothing that takes time to end runs until then.
func startAndEnd(ctx context.Context, mgr ctrl.Manager, watches *watchhealth.Health) error {
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	limit := endWithin
	if !watches.Filled(context.WithoutCancel(ctx), mgr.GetCache()) {
		ctrl.Log.Info("ending before the caches have filled")
		limit = 0
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(limit):
		return nil
	}
}

// watchedKinds are the kinds that the operator has to watch to be ready. Secrets are not among them: a team that withdraws the
// right to its Secret would make the operator unready for all.
func watchedKinds(s settings) []client.Object {
	kinds := []client.Object{&v1alpha1.ClientBinding{}, &v1alpha1.APIConnection{}}
	if len(s.connections.Namespaces) == 0 {
		namespaces := &metav1.PartialObjectMetadata{}
		namespaces.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
		kinds = append(kinds, namespaces)
	}
	return kinds
}

func options(s settings) ctrl.Options {
	scheme := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(scheme))
	utilruntime.Must(admissionv1.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	serving := metricsserver.Options{
		BindAddress:   s.metricsAddress,
		SecureServing: s.metricsSecure,
		TLSOpts:       []func(*tls.Config){func(c *tls.Config) { c.MinVersion = tls.VersionTLS12 }},
	}
	if s.metricsSecure {
		serving.FilterProvider = filters.WithAuthenticationAndAuthorization
	}
	// A Secret is read when it is needed and not kept.
	read := []client.Object{&corev1.Secret{}}
	watched := map[string]cache.Config{}
	for _, namespace := range s.connections.Namespaces {
		watched[namespace] = cache.Config{}
	}
	if len(watched) > 0 {
		// A watch of Namespaces would need rights in the whole cluster.
		read = append(read, &corev1.Namespace{})
	}
	transforms := map[client.Object]cache.ByObject{}
	if s.selector != nil {
		transforms[&v1alpha1.APIConnection{}] = cache.ByObject{Transform: reconcilers.StripButLabels}
	}
	return ctrl.Options{
		Scheme:                  scheme,
		Metrics:                 serving,
		HealthProbeBindAddress:  s.probeAddress,
		LeaderElection:          s.leaderElect,
		LeaderElectionID:        name + ".access.delos.financial",
		LeaderElectionNamespace: s.leaderNamespace,
		// Shards hold the Lease together, so a shard that ends does not release it.
		LeaderElectionReleaseOnCancel: s.selector == nil,
		RenewDeadline:                 ptr.To(leading.RenewDeadline),
		Cache:                         cache.Options{DefaultTransform: reconcilers.Strip, ByObject: transforms, DefaultNamespaces: watched},
		Client:                        client.Options{Cache: &client.CacheOptions{DisableFor: read}},
	}
}

// parts are the parts that exist before register adds the others to the manager.
type parts struct {
	policies *reconcilers.Policies
	lease    *leading.Lock
	audit    *reconcilers.AuditFile
	tracer   trace.Tracer
}

// register makes the reconcilers and metrics, and adds them to the manager.
func register(ctx context.Context, mgr ctrl.Manager, s settings, made parts) error {
	measured := metrics.New(metricsregistry.Registry)
	pool := connection.NewPool(connection.Options{
		AllowHTTPLoopback: s.allowHTTPLoopback,
		AllowedHosts:      s.hosts(),
		UserAgent:         userAgent(thisBuild()),
		Proxy:             http.ProxyFromEnvironment,
		Now:               time.Now,
		GatherReads:       gatherReads,
		Tracer:            made.tracer,
		Metrics:           measured,
	})
	secrets, err := secretwatch.New(ctx, mgr.GetConfig())
	if err != nil {
		return err
	}
	shard, err := addShard(mgr, s, made.lease)
	if err != nil {
		return err
	}
	schedule := reconcilers.Schedule{Now: time.Now, StallAfter: s.stallAfter, Jitter: reconcilers.Jitter}
	recorder := mgr.GetEventRecorder(name)
	writes := &reconcilers.Writes{Kube: mgr.GetClient(), Live: mgr.GetAPIReader()}
	brake := &reconcilers.Brake{Writes: writes, Events: recorder}
	bindings := &reconcilers.ClientBindingReconciler{
		Kube: mgr.GetClient(), Writes: writes, Connections: s.connections, Pool: pool, Events: recorder, Schedule: schedule, Brake: brake, Metrics: measured, Shard: shard, Audit: made.audit, Tracer: made.tracer, DryRun: s.dryRun,
	}
	if s.leaderElect {
		bindings.Leads = made.lease.Leads
	}
	identity := reconcilers.WhoAmI(ctx, mgr.GetConfig())
	connections := &reconcilers.APIConnectionReconciler{Kube: mgr.GetClient(), Writes: writes, Secrets: secrets, Identity: identity, Pool: pool, Events: recorder, Schedule: schedule, Shard: shard, Tracer: made.tracer, Policies: made.policies}
	usage := &reconcilers.UsageReconciler{Kube: mgr.GetClient(), Writes: writes, Live: mgr.GetAPIReader(), Connections: s.connections, Secrets: secrets, Identity: identity, Brake: brake, Shard: shard, Events: recorder, Now: time.Now, DryRun: s.dryRun}
	census := reconcilers.Census{Kube: mgr.GetClient(), Connections: s.connections, Now: time.Now}
	metricsregistry.Registry.MustRegister(
		metrics.NewCensus(func() metrics.Objects { return census.Objects(ctx) }, time.Now),
		metrics.NewPolicies(made.policies.Found), metrics.NewBuild(thisBuild()),
	)
	return errors.Join(
		bindings.SetupWithManager(ctx, mgr, controller.TypedOptions[connection.Relation]{MaxConcurrentReconciles: s.concurrent}),
		connections.SetupWithManager(mgr, secrets.Changes(), controller.Options{MaxConcurrentReconciles: connectionWorkers}),
		usage.SetupWithManager(mgr, secrets.Changes()),
		mgr.Add(made.policies),
	)
}
