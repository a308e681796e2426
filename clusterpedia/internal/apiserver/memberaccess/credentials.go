package memberaccess

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// credentialPrefix begins the names of the headers with which callers bring their
// credentials for the member cluster.
const credentialPrefix = "x-clusterpedia-proxy-"

// credentials are those of a caller.
type credentials struct {
	// given says that there is at least one header of them, even if it is empty.
	given         bool
	token         string
	ca, cert, key []byte
}

// readCredentials reads the headers token, ca, client-cert and client-key. Their names
// may be escaped as in a URL, as those of an exec plugin's or a proxy's extras are.
func readCredentials(header http.Header) (credentials, error) {
	var c credentials
	for name, values := range header {
		escaped, ok := strings.CutPrefix(strings.ToLower(name), credentialPrefix)
		if !ok || len(values) == 0 {
			continue
		}
		key, err := url.PathUnescape(escaped)
		if err != nil {
			return credentials{}, badHeader(name, err.Error())
		}
		var into *[]byte
		switch strings.ToLower(key) {
		case "token":
			c.given, c.token = true, strings.TrimSpace(values[0])
			continue
		case "ca":
			into = &c.ca
		case "client-cert":
			into = &c.cert
		case "client-key":
			into = &c.key
		default:
			continue
		}
		c.given = true
		if *into, err = base64.StdEncoding.DecodeString(values[0]); err != nil {
			return credentials{}, badHeader(name, err.Error())
		}
	}
	if (len(c.cert) > 0) != (len(c.key) > 0) {
		return credentials{}, apierrors.NewBadRequest("the headers X-Clusterpedia-Proxy-Client-Cert and X-Clusterpedia-Proxy-Client-Key need each other")
	}
	return c, nil
}

// badHeader names the header in the error's causes: the message is that of earlier
// releases.
func badHeader(name, message string) error {
	err := apierrors.NewBadRequest(message)
	err.ErrStatus.Details = &metav1.StatusDetails{Causes: []metav1.StatusCause{{
		Type: metav1.CauseTypeFieldValueInvalid, Field: "header " + name, Message: message,
	}}}
	return err
}
