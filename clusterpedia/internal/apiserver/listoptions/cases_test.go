package listoptions

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"clusterpedia.io/storage-api/query"
)

// want is what a list answers: the number of items, or their names, or an error
// that begins with a text.
type want struct {
	items int
	names string
	err   string
}

func items(n int) want           { return want{items: n} }
func names(names string) want    { return want{names: names} }
func refused(prefix string) want { return want{err: prefix} }

func check(t *testing.T, l list, w want) {
	t.Helper()
	options, err := l.parse(t)
	if w.err != "" {
		require.Error(t, err)
		require.Truef(t, strings.HasPrefix(err.Error(), w.err), "got: %v", err)
		require.True(t, apierrors.IsBadRequest(err))
		var status apierrors.APIStatus
		require.ErrorAs(t, err, &status)
		require.EqualValues(t, http.StatusBadRequest, status.Status().Code)
		return
	}
	require.NoError(t, err)
	found, _ := answer(t, options)
	if w.names == "" {
		require.Len(t, found, w.items)
		return
	}
	var got []string
	for _, o := range found {
		got = append(got, o.Cluster[len("cluster-"):]+"/"+o.Name)
	}
	require.Equal(t, strings.Fields(w.names), got)
}

// The tests of this file are the conformance cases of search, which existing
// clients count on, by what the fixture holds.

func TestFilterCases(t *testing.T) {
	t.Parallel()
	const (
		label    = "labelSelector=search.clusterpedia.io/"
		fuzzy    = "labelSelector=internalstorage.clusterpedia.io/fuzzy-name"
		datetime = ", a valid datetime format: RFC3339, Datetime(2006-01-02 15:04:05), Date(2006-01-02), Unix Timestamp"
	)
	for q, w := range map[string]want{
		"":                                 items(6),
		"names=web":                        items(2),
		"names=web,api&clusters=cluster-2": items(2),
		"names=web,%20api":                 items(2),
		"names=%20web,api%20":              items(4),
		"names=web&names=api":              items(2),
		"names=":                           items(6),
		"names=+":                          items(6),
		"names=web,":                       items(2),
		"namespaces=kube-system":           items(2),
		"clusters=nope":                    items(0),

		label + "clusters=cluster-1":                     items(3),
		label + "clusters==cluster-1":                    items(3),
		label + "clusters!=cluster-1":                    items(3),
		label + "clusters notin (cluster-1)":             items(3),
		label + "clusters":                               items(6),
		"labelSelector=!search.clusterpedia.io/clusters": items(6),
		label + "names in (web,api)":                     items(4),
		label + "names=web," + label[len("labelSelector="):] + "namespaces=kube-system": items(0),
		label + "bogus=x": items(6),
		label + "size=1":  items(6),
		"labelSelector=foo.clusterpedia.io/x=1,app=web": items(0),
		"labelSelector=!foo.clusterpedia.io/x,app=web":  items(2),
		"labelSelector=app in (web,api),tier=back":      items(2),
		"labelSelector=tier!=back":                      items(2),
		"labelSelector=idx>1":                           items(4),
		"labelSelector=idx<2":                           items(2),
		"labelSelector=idx>x":                           refused("unable to parse requirement: values[0]"),
		"labelSelector=a=b=c":                           refused("found '=', expected: ',' or 'end of string'"),

		"since=2022-03-01":                                items(4),
		"since=2022-03-01T00:00:00Z":                      items(4),
		"since=2022-03-01+00:00:00":                       items(4),
		"since=1646092800":                                items(4),
		"since=1646092800000":                             items(4),
		"since=2022-03-01T00:00:00%2B08:00":               items(4),
		"since=2022-03-01T00:00:00-08:00":                 items(2),
		"since=":                                          items(6),
		"since=16460928":                                  refused("Invalid timestamp: only timestamps with string lengths of 10(as s) and 13(as ms) are supported"),
		"since=abc":                                       refused("Invalid datetime: abc" + datetime),
		"since=2022-13-01":                                refused("Invalid datetime: 2022-13-01" + datetime),
		"since=+2022-03-01":                               refused("Invalid datetime:  2022-03-01" + datetime),
		"since=2022/03/01":                                refused("Invalid datetime: 2022/03/01" + datetime),
		"since=2022-03-01T00:00:00+08:00":                 refused("Invalid datetime: 2022-03-01T00:00:00 08:00" + datetime),
		"before=9999-12-31T23:59:59-01:00":                refused("Invalid datetime: 9999-12-31T23:59:59-01:00" + datetime),
		"before=0001-01-01":                               refused("Invalid datetime: 0001-01-01" + datetime),
		"since=2022-03-05&before=2022-03-01":              refused("Invalid Query, Since is after Before"),
		"since=2022-03-05&before=2022-03-05":              items(0),
		"since=2022-03-01&before=2022-03-05":              items(2),
		label + "since=2022-03-01":                        items(4),
		label + "before=1646092800":                       items(2),
		label + "since=xyz":                               refused("Invalid Query Since(xyz): Invalid datetime: xyz" + datetime),
		label + "before=1":                                refused("Invalid Query Before(1): Invalid timestamp: only timestamps"),
		label + "since in (xyz,2022-03-01)":               items(6),
		"since=2022-03-01&" + label + "since=xyz":         items(4),
		"since=2022-03-05&" + label + "before=2022-03-01": refused("Invalid Query, Since is after Before"),

		fuzzy + "=or":            items(2),
		fuzzy + " in (core,dns)": items(2),
		fuzzy + " in (core,web)": items(0),
		fuzzy + "!=or":           items(2),
		fuzzy + "=core," + fuzzy[len("labelSelector="):] + "=dns": items(2),
		fuzzy + "=w_b": items(0),
		fuzzy + "=":    items(6),
	} {
		t.Run(q, func(t *testing.T) {
			t.Parallel()
			check(t, list{query: q}, w)
		})
	}
}

