package membercluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	apidiscovery "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is an API group that a member serves.
type Group struct {
	// Name is empty for the core group.
	Name string
	// Versions are in the member's order, the preferred one first.
	Versions []Version
}

// Version is one version of a group.
type Version struct {
	Version string
	// Resources are in the member's order, without subresources.
	Resources []Resource
	// Unknown says that the member couldn't tell all resources of this version
	// and never has: nothing may be concluded from their absence.
	Unknown bool
}

// Resource is a resource as one version of a group has it.
type Resource struct {
	// Name is the plural name, as in URLs.
	Name string
	// Singular may be empty.
	Singular   string
	Kind       string
	Namespaced bool
	Verbs      []string
}

// Syncable reports whether the resource can be listed and watched.
func (r Resource) Syncable() bool {
	return slices.Contains(r.Verbs, "list") && slices.Contains(r.Verbs, "watch")
}

// Served is what a member serves. It isn't changed once it is made.
type Served struct {
	// Groups are in the member's order, the core group first.
	Groups []Group
	// CustomGroups are the groups that CustomResourceDefinitions define. Nil if
	// the member doesn't let them be seen.
	CustomGroups map[string]bool
	// At is when the member gave the answer.
	At time.Time
}

// Group returns the group of that name, nil if it isn't served.
func (s *Served) Group(name string) *Group {
	for i := range s.Groups {
		if s.Groups[i].Name == name {
			return &s.Groups[i]
		}
	}
	return nil
}

// Complete reports whether the member told all resources of the group. A group
// that isn't served is complete: it has none.
func (s *Served) Complete(name string) bool {
	group := s.Group(name)
	return group == nil || !slices.ContainsFunc(group.Versions, func(v Version) bool { return v.Unknown })
}

const (
	coreGroupsPath  = "/api"
	namedGroupsPath = "/apis"

	// acceptDiscovery asks for all groups and resources in one answer. Members
	// older than v1.26 answer with the groups alone.
	acceptDiscovery = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList," +
		"application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList," +
		"application/json"

	// maxDiscoveryBody bounds one discovery answer.
	maxDiscoveryBody = 64 << 20
	discoveryTimeout = 32 * time.Second
)

// discoverer asks a member what it serves, and remembers the answers, so that a
// failure never makes a resource disappear.
type discoverer struct {
	client *Client
	// answers are the last ones of both roots, "/api" and "/apis".
	answers map[string]answer
}

type answer struct {
	etag   string
	groups []Group
}

func newDiscoverer(client *Client) *discoverer {
	return &discoverer{client: client, answers: map[string]answer{}}
}

// fetch asks for everything. An error means that nothing was learned. What single
// versions fail to tell is taken from the previous answer; if there was none they
// are marked unknown.
func (d *discoverer) fetch(ctx context.Context) (*Served, error) {
	ctx, cancel := context.WithTimeout(ctx, discoveryTimeout)
	defer cancel()
	served := &Served{At: time.Now()}
	for _, root := range []string{coreGroupsPath, namedGroupsPath} {
		now, err := d.fetchRoot(ctx, root, d.answers[root])
		if err != nil {
			return nil, fmt.Errorf("discover %s: %w", root, err)
		}
		d.answers[root] = now
		served.Groups = append(served.Groups, now.groups...)
	}
	return served, nil
}

func (d *discoverer) fetchRoot(ctx context.Context, root string, before answer) (answer, error) {
	response, err := d.client.Get(ctx, Request{Path: root, Accept: acceptDiscovery, ETag: before.etag})
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusNotModified {
		return before, nil
	}
	body, err := readLimited(response.Body, maxDiscoveryBody)
	if err != nil {
		return answer{}, err
	}
	var groups []Group
	etag := ""
	switch {
	case isAggregated(response.Header.Get("Content-Type")):
		groups, err = parseAggregated(body)
		// An answer with unknown parts must be asked for again in full.
		if !slices.ContainsFunc(groups, hasUnknown) {
			etag = response.Header.Get("ETag")
		}
	case root == coreGroupsPath:
		groups, err = d.fetchCore(ctx, body)
	default:
		groups, err = d.fetchNamed(ctx, body)
	}
	if err != nil {
		return answer{}, err
	}
	// No member serves nothing; to believe it would make everything disappear.
	if len(groups) == 0 {
		return answer{}, errors.New("the answer names no group")
	}
	return answer{etag: etag, groups: keepUnknown(groups, before.groups)}, nil
}

