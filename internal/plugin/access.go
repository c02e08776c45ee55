package plugin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/connection"
	"github.com/delos-financial/clientbinding-operator/internal/delos"
)

type restConfig = rest.Config

// access reaches the cluster and the API for a command.
type access struct {
	program *Program
	cluster *genericclioptions.ConfigFlags

	connection        string
	url               string
	credentials       string
	caFile            string
	authorization     string
	relationBody      string
	allowedHosts      []string
	defaultConnection string
	perSecond         int32
}

// addFlags adds the flags about the API to a command.
func (a *access) addFlags(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&a.connection, "connection", v1alpha1.DefaultConnectionName, "The APIConnection, as NAME or NAMESPACE/NAME. Its Secret is read with your rights.")
	flags.StringVar(&a.url, "url", "", "The URL of the API, instead of an APIConnection, such as https://stagep.tst-apidmndelss.com. Credentials come from the environment or from --credentials.")
	flags.StringVar(&a.credentials, "credentials", "", "With --url: a file with the lines login=… and password=… (and totpSeed=… for an account with a second factor), or token=….")
	flags.StringVar(&a.caFile, "ca-file", "", "With --url: a file with the certificates (PEM) of the authorities to trust instead of the system's.")
	flags.StringVar(&a.authorization, "authorization", "", "With --url: the form of the access token, Bearer or Token (see spec.dialect of an APIConnection).")
	flags.StringVar(&a.relationBody, "relation-body", "", "With --url: the form of a relation, Nested or Flat (see spec.dialect of an APIConnection).")
	flags.StringSliceVar(&a.allowedHosts, "allowed-api-hosts", []string{connection.DocumentedHost}, "Patterns of the hosts that an APIConnection may use, as with the operator's flag. This machine sends the connection's credentials there.")
	flags.Int32Var(&a.perSecond, "requests-per-second", 0, "The number of calls in a second. When absent, the rate of the APIConnection, or else 50.")
}

// addDefaultConnection adds the flag for bindings that name no connection.
func (a *access) addDefaultConnection(command *cobra.Command) {
	command.Flags().StringVar(&a.defaultConnection, "default-connection", "", "The value of the operator's flag of this name, if it is set: the NAMESPACE/NAME of the APIConnection for ClientBindings that name none. When absent, it is the one in the claim of such a ClientBinding, or else default in its namespace.")
}

// namespace is the namespace of --namespace, or of the context.
func (a *access) namespace() (string, error) {
	namespace, _, err := a.cluster.ToRawKubeConfigLoader().Namespace()
	return namespace, err
}

// name is the name of the APIConnection.
func (a *access) name() (types.NamespacedName, error) {
	namespace, name, qualified := strings.Cut(a.connection, "/")
	if qualified {
		return types.NamespacedName{Namespace: namespace, Name: name}, nil
	}
	own, err := a.namespace()
	return types.NamespacedName{Namespace: own, Name: a.connection}, err
}

// kube returns a client of the cluster.
func (a *access) kube() (client.Client, error) {
	config, err := a.cluster.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster (see --kubeconfig and --context): %w", err)
	}
	config.WarningHandler = rest.NewWarningWriter(a.program.Streams.ErrOut, rest.WarningWriterOptions{Deduplicate: true})
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: scheme})
}

// platform returns a client of the API that the flags name. It reads from the cluster only if they name an APIConnection.
func (a *access) platform(ctx context.Context) (*platform, error) {
	if a.url != "" {
		return a.direct()
	}
	name, err := a.name()
	if err != nil {
		return nil, err
	}
	kube, err := a.kube()
	if err != nil {
		return nil, err
	}
	return a.through(ctx, kube, name)
}

// through returns a client of the API of an APIConnection.
func (a *access) through(ctx context.Context, kube client.Reader, name types.NamespacedName) (*platform, error) {
	found := &v1alpha1.APIConnection{}
	if err := kube.Get(ctx, name, found); err != nil {
		return nil, fmt.Errorf("reading APIConnection %s (see --connection, or name the API by --url): %w", name, err)
	}
	if unreadable := found.UnreadableFields.Under("spec"); len(unreadable) > 0 {
		return nil, fmt.Errorf("APIConnection %s has fields that cannot be read: %s", name, unreadable)
	}
	secret := &corev1.Secret{}
	key := types.NamespacedName{Namespace: name.Namespace, Name: found.Spec.Credentials.SecretRef.Name}
	switch err := kube.Get(ctx, key, secret); {
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("you may not read Secret %s of APIConnection %s: have the right given to you, or name the API by --url and use credentials of your own: %w", key, name, err)
	case err != nil:
		return nil, fmt.Errorf("reading Secret %s of APIConnection %s: %w", key, name, err)
	}
	return a.dial(found, secret, a.allowedHosts)
}