func TestPathCases(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		list list
		want want
	}{
		"namespace over URL": {list{namespace: "default", query: "namespaces=kube-system"}, items(4)},
		"cluster over URL":   {list{cluster: "cluster-1", query: "clusters=cluster-2"}, names("1/api 1/web 1/coredns")},
		"cluster over label": {list{cluster: "cluster-1", query: "labelSelector=search.clusterpedia.io/clusters=cluster-2"}, items(3)},
		"URL over label":     {list{query: "clusters=cluster-1&labelSelector=search.clusterpedia.io/clusters in (cluster-1,cluster-2)"}, items(3)},
		"unknown namespace":  {list{cluster: "cluster-1", namespace: "Bad_NS"}, items(0)},
		"cluster-scoped":     {list{types: []query.Type{{Group: "*"}}, query: "namespaces=,"}, items(6)},
		"no text":            {list{namespace: "a\x00b"}, refused("namespace: must be UTF-8 text without NUL")},
		"no text in URL":     {list{query: "names=%ff"}, refused("names: must be UTF-8 text without NUL")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, tc.list, tc.want)
		})
	}
}

func TestOrderCases(t *testing.T) {
	t.Parallel()
	const label = "labelSelector=search.clusterpedia.io/orderby"
	unknown := func(field string) want {
		return refused(`Invalid Query OrderBy: unknown field "` + field + `", use one of group, version, resource, kind, ` +
			"cluster, namespace, name, uid, owner_uid, resource_version, created_at, deleted_at, synced_at")
	}
	const byDefault = "1/api 1/web 1/coredns 2/api 2/web 2/coredns"
	const backwards = "2/coredns 2/web 2/api 1/coredns 1/web 1/api"
	for q, w := range map[string]want{
		"":                               names(byDefault),
		"orderby=":                       names(byDefault),
		"orderby=name desc,cluster":      names("1/web 2/web 1/coredns 2/coredns 1/api 2/api"),
		"orderby=name desc,cluster desc": names("2/web 1/web 2/coredns 1/coredns 2/api 1/api"),
		"orderby= name ":                 names("1/api 2/api 1/coredns 2/coredns 1/web 2/web"),
		"orderby=name,name desc":         names("1/api 2/api 1/coredns 2/coredns 1/web 2/web"),
		"orderby=NAME,Created_At":        names("1/api 2/api 1/coredns 2/coredns 1/web 2/web"),
		"orderby=resources.`group`,name": names("1/api 2/api 1/coredns 2/coredns 1/web 2/web"),
		"orderby=name DESC":              refused("Invalid Query OrderBy"),
		"orderby=name asc":               refused("Invalid Query OrderBy"),
		"orderby=name  desc":             refused("Invalid Query OrderBy"),
		"orderby=a b":                    refused("Invalid Query OrderBy"),
		"orderby=a desc b":               refused("Invalid Query OrderBy"),
		"orderby=name, cluster":          refused("Invalid Query OrderBy"),
		"orderby=nosuch":                 unknown("nosuch"),
		"orderby=name,":                  unknown(""),
		"orderby=object":                 unknown("object"),
		"orderby=(select/**/1)":          unknown("(select/**/1)"),
		"orderby=name%3bdelete":          unknown("name;delete"),
		"orderby=name,id,nosuch":         unknown("nosuch"),
		"orderby=id":                     names(byDefault),
		"orderby=id desc":                names(backwards),
		"orderby=id,name desc":           names(byDefault),
		"orderby=cluster,id desc":        names("1/coredns 1/web 1/api 2/coredns 2/web 2/api"),

		label + "=name_desc":                      names("1/web 2/web 1/coredns 2/coredns 1/api 2/api"),
		label + "=resource_version_desc":          names("2/coredns 2/api 2/web 1/coredns 1/api 1/web"),
		label + "=created_at":                     names("1/coredns 2/coredns 1/web 2/web 1/api 2/api"),
		label + " in (name,cluster_desc)":         names("2/api 2/coredns 2/web 1/api 1/coredns 1/web"),
		label + "=nosuch_desc":                    unknown("nosuch"),
		label:                                     names(byDefault),
		"orderby=cluster desc&" + label + "=name": names("2/api 2/web 2/coredns 1/api 1/web 1/coredns"),
	} {
		t.Run(q, func(t *testing.T) {
			t.Parallel()
			check(t, list{query: q}, w)
		})
	}
}

