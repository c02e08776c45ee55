package connection

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/delos-financial/clientbinding-operator/api/v1alpha1"
)

// DocumentedHost is the one host of the platform that its documentation names, the staging platform's.
const DocumentedHost = "stagep.tst-apidmndelss.com"

// CheckHostGlobs reports the first glob that can match no host.
func CheckHostGlobs(globs []string) error {
	for _, glob := range globs {
		if _, err := path.Match(glob, ""); err != nil || glob == "" || strings.ContainsAny(glob, "/ ") {
			return fmt.Errorf("%q is not a glob of hosts, such as *.example.com or api.example.com:8443", glob)
		}
	}
	return nil
}

// OpenHostGlobs returns the globs that match hosts without naming their domain, such as *.
func OpenHostGlobs(globs []string) []string {
	var open []string
	for _, glob := range globs {
		if !namesDomain(glob) {
			open = append(open, glob)
		}
	}
	return open
}

// checkHost checks that --allowed-api-hosts allows a host.
func checkHost(base *url.URL, options Options) error {
	host := strings.TrimSuffix(base.Host, ":"+impliedPort(base.Scheme))
	switch {
	case !matched(base.Host, options.AllowedHosts):
		return &SettingsError{v1alpha1.ReasonInvalidSpec, fmt.Sprintf(
			"spec.url leads to %[1]s, which the operator's flag --allowed-api-hosts does not allow: have --allowed-api-hosts=%[1]s written into the args of the operator's Deployment, with the hosts that it allows already, separated by commas", host)}
	case proxied(base, options) && !named(base.Host, options.AllowedHosts):
		// The proxy resolves the name, so the operator cannot see to which address it leads.
		return &SettingsError{v1alpha1.ReasonInvalidSpec, fmt.Sprintf(
			"the operator reaches %[1]s through a proxy, and then its flag --allowed-api-hosts has to name the host or its domain, which * does not: have %[1]s added to the flag in the args of the operator's Deployment", host)}
	default:
		return nil
	}
}

// matched reports whether a glob matches a host, with or without its port.
func matched(hostAndPort string, globs []string) bool {
	host := (&url.URL{Host: hostAndPort}).Hostname()
	return slices.ContainsFunc(globs, func(glob string) bool {
		glob = strings.ToLower(glob) // as hosts are
		bare, _ := path.Match(glob, host)
		full, _ := path.Match(glob, hostAndPort)
		return bare || full
	})
}

// named reports whether a glob that names a host or its domain matches a host: the operator's administrator vouches
// for the addresses to which it leads.
func named(hostAndPort string, globs []string) bool {
	return slices.ContainsFunc(globs, func(glob string) bool {
		return namesDomain(glob) && matched(hostAndPort, []string{glob})
	})
}

// namesDomain reports whether a glob is a host, or ends with a domain below which all hosts are its owner's.
func namesDomain(glob string) bool {
	last := strings.LastIndexAny(glob, `*?]\`)
	if last < 0 {
		return true
	}
	domain, _, _ := strings.Cut(glob[last+1:], ":")
	return len(domain) > 1 && domain[0] == '.'
}

func proxied(base *url.URL, options Options) bool {
	if options.Proxy == nil {
		return false
	}
	proxy, err := options.Proxy(&http.Request{URL: base})
	return proxy != nil || err != nil
}

// metadataServices are addresses outside of the link-local range at which clouds tell a machine its
// credentials.
var metadataServices = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"),   // AWS
	netip.MustParseAddr("168.63.129.16"),   // Azure
	netip.MustParseAddr("100.100.100.200"), // Alibaba Cloud
	netip.MustParseAddr("192.0.0.192"),     // Oracle Cloud
}

// guard returns a check of the addresses to which a connection's host resolves. It keeps a team that may create an
// APIConnection from addresses that only the operator's machine should reach.
func guard(of settings, options Options) func(address string) error {
	target := &url.URL{Scheme: of.scheme, Host: of.host}
	if proxied(target, options) || of.scheme == "https" && named(of.host, options.AllowedHosts) {
		return nil
	}
	return func(address string) error {
		parsed, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("%s leads to %q, which is no address", of.host, address)
		}
		ip := embedded(parsed.Addr())
		switch {
		case of.scheme == "http" && !ip.IsLoopback():
			return fmt.Errorf("%s leads to %s, and plain http is for this machine only", of.host, ip)
		case ip.IsLoopback() && !options.AllowHTTPLoopback:
			return fmt.Errorf("%s leads to %s, which is the operator's own machine: that needs the operator's flag --allow-http-loopback", of.host, ip)
		case ip.IsLinkLocalUnicast(), ip.IsMulticast(), ip.IsUnspecified(), slices.Contains(metadataServices, ip):
			return fmt.Errorf("%s leads to %s, where no API is: for such addresses the operator's flag --allowed-api-hosts has to name the host or its domain", of.host, ip)
		default:
			return nil
		}
	}
}

// translated are the addresses with which an IPv6 network reaches IPv4 addresses (RFC 6052).
var translated = netip.MustParsePrefix("64:ff9b::/96")

// embedded returns the IPv4 address that an IPv6 address stands for, or the address itself.
func embedded(ip netip.Addr) netip.Addr {
	if bytes := ip.As16(); translated.Contains(ip) {
		return netip.AddrFrom4([4]byte(bytes[12:]))
	}
	return ip.Unmap()
}
