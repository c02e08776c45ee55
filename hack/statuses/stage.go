package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
	"github.com/delos-financial/clientbinding-operator/internal/delossim"
	"github.com/delos-financial/clientbinding-operator/internal/sandbox"
)

const (
	namespace = "team-a"
	login     = "operator@example.com"
	password  = "known-to-the-simulator-only"

	// Each is a connection and the platform behind it.
	works    = v1alpha1.DefaultConnectionName
	dawdles  = "dawdling"   // writes show an hour later
	blind    = "blind"      // no user can be read
	keeps    = "keeping"    // nothing can be removed
	forbids  = "forbidding" // asks for patience
	down     = "down"       // nobody can log in
	noSecret = "no-secret"
	refuses  = "refusing" // knows another password
	brakes   = "braking"  // lets no deletion revoke that nobody approved
)

// stage is what the scenes are played on.
type stage struct {
	box      *sandbox.Sandbox
	operator *sandbox.Operator
	kube     client.Client
}

// build starts the control plane and the platforms; the operator is built only.
func build(ctx context.Context, box *sandbox.Sandbox) (*stage, error) {
	assets, err := sandbox.Assets(ctx, os.Stderr)
	if err != nil {
		return nil, err
	}
	cluster, err := box.StartControlPlane(ctx, assets)
	if err != nil {
		return nil, err
	}
	deployment, err := cluster.Install(ctx)
	if err != nil {
		return nil, err
	}
	s := &stage{box: box}
	if s.operator, err = box.BuildOperator(ctx, cluster, deployment); err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	if s.kube, err = client.New(cluster.Config, client.Options{Scheme: scheme}); err != nil {
		return nil, err
	}
	if err := s.kube.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return nil, err
	}
	if err := cluster.AllowSecrets(ctx, namespace, deployment); err != nil {
		return nil, err
	}
	return s, s.connect(ctx)
}

// connect starts the platforms and makes a connection to each.
func (s *stage) connect(ctx context.Context) error {
	unavailable := delossim.Answer{Status: http.StatusServiceUnavailable, Body: `{"error":"maintenance"}`}
	for name, fault := range map[string]delossim.Fault{
		works:   {Op: delossim.OpOther},
		dawdles: {Op: delossim.OpOther},
		blind:   {Op: delossim.OpUser, Failure: unavailable},
		keeps:   {Op: delossim.OpUnrelate, Failure: unavailable},
		forbids: {Op: delossim.OpUser, Failure: delossim.Answer{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"120"}}}},
		down:    {Op: delossim.OpLogin, Failure: unavailable},
		refuses: {Op: delossim.OpOther},
		brakes:  {Op: delossim.OpOther},
	} {
		config := delossim.Config{
			Accounts: []delossim.Account{{Login: login, Password: password}},
			Users: []delossim.User{
				{UUID: "user_abc123def", Username: "john.smith"},
				{UUID: "user_ghi456jkl", Username: "maria.garcia", Relations: map[string]bool{"cust_related": true}},
			},
			Clients: []string{"cust_789xyz", "cust_456uvw"},
		}
		if name == dawdles {
			config.Settings.Lag = time.Hour
		}
		platform, err := s.box.StartSimulator(ctx, config)
		if err != nil {
			return err
		}
		platform.Inject(fault)
		secret := &corev1.Secret{ObjectMeta: named("delos-" + name), StringData: map[string]string{
			v1alpha1.SecretKeyLogin: login, v1alpha1.SecretKeyPassword: password,
		}}
		if name == refuses {
			secret.StringData[v1alpha1.SecretKeyPassword] = "known-to-nobody"
		}
		connection := connection(name, platform.URL)
		if name == brakes {
			connection.Spec.Revocations = &v1alpha1.RevocationLimit{Max: ptr.To[int32](0), Per: &metav1.Duration{Duration: time.Hour}}
		}
		if err := errors.Join(s.kube.Create(ctx, secret), s.kube.Create(ctx, connection)); err != nil {
			return err
		}
	}
	return s.kube.Create(ctx, connection(noSecret, "http://127.0.0.1:1"))
}

func connection(name, url string) *v1alpha1.APIConnection {
	return &v1alpha1.APIConnection{ObjectMeta: named(name), Spec: v1alpha1.APIConnectionSpec{
		URL:         url,
		Credentials: v1alpha1.Credentials{SecretRef: v1alpha1.SecretReference{Name: "delos-" + name}},
	}}
}

func binding(name, through, user, cuid string, isOwner bool) *v1alpha1.ClientBinding {
	b := &v1alpha1.ClientBinding{ObjectMeta: named(name), Spec: v1alpha1.ClientBindingSpec{UserUUID: user, CUID: cuid, IsOwner: isOwner}}
	if through != works {
		b.Spec.ConnectionRef = &v1alpha1.ConnectionReference{Name: through}
	}
	return b
}

func named(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: namespace, Name: name} }