func TestFieldSelectorCases(t *testing.T) {
	t.Parallel()
	for selector, w := range map[string]want{
		"metadata.name=web":                           items(2),
		".metadata.name==web":                         items(2),
		"metadata.name = web":                         items(2),
		"metadata.name!=web":                          items(4),
		"spec.nosuch":                                 items(0),
		"!spec.nosuch":                                items(6),
		"metadata.annotations['test.io']=v0":          items(2),
		"metadata.annotations.'test.io'=v0":           items(2),
		`metadata.annotations["test.io"] in (v0,v1)`:  items(4),
		"metadata.annotations['a']=one":               items(6),
		"spec.paused=true":                            items(2),
		"spec.replicas>1":                             items(4),
		"spec.replicas<abc":                           refused("unable to parse requirement: spec.replicas"),
		"metadata.name=web&fieldSelector=spec.paused": items(2),
		"metadata.name=web&labelSelector=tier=back":   items(0),
	} {
		t.Run(selector, func(t *testing.T) {
			t.Parallel()
			check(t, list{query: "fieldSelector=" + selector}, w)
		})
	}
	for selector, w := range map[string]want{
		"status.phase!=Running":            items(6),
		"spec.containers[].name=web":       items(6),
		"spec.containers[0].name=sidecar":  items(0),
		"spec.containers[1].name=sidecar":  items(12),
		"spec.containers[].image!=web:v1":  items(6),
		"spec.containers[2]":               items(0),
		"spec.nodeName in (node-0,node-2)": items(8),
	} {
		t.Run("pods "+selector, func(t *testing.T) {
			t.Parallel()
			check(t, list{types: []query.Type{pods}, query: "fieldSelector=" + selector}, w)
		})
	}
}

