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
			want: "api.example:443 leads to 169.254.169.254, where no API is: such addresses need the operator's flag --allowed-api-hosts",
		},
		"a link-local address in the form of IPv6": {
			of: settings{scheme: "https", host: "api.example:443"}, address: "[::ffff:169.254.169.254]:443",
			want: "api.example:443 leads to 169.254.169.254, where no API is: such addresses need the operator's flag --allowed-api-hosts",
		},
		"a link-local address behind a translation": {
			of: settings{scheme: "https", host: "api.example:443"}, address: "[64:ff9b::a9fe:a9fe]:443",
			want: "api.example:443 leads to 169.254.169.254, where no API is: such addresses need the operator's flag --allowed-api-hosts",
		},
		"a cloud's metadata service": {
			of: settings{scheme: "https", host: "api.example:443"}, address: "[fd00:ec2::254]:443",
			want: "api.example:443 leads to fd00:ec2::254, where no API is: such addresses need the operator's flag --allowed-api-hosts",
		},
		"no address at all": {
			of: settings{scheme: "https", host: "api.example:443"}, address: "0.0.0.0:443",
			want: "api.example:443 leads to 0.0.0.0, where no API is: such addresses need the operator's flag --allowed-api-hosts",
		},
		"the operator's machine": {
			of: settings{scheme: "https", host: "api.example:443"}, address: "127.0.0.1:8443",
			want: "api.example:443 leads to 127.0.0.1, which is the operator's own machine: that needs the operator's flag --allow-http-loopback",
		},
		"the operator's machine, which the flag names": {
			of: settings{scheme: "https", host: "api.example:443"}, options: Options{AllowedHosts: []string{"*.example"}}, address: "127.0.0.1:8443",
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

// TestProxy shows that connections through a proxy need the flag, since the operator does not see to which
// address a proxy resolves a name.
func TestProxy(t *testing.T) {
	base := &url.URL{Scheme: "https", Host: "api.example:443"}
	proxy := func(*http.Request) (*url.URL, error) { return &url.URL{Scheme: "http", Host: "proxy:3128"}, nil }

	without := checkHost(base, Options{Proxy: proxy})
	with := checkHost(base, Options{Proxy: proxy, AllowedHosts: []string{"api.example"}})

	want := "the operator reaches api.example:443 through a proxy, and then only hosts that its flag --allowed-api-hosts names: have the host added to it"
	if without == nil || without.Error() != want {
		t.Errorf("without the flag: %v, want %s", without, want)
	}
	if with != nil {
		t.Errorf("with the flag: %v", with)
	}
}

func TestHostThatIsNotAllowed(t *testing.T) {
	err := checkHost(&url.URL{Scheme: "https", Host: "evil.test:443"}, Options{AllowedHosts: []string{"*.example"}})

	want := "spec.url names evil.test:443, which the operator's flag --allowed-api-hosts does not: name an allowed host, or have the flag extended"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
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
	for _, bad := range []string{"", "[a"} {
		if err := CheckHostGlobs([]string{bad}); err == nil {
			t.Errorf("%q is not refused", bad)
		}
	}
}