// direct returns a client of the API that --url names.
func (a *access) direct() (*platform, error) {
	secret, err := a.ownCredentials()
	if err != nil {
		return nil, err
	}
	made := &v1alpha1.APIConnection{}
	made.Spec.URL = a.url
	if a.caFile != "" {
		bundle, err := os.ReadFile(a.caFile)
		if err != nil {
			return nil, fmt.Errorf("--ca-file: %w", err)
		}
		made.Spec.CABundle = string(bundle)
	}
	if a.authorization != "" || a.relationBody != "" {
		made.Spec.Dialect = &v1alpha1.Dialect{
			Authorization: v1alpha1.AuthorizationForm(a.authorization),
			RelationBody:  v1alpha1.RelationBodyForm(a.relationBody),
		}
	}
	// A person who names a host on the command line allows it.
	host, _, _ := net.SplitHostPort(connection.Host(made.Spec))
	return a.dial(made, secret, append([]string{host}, a.allowedHosts...))
}

// The environment variables with credentials, and the keys of a Secret that they stand for.
var variables = map[string]string{
	"DELOS_LOGIN":     v1alpha1.SecretKeyLogin,
	"DELOS_PASSWORD":  v1alpha1.SecretKeyPassword,
	"DELOS_TOTP_SEED": v1alpha1.SecretKeyTOTPSeed,
	"DELOS_TOKEN":     v1alpha1.SecretKeyToken,
}

// ownCredentials are the credentials of the environment, or of a file, in the form of a Secret.
func (a *access) ownCredentials() (*corev1.Secret, error) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "environment", Name: "DELOS_…"}, Data: map[string][]byte{}}
	if a.credentials == "" {
		for variable, key := range variables {
			if value := a.program.Getenv(variable); value != "" {
				secret.Data[key] = []byte(value)
			}
		}
		if len(secret.Data) == 0 {
			return nil, errors.New("--url needs credentials: set DELOS_LOGIN and DELOS_PASSWORD (and DELOS_TOTP_SEED), or DELOS_TOKEN, or name a file by --credentials")
		}
		return secret, nil
	}
	secret.Namespace, secret.Name = "file", a.credentials
	content, err := os.ReadFile(a.credentials)
	if err != nil {
		return nil, fmt.Errorf("--credentials: %w", err)
	}
	for number, line := range strings.Split(string(content), "\n") {
		line = strings.TrimRight(line, "\r")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, found := strings.Cut(line, "=")
		if !found {
			return nil, fmt.Errorf("--credentials: line %d of %s has no '=': it must be as in login=operator@example.com", number+1, a.credentials)
		}
		secret.Data[strings.TrimSpace(key)] = []byte(value)
	}
	return secret, nil
}

// dial makes a client of the API of a connection.
func (a *access) dial(found *v1alpha1.APIConnection, secret *corev1.Secret, allowedHosts []string) (*platform, error) {
	options := connection.Options{
		AllowHTTPLoopback: true, // this machine is the caller's own
		AllowedHosts:      allowedHosts,
		UserAgent:         a.program.userAgent(),
		Proxy:             http.ProxyFromEnvironment,
		Now:               a.program.Now,
	}
	config, perSecond, burst, err := connection.Configure(found, secret, options)
	if err != nil {
		return nil, inWords(err)
	}
	if a.perSecond > 0 {
		perSecond, burst = int(a.perSecond), int(a.perSecond)
	}
	pace := &pace{limiter: rate.NewLimiter(rate.Limit(perSecond), burst)}
	config.Pace = pace.wait
	return &platform{
		api:        delos.New(config),
		config:     config,
		pace:       pace,
		connection: found,
		host:       connection.Host(found.Spec),
		perSecond:  perSecond,
	}, nil
}

// inWords turns a message for the operator's administrator into one for the caller.
func inWords(err error) error {
	var wrong *connection.SettingsError
	if errors.As(err, &wrong) {
		text := strings.NewReplacer("the operator's flag --allowed-api-hosts", "--allowed-api-hosts", "Secret environment/", "environment ", "Secret file/", "file ").Replace(wrong.Message)
		text, _, _ = strings.Cut(text, ": have --allowed-api-hosts=")
		return errors.New(text)
	}
	return err
}
