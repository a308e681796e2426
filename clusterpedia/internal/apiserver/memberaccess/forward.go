package memberaccess

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apiserver/pkg/endpoints/request"

	"clusterpedia.io/clusterpedia/internal/apiserver/listoptions"
)

const (
	forwardHeader = "X-Clusterpedia-Forward"
	forwardLabel  = "search.clusterpedia.io/forward"
)

// Forward reports whether a request asks to be answered by the member cluster itself:
// by a header, or, for lists and watches, by a requirement in the label selector. The
// requirement is removed from the request's URL.
func Forward(req *http.Request, info *request.RequestInfo) bool {
	forward := strings.EqualFold(req.Header.Get(forwardHeader), "true")
	if info.Verb != "list" && info.Verb != "watch" {
		return forward
	}
	values := req.URL.Query()
	const param = "labelSelector"
	text := values.Get(param)
	if !strings.Contains(text, forwardLabel) || len(text) > listoptions.MaxSelector {
		return forward
	}
	selector, err := labels.Parse(text)
	if err != nil {
		return forward // whoever answers it says what is wrong
	}
	requirements, _ := selector.Requirements()
	var kept []labels.Requirement
	for _, r := range requirements {
		if r.Key() == forwardLabel {
			forward = forward || demanded(r)
			continue
		}
		kept = append(kept, r)
	}
	if len(kept) == len(requirements) {
		return forward
	}
	rest := labels.NewSelector().Add(kept...)
	values.Del(param)
	if !rest.Empty() {
		values.Set(param, rest.String())
	}
	req.URL.RawQuery = values.Encode()
	return forward
}

// demanded reports whether a requirement is one to forward: every one but those that
// say no, as forward=false and !forward.
func demanded(r labels.Requirement) bool {
	yes := slices.ContainsFunc(r.ValuesUnsorted(), func(value string) bool {
		b, err := strconv.ParseBool(value)
		return b || err != nil
	})
	switch r.Operator() {
	case selection.Exists:
		return true
	case selection.DoesNotExist:
		return false
	case selection.NotEquals, selection.NotIn:
		return !yes
	}
	return yes
}
