package memberaccess

import (
	"net/http"
	"strings"
)

// passedHeader reports whether a header of a request, in lower case, goes on to the
// API server of a member: only what the API of Kubernetes has a meaning for, so that
// nothing else leaves which a client or a proxy before this server has put there.
func passedHeader(name string) bool {
	switch name {
	case "accept", "accept-encoding", "accept-language", "content-type", "content-encoding", "content-language",
		"range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range",
		"user-agent", "kubectl-command", "kubectl-session", "x-stream-protocol-version",
		"connection", "upgrade": // as the reverse proxy has set them
		return true
	}
	return strings.HasPrefix(name, "sec-websocket-")
}

// passedHeaderToApplication is passedHeader for requests that an application behind
// the API server answers, which has headers of its own: all but those that say who the
// caller is, and the means of this server.
func passedHeaderToApplication(name string) bool {
	switch name {
	case "authorization", "cookie", "forwarded", "audit-id":
		return false
	}
	for _, prefix := range []string{"proxy-", "impersonate-", "x-remote-", "x-forwarded-", "x-clusterpedia-"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	return true
}

// filterHeader drops all headers that do not pass.
func filterHeader(header http.Header, passed func(string) bool) {
	for name := range header {
		if !passed(strings.ToLower(name)) {
			delete(header, name)
		}
	}
}

// filterAnswer drops from a member's answer the headers that this server has given the
// client already, and those that would act on all that is served under its name.
func filterAnswer(answer, given http.Header) {
	for name := range answer {
		switch lower := strings.ToLower(name); {
		case len(given[name]) > 0 && lower != "warning",
			lower == "set-cookie", lower == "strict-transport-security", lower == "alt-svc", lower == "clear-site-data",
			strings.HasPrefix(lower, "access-control-"):
			delete(answer, name)
		}
	}
}
