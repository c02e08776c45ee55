package sandbox

import (
	"context"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// tokenLife is longer than any sandbox lives; the keys that signed the token go with it.
const tokenLife = "168h"

// ServiceAccountKubeconfig writes a kubeconfig whose user is the ServiceAccount, with only that
// account's rights.
func (c *ControlPlane) ServiceAccountKubeconfig(ctx context.Context, namespace, name, file string) error {
	token, err := c.Kubectl(ctx, "", "create", "token", name, "--namespace", namespace, "--duration", tokenLife)
	if err != nil {
		return err
	}
	const entry = "sandbox"
	config := clientcmdapi.NewConfig()
	config.Clusters[entry] = &clientcmdapi.Cluster{
		Server:                   c.Config.Host,
		CertificateAuthorityData: c.Config.CAData,
	}
	config.AuthInfos[entry] = &clientcmdapi.AuthInfo{Token: strings.TrimSpace(token)}
	config.Contexts[entry] = &clientcmdapi.Context{Cluster: entry, AuthInfo: entry, Namespace: namespace}
	config.CurrentContext = entry
	return clientcmd.WriteToFile(*config, file)
}