func TestOwnerCases(t *testing.T) {
	t.Parallel()
	const (
		noCluster = "If searching by owner uid or name, then the cluster must be specified"
		one       = "cluster-1"
		label     = "labelSelector=search.clusterpedia.io/owner-"
	)
	for name, tc := range map[string]struct {
		list list
		want want
	}{
		"UID, no cluster":     {list{query: "ownerUID=cluster-1-replicasets-web-rs"}, refused(noCluster)},
		"name, no cluster":    {list{query: "ownerName=web-rs"}, refused(noCluster)},
		"two clusters":        {list{query: "ownerName=web-rs&clusters=cluster-1,cluster-2"}, refused(noCluster)},
		"one cluster in URL":  {list{query: "ownerName=web-rs&clusters=cluster-1"}, items(3)},
		"one cluster, label":  {list{query: "ownerName=web-rs&labelSelector=search.clusterpedia.io/clusters=cluster-1"}, items(3)},
		"by label":            {list{cluster: one, query: label + "name=web-rs"}, items(3)},
		"UID of a grandowner": {list{cluster: one, query: "ownerUID=cluster-1-deployments-web"}, items(0)},
		"grandowner":          {list{cluster: one, query: "ownerUID=cluster-1-deployments-web&ownerSeniority=1"}, items(3)},
		"UID over name":       {list{cluster: one, query: "ownerUID=cluster-1-replicasets-api-rs&ownerName=web-rs"}, items(1)},
		"name of grandowner":  {list{cluster: one, query: "ownerName=web&ownerSeniority=1"}, items(3)},
		"in its namespace":    {list{cluster: one, namespace: "default", query: "ownerName=web&ownerSeniority=1"}, items(3)},
		"in another":          {list{cluster: one, namespace: "kube-system", query: "ownerName=web&ownerSeniority=1"}, items(0)},
		"seniority by label":  {list{cluster: one, query: "ownerName=web&ownerSeniority=0&" + label + "seniority=1"}, items(3)},
		"GR":                  {list{cluster: one, query: "ownerName=web&ownerSeniority=1&ownerGR=deployments.apps"}, items(3)},
		"GR by label":         {list{cluster: one, query: "ownerName=web&ownerSeniority=1&" + label + "gr=deployments.apps"}, items(3)},
		"GR of another":       {list{cluster: one, query: "ownerName=web&ownerSeniority=1&ownerGR=replicasets.apps"}, items(0)},
		"GR of core":          {list{cluster: one, query: "ownerName=web&ownerSeniority=1&ownerGR=deployments"}, items(0)},
		"GR without resource": {list{cluster: one, query: "ownerName=web&ownerGR=.apps"}, refused("Invalid Query OwnerGroupResource(.apps): must be resource.group")},
		"no number":           {list{query: "ownerSeniority=abc"}, refused(`strconv.Atoi: parsing "abc": invalid syntax`)},
		"no number by label":  {list{query: label + "seniority=abc"}, refused(`Invalid Query OwnerSeniority(abc): strconv.Atoi: parsing "abc": invalid syntax`)},
		"without an owner":    {list{query: "ownerSeniority=1&ownerGR=deployments.apps"}, items(12)},
		"negative":            {list{cluster: one, query: "ownerSeniority=-1&ownerName=web"}, refused("Invalid Query OwnerSeniority(-1): must be from 0 to 10")},
		"most":                {list{cluster: one, query: "ownerSeniority=10&ownerName=web"}, items(0)},
		"too many":            {list{cluster: one, query: "ownerSeniority=11&ownerName=web"}, refused("Invalid Query OwnerSeniority(11): must be from 0 to 10")},
		"far too many":        {list{cluster: one, query: "ownerSeniority=99999999999999999999&ownerName=web"}, refused(`strconv.Atoi: parsing "99999999999999999999": value out of range`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := tc.list
			l.types = []query.Type{pods}
			check(t, l, tc.want)
		})
	}
}