func hasUnknown(g Group) bool {
	return slices.ContainsFunc(g.Versions, func(v Version) bool { return v.Unknown })
}

// keepUnknown fills the versions that are unknown in now with what was known
// before.
func keepUnknown(now, before []Group) []Group {
	for i, group := range now {
		for j, version := range group.Versions {
			if !version.Unknown {
				continue
			}
			if known := findVersion(before, group.Name, version.Version); known != nil {
				now[i].Versions[j] = *known
			}
		}
	}
	return now
}

func findVersion(groups []Group, group, version string) *Version {
	for i := range groups {
		if groups[i].Name != group {
			continue
		}
		for j := range groups[i].Versions {
			if groups[i].Versions[j].Version == version {
				return &groups[i].Versions[j]
			}
		}
	}
	return nil
}

func isAggregated(contentType string) bool {
	_, params, err := mime.ParseMediaType(contentType)
	return err == nil && params["g"] == "apidiscovery.k8s.io" && params["as"] == "APIGroupDiscoveryList"
}

func parseAggregated(body []byte) ([]Group, error) {
	var list apidiscovery.APIGroupDiscoveryList
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("decode the answer: %w", err)
	}
	groups := make([]Group, 0, len(list.Items))
	for _, item := range list.Items {
		group := Group{Name: item.Name}
		for _, v := range item.Versions {
			version := Version{Version: v.Version, Unknown: v.Freshness == apidiscovery.DiscoveryFreshnessStale}
			for _, r := range v.Resources {
				// A resource without a kind is there for its subresources alone.
				if r.ResponseKind == nil || r.ResponseKind.Kind == "" {
					continue
				}
				version.Resources = append(version.Resources, Resource{
					Name:       r.Resource,
					Singular:   r.SingularResource,
					Kind:       r.ResponseKind.Kind,
					Namespaced: r.Scope == apidiscovery.ScopeNamespace,
					Verbs:      r.Verbs,
				})
			}
			group.Versions = append(group.Versions, version)
		}
		groups = append(groups, group)
	}
	return groups, nil
}

func (d *discoverer) fetchCore(ctx context.Context, body []byte) ([]Group, error) {
	var versions metav1.APIVersions
	if err := json.Unmarshal(body, &versions); err != nil {
		return nil, fmt.Errorf("decode the answer: %w", err)
	}
	if len(versions.Versions) == 0 {
		return nil, errors.New("the answer names no version")
	}
	core := Group{}
	for _, v := range versions.Versions {
		core.Versions = append(core.Versions, d.fetchVersion(ctx, coreGroupsPath+"/"+v, schema.GroupVersion{Version: v}))
	}
	return []Group{core}, ctx.Err()
}

func (d *discoverer) fetchNamed(ctx context.Context, body []byte) ([]Group, error) {
	var list metav1.APIGroupList
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("decode the answer: %w", err)
	}
	groups := make([]Group, 0, len(list.Groups))
	for _, g := range list.Groups {
		group := Group{Name: g.Name}
		for _, v := range g.Versions {
			gv := schema.GroupVersion{Group: g.Name, Version: v.Version}
			group.Versions = append(group.Versions, d.fetchVersion(ctx, namedGroupsPath+"/"+g.Name+"/"+v.Version, gv))
		}
		groups = append(groups, group)
	}
	return groups, ctx.Err()
}

// fetchVersion asks for the resources of one version. A failure of any kind says
// nothing about them: the member has just named the version.
func (d *discoverer) fetchVersion(ctx context.Context, path string, gv schema.GroupVersion) Version {
	version := Version{Version: gv.Version, Unknown: true}
	body, err := d.client.getBytes(ctx, path, maxDiscoveryBody)
	if err != nil {
		return version
	}
	var list metav1.APIResourceList
	if json.Unmarshal(body, &list) != nil || list.GroupVersion != gv.String() {
		return version
	}
	version.Unknown = false
	for _, r := range list.APIResources {
		if strings.Contains(r.Name, "/") { // a subresource
			continue
		}
		version.Resources = append(version.Resources, Resource{
			Name: r.Name, Singular: r.SingularName, Kind: r.Kind, Namespaced: r.Namespaced, Verbs: r.Verbs,
		})
	}
	return version
}
