package visibility

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
)

// maxOwners bounds the owners of one name.
const maxOwners = 10_000

// owner limits a query by the name of an owner to those owners that the caller may see:
// otherwise it would tell whether there is one of that name. Storage layers look at the
// rights to what is found alone, which is of other resources.
//
// The client's continue token is that of its own query, whatever the owners are by now: it
// becomes one of the query that the storage layer gets, and listoptions turns the next one
// back.
func (s *search) owner(ctx context.Context, q *query.Query) error {
	asked := *q
	if err := s.visibleOwners(ctx, q); err != nil || q.Continue == "" || q.Owner == asked.Owner {
		return err
	}
	after, err := asked.Position()
	if err != nil {
		return fmt.Errorf("read the continue token: %w", err)
	}
	q.Continue = q.ContinueAfter(after)
	return nil
}

// visibleOwners replaces the query's owner, and its namespaces, by what the caller may see.
func (s *search) visibleOwners(ctx context.Context, q *query.Query) error {
	if q.Owner == nil || q.Owner.UID != "" || len(q.Visible.Scopes) == 0 {
		return nil
	}
	named := &query.Query{Clusters: q.Clusters, Names: []string{q.Owner.Name}, Projection: query.KeyOnly}
	if q.Owner.Resource != "" {
		named.Types = []query.Type{{Group: q.Owner.Group, Resource: q.Owner.Resource}}
	}
	if len(q.Namespaces) > 0 {
		named.Namespaces = append(slices.Clone(q.Namespaces), "")
	}
	var all, visible, hidden []object.Object
	_, err := s.Storage.List(ctx, named, func(o *object.Object) error {
		if all = append(all, *o); len(all) > maxOwners {
			return errTooMany
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for the owner %s: %w", q.Owner.Name, err)
	}
	if err := s.askAboutOwners(ctx, all); err != nil {
		return err
	}
	for i := range all {
		o := &all[i]
		allowed, err := s.allowedAt(ctx, schema.GroupResource{Group: o.Group, Resource: o.Resource.Resource}, o.Cluster, o.Namespace)
		if err != nil {
			return err
		}
		if allowed {
			visible = append(visible, *o)
		} else {
			hidden = append(hidden, *o)
		}
	}
	switch {
	case len(hidden) == 0:
	case len(visible) == 0:
		q.Visible = &query.Visibility{}
	case len(visible) == 1:
		q.Owner = &query.Owner{UID: visible[0].UID, Seniority: q.Owner.Seniority}
	default:
		return selectOwners(q, visible, hidden)
	}
	return nil
}

// askAboutOwners makes the reviews that allowedAt will need.
func (s *search) askAboutOwners(ctx context.Context, owners []object.Object) error {
	var whole, single []question
	for i := range owners {
		r := schema.GroupResource{Group: owners[i].Group, Resource: owners[i].Resource.Resource}
		whole = append(whole, question{resource: r, clusterName: owners[i].Cluster})
		single = append(single, question{resource: r, clusterName: owners[i].Cluster, namespace: owners[i].Namespace})
	}
	if err := s.askAhead(ctx, whole); err != nil {
		return err
	}
	single = slices.DeleteFunc(single, func(w question) bool {
		w.namespace = ""
		return s.asked[s.question(w)]
	})
	return s.askAhead(ctx, single)
}

// selectOwners narrows a query until it selects the visible owners and no hidden one: by
// their resource, and by their namespaces, as what they own is in the same one.
func selectOwners(q *query.Query, visible, hidden []object.Object) error {
	owner := *q.Owner
	namespaces := map[string]bool{}
	first := visible[0].Resource
	same := true
	for i := range visible {
		namespaces[visible[i].Namespace] = true
		same = same && visible[i].Group == first.Group && visible[i].Resource.Resource == first.Resource
	}
	if same {
		owner.Group, owner.Resource = first.Group, first.Resource
	}
	selected := func(o object.Object) bool {
		ofResource := owner.Resource == "" || o.Group == owner.Group && o.Resource.Resource == owner.Resource
		return ofResource && (namespaces[""] || o.Namespace == "" || namespaces[o.Namespace])
	}
	if slices.ContainsFunc(hidden, selected) {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "owners"}, owner.Name, errors.New(
			"you may not see all that have this name: give ownerUID, or ownerGR and one namespace"))
	}
	q.Owner = &owner
	if !namespaces[""] {
		q.Namespaces = nil
		for i := range visible {
			if !slices.Contains(q.Namespaces, visible[i].Namespace) {
				q.Namespaces = append(q.Namespaces, visible[i].Namespace)
			}
		}
	}
	return nil
}
