package memberaccess

import (
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

func TestFilterHeader(t *testing.T) {
	t.Parallel()
	secret := []string{
		"Authorization", "Cookie", "Proxy-Authorization", "Impersonate-User", "Impersonate-Extra-Scopes", "X-Remote-User", "X-Remote-Extra-Foo",
		"X-Forwarded-Access-Token", "X-Forwarded-User", "Forwarded", "X-Clusterpedia-Forward", "X-Clusterpedia-Proxy-Token",
	}
	api := []string{
		"Accept", "Accept-Encoding", "Content-Type", "User-Agent", "Kubectl-Command", "X-Stream-Protocol-Version", "Sec-Websocket-Key", "Connection", "Upgrade", "If-None-Match", "Range",
	}
	application := []string{"X-Api-Key", "Origin", "Referer", "X-Requested-With"}
	filtered := func(passed func(string) bool) []string {
		header := http.Header{}
		for _, name := range slices.Concat(secret, api, application) {
			header.Set(name, "x")
		}
		filterHeader(header, passed)
		return slices.Collect(maps.Keys(header))
	}
	require.ElementsMatch(t, api, filtered(passedHeader))
	require.ElementsMatch(t, slices.Concat(api, application), filtered(passedHeaderToApplication))

	answer := http.Header{
		"Cache-Control": {"a"}, "Audit-Id": {"b"}, "Content-Type": {"c"}, "Warning": {"d"}, "Set-Cookie": {"e"}, "Strict-Transport-Security": {"f"}, "Access-Control-Allow-Origin": {"g"},
	}
	filterAnswer(answer, http.Header{"Cache-Control": {"mine"}, "Audit-Id": {"mine"}, "Warning": {"mine"}})
	require.Equal(t, http.Header{"Content-Type": {"c"}, "Warning": {"d"}}, answer)
}

func TestReadCredentials(t *testing.T) {
	t.Parallel()
	encoded := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	for name, tc := range map[string]struct {
		header map[string]string
		want   credentials
		err    string
	}{
		"none":               {header: map[string]string{"Authorization": "Bearer x", "X-Clusterpedia-Proxy-Other": "y"}},
		"a token":            {header: map[string]string{"X-Clusterpedia-Proxy-Token": "t"}, want: credentials{given: true, token: "t"}},
		"an empty token":     {header: map[string]string{"x-clusterpedia-proxy-TOKEN": ""}, want: credentials{given: true}},
		"a CA":               {header: map[string]string{"X-Clusterpedia-Proxy-Ca": encoded("ca")}, want: credentials{given: true, ca: []byte("ca")}},
		"a certificate":      {header: map[string]string{"X-Clusterpedia-Proxy-Client-Cert": encoded("c"), "X-Clusterpedia-Proxy-client%2Dkey": encoded("k")}, want: credentials{given: true, cert: []byte("c"), key: []byte("k")}},
		"no base64":          {header: map[string]string{"X-Clusterpedia-Proxy-Ca": "!!!"}, err: "illegal base64 data at input byte 0"},
		"an escape too many": {header: map[string]string{"X-Clusterpedia-Proxy-c%zz": "!!!"}, err: `invalid URL escape "%zz"`},
		"half a certificate": {header: map[string]string{"X-Clusterpedia-Proxy-Client-Cert": encoded("c")}, err: "need each other"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{}
			for key, value := range tc.header {
				header.Set(key, value)
			}
			c, err := readCredentials(header)
			if tc.err != "" {
				require.True(t, apierrors.IsBadRequest(err))
				require.ErrorContains(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, c)
		})
	}
}

func FuzzReadCredentials(f *testing.F) {
	f.Add("X-Clusterpedia-Proxy-Token", "t")
	f.Add("x-clusterpedia-proxy-c%61", "Y2E=")
	f.Fuzz(func(t *testing.T, name, value string) {
		c, err := readCredentials(http.Header{name: {value}})
		if err != nil && !apierrors.IsBadRequest(err) {
			t.Fatal(err)
		}
		if err != nil && c.given {
			t.Fatal("credentials and an error")
		}
	})
}
