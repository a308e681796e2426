package visibility

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/clusterpedia/internal/apiserver/listoptions"
	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
)

// An owner's name finds what is owned by those of that name that the caller may see.
func TestOwner(t *testing.T) {
	t.Parallel()
	owners := func(places ...string) []object.Object {
		var all []object.Object
		for _, place := range places {
			parts := strings.Split(place, "/")
			r := object.Resource{Version: "v1", Resource: parts[0]}
			if parts[0] == "deployments" {
				r.Group = "apps"
			}
			all = append(all, object.Object{Key: object.Key{Cluster: "one", Resource: r, Namespace: parts[1], Name: "web"}, UID: place})
		}
		return all
	}
	const (
		pods, team, deployments = "list pods one", "list deployments.apps one team", "list deployments.apps one"
	)
	named := query.Owner{Name: "web", Seniority: 1}
	for name, tc := range map[string]struct {
		owners     []object.Object
		allow      []string
		namespaces []string
		of         query.Owner
		nothing    bool
		want       query.Owner
		in         []string
		err        string
	}{
		"none of that name":         {allow: []string{pods}, want: named},
		"visible":                   {owners: owners("deployments/team"), allow: []string{pods, team}, want: named},
		"hidden":                    {owners: owners("deployments/team"), allow: []string{pods}, nothing: true},
		"hidden elsewhere":          {owners: owners("deployments/dev"), allow: []string{pods, team}, nothing: true},
		"hidden, not asked for":     {owners: owners("deployments/team", "secrets/dev"), allow: []string{pods, team}, namespaces: []string{"team"}, want: named, in: []string{"team"}},
		"hidden, of another type":   {owners: owners("deployments/team", "secrets/team"), allow: []string{pods, team}, of: query.Owner{Group: "apps", Resource: "deployments"}, want: query.Owner{Name: "web", Group: "apps", Resource: "deployments", Seniority: 1}},
		"one of two":                {owners: owners("deployments/team", "deployments/dev"), allow: []string{pods, team}, want: query.Owner{UID: "deployments/team", Seniority: 1}},
		"all of one type":           {owners: owners("deployments/team", "deployments/dev", "secrets/team"), allow: []string{pods, deployments}, want: query.Owner{Name: "web", Group: "apps", Resource: "deployments", Seniority: 1}, in: []string{"dev", "team"}},
		"all of one namespace":      {owners: owners("deployments/team", "secrets/team", "secrets/dev"), allow: []string{pods, deployments, "list secrets one team"}, want: named, in: []string{"team"}},
		"of the cluster":            {owners: owners("nodes/", "deployments/team", "deployments/dev"), allow: []string{pods, team, "list nodes one"}, err: "give ownerUID"},
		"some of a type and place":  {owners: owners("deployments/team", "deployments/dev", "secrets/team", "pods/default"), allow: []string{pods, deployments}, err: "give ownerUID"},
		"hidden ones of other type": {owners: owners("nodes/", "secrets/team"), allow: []string{pods, "list nodes one"}, want: query.Owner{UID: "nodes/", Seniority: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &rules{allow: map[string]bool{}}
			for _, a := range tc.allow {
				r.allow[a] = true
			}
			c := checker(t, r)
			c.Storage = &shelf{objects: tc.owners}
			tc.of.Name, tc.of.Seniority = "web", 1
			q := &query.Query{Clusters: []string{"one"}, Namespaces: tc.namespaces, Owner: &tc.of}
			err := c.Limit(as(t, "alice"), "list", resource(t, c, "", "pods"), q)
			switch {
			case tc.err != "":
				require.ErrorContains(t, err, tc.err)
			case tc.nothing:
				require.NoError(t, err)
				require.Equal(t, &query.Visibility{}, q.Visible)
			default:
				require.NoError(t, err)
				require.Equal(t, []query.Scope{{Clusters: []string{"one"}, Namespaces: tc.namespaces}}, q.Visible.Scopes)
				require.Equal(t, tc.want, *q.Owner)
				require.Equal(t, tc.in, q.Namespaces)
			}
			byUID := &query.Query{Clusters: []string{"one"}, Owner: &query.Owner{UID: "x", Name: "web"}}
			require.NoError(t, c.Limit(as(t, "alice"), "list", resource(t, c, "", "pods"), byUID))
			require.Equal(t, &query.Owner{UID: "x", Name: "web"}, byUID.Owner, "a UID cannot be guessed")
		})
	}
}

// A client follows the pages of what an owner owns by the tokens of its own query, also
// when what is visible of the owners changes between two pages.
func TestOwnerPages(t *testing.T) {
	t.Parallel()
	at := func(group, resource, namespace, name string) object.Object {
		return object.Object{Key: object.Key{Cluster: "one", Resource: object.Resource{Group: group, Version: "v1", Resource: resource}, Namespace: namespace, Name: name}, UID: resource + "/" + namespace}
	}
	owners := []object.Object{at("apps", "deployments", "dev", "web"), at("apps", "deployments", "team", "web"), at("", "secrets", "team", "web")}
	for name, allow := range map[string][]string{
		"one of some":        {"list deployments.apps one team"},
		"all of a namespace": {"list deployments.apps one team", "list secrets one team"},
		"all of a resource":  {"list deployments.apps one"},
		"all":                {"list deployments.apps one", "list secrets one"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &rules{allow: map[string]bool{"list pods one": true}}
			for _, a := range allow {
				r.allow[a] = true
			}
			values := url.Values{"ownerName": {"web"}, "limit": {"1"}}
			next := func(i int) {
				c := checker(t, r)
				c.Storage = &shelf{objects: owners}
				o, err := listoptions.Parse(listoptions.Input{Values: values, Cluster: "one", Types: []query.Type{{Version: "v1", Resource: "pods"}}})
				require.NoError(t, err)
				require.NoError(t, c.Limit(as(t, "alice"), "list", resource(t, c, "", "pods"), o.Query))
				require.NoError(t, o.Query.Validate())
				if i > 0 {
					after, err := o.Query.Position()
					require.NoError(t, err)
					require.Equal(t, fmt.Sprint("pod-", i-1), after.Name)
				}
				last := at("", "pods", "team", fmt.Sprint("pod-", i))
				values.Set("continue", o.ListMeta(query.Page{Continue: o.Query.ContinueAfter(&last)}, 1).Continue)
			}
			for i := range 3 {
				next(i)
			}
			r.allow = map[string]bool{"list pods one": true, "list secrets one team": true}
			next(3)
			next(4)
		})
	}
}
