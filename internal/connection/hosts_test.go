package connection

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGuard(t *testing.T) {
	cases := map[string]struct {
		of      settings
		options Options
		address string
		want    string
	}{
		"an ordinary address": {
			of: settings{scheme: "https", host: "api.example:443"}, address: "203.0.113.7:443",
		},
		"a private address": {
			of: settings{scheme: "https", host: "api.example:443"}, address: "10.1.2.3:443",
		},
		"a link-local address": {
			of: settings{scheme: "https", host: "api.example:443"}, address: "169.254.169.254:443",
			want: "api.example:443 leads to 169.254.169.254, where no API is: for such addresses the operator's flag --allowed-api-hosts has to name the host or its domain",
		},
		"a link-local address in the form of IPv6": {
			of: settings{scheme: "https", host: "api.example:443"}, address: "[::ffff:169.254.169.254]:443",
			want: "api.example:443 leads to 169.254.169.254, where no API is: for such addresses the operator's flag --allowed-api-hosts has to name the host or its domain",
		},
		"a link-local address behind a translation": {
			of: settings{scheme: "https", host: "api.example:443"}, address: "[64:ff9b::a9fe:a9fe]:443",
			want: "api.example:443 leads to 169.254.169.254, where no API is: for such addresses the operator's flag --allowed-api-hosts has to name the host or its domain",
		},
		"a cloud's metadata service": {
			of: settings{scheme: "https", host: "api.example:443"}, address: "[fd00:ec2::254]:443",
			want: "api.example:443 leads to fd00:ec2::254, where no API is: for such addresses the operator's flag --allowed-api-hosts has to name the host or its domain",
		},
		"no address at all": {
			of: settings{scheme: "https", host: "api.example:443"}, address: "0.0.0.0:443",
			want: "api.example:443 leads to 0.0.0.0, where no API is: for such addresses the operator's flag --allowed-api-hosts has to name the host or its domain",
		},
		"the operator's machine": {
			of: settings{scheme: "https", host: "api.example:443"}, address: "127.0.0.1:8443",
			want: "api.example:443 leads to 127.0.0.1, which is the operator's own machine: that needs the operator's flag --allow-http-loopback",
		},
		"the operator's machine, which the flag names": {
			of: settings{scheme: "https", host: "api.example:443"}, options: Options{AllowedHosts: []string{"*.example"}}, address: "127.0.0.1:8443",
		},
		"the operator's machine, which an open flag matches": {
			of: settings{scheme: "https", host: "api.example:443"}, options: Options{AllowedHosts: []string{"*"}}, address: "127.0.0.1:8443",
			want: "api.example:443 leads to 127.0.0.1, which is the operator's own machine: that needs the operator's flag --allow-http-loopback",
		},
		"a link-local address, which an open flag matches": {
			of: settings{scheme: "https", host: "169.254.169.254:443"}, options: Options{AllowedHosts: []string{"169.254.*"}}, address: "169.254.169.254:443",
			want: "169.254.169.254:443 leads to 169.254.169.254, where no API is: for such addresses the operator's flag --allowed-api-hosts has to name the host or its domain",
		},
		"the operator's machine, with plain http allowed": {
			of: settings{scheme: "http", host: "localhost:80"}, options: Options{AllowHTTPLoopback: true}, address: "127.0.0.1:80",
		},
		"plain http to a name that leads elsewhere": {
			of: settings{scheme: "http", host: "localhost:80"}, options: Options{AllowHTTPLoopback: true, AllowedHosts: []string{"localhost"}}, address: "203.0.113.7:80",
			want: "localhost:80 leads to 203.0.113.7, and plain http is for this machine only",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			check := guard(tc.of, tc.options)
			got := ""
			if check != nil {
				if err := check(tc.address); err != nil {
					got = err.Error()
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCheckHost: only hosts that the flag allows, and through a proxy only those that it names, since the operator does
// not see to which address a proxy resolves a name.
func TestCheckHost(t *testing.T) {
	proxy := func(*http.Request) (*url.URL, error) { return &url.URL{Scheme: "http", Host: "proxy:3128"}, nil }
	const (
		refused = "spec.url leads to api.example, which the operator's flag --allowed-api-hosts does not allow: have --allowed-api-hosts=api.example written into the args of the operator's Deployment, with the hosts that it allows already, separated by commas"
		unnamed = "the operator reaches api.example through a proxy, and then its flag --allowed-api-hosts has to name the host or its domain, which * does not: have api.example added to the flag in the args of the operator's Deployment"
	)
	cases := map[string]struct {
		options Options
		want    string
	}{
		"nothing is allowed":               {Options{}, refused},
		"another host is allowed":          {Options{AllowedHosts: []string{DocumentedHost}}, refused},
		"the host is allowed":              {Options{AllowedHosts: []string{DocumentedHost, "api.example"}}, ""},
		"any host is allowed":              {Options{AllowedHosts: []string{"*"}}, ""},
		"through a proxy, nothing":         {Options{Proxy: proxy}, refused},
		"through a proxy, any host":        {Options{Proxy: proxy, AllowedHosts: []string{"*"}}, unnamed},
		"through a proxy, the host":        {Options{Proxy: proxy, AllowedHosts: []string{"api.example"}}, ""},
		"through a proxy, the host's zone": {Options{Proxy: proxy, AllowedHosts: []string{"*.example"}}, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := checkHost(&url.URL{Scheme: "https", Host: "api.example:443"}, tc.options); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNamed(t *testing.T) {
	cases := map[string]struct {
		globs []string
		want  bool
	}{
		"the host":              {[]string{"api.example"}, true},
		"the host and port":     {[]string{"api.example:8443"}, true},
		"in capitals":           {[]string{"API.Example"}, true},
		"another port":          {[]string{"api.example:443"}, false},
		"a glob":                {[]string{"*.example"}, true},
		"the second of two":     {[]string{"other", "*.example"}, true},
		"a suffix is no match":  {[]string{"example"}, false},
		"nothing names nothing": {nil, false},
		"any host":              {[]string{"*"}, false},
		"any host at a port":    {[]string{"*:8443"}, false},
		"all that ends alike":   {[]string{"*example"}, false},
		"all that begins alike": {[]string{"api.*"}, false},
		"all of some letters":   {[]string{"[a-z]*[a-z]"}, false},
		"a top without a name":  {[]string{"*."}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := named("api.example:8443", tc.globs); got != tc.want {
				t.Errorf("named is %t, want %t", got, tc.want)
			}
		})
	}
}

func TestCheckHostGlobs(t *testing.T) {
	if err := CheckHostGlobs([]string{"*.example", "api.example:8443"}); err != nil {
		t.Errorf("good globs are refused: %v", err)
	}
	for _, bad := range []string{"", "[a", "https://api.example", " api.example"} {
		if err := CheckHostGlobs([]string{bad}); err == nil {
			t.Errorf("%q is not refused", bad)
		}
	}
}
