package listoptions

import (
	"k8s.io/apimachinery/pkg/runtime/schema"

	"clusterpedia.io/storage-api/query"
)

// owner sets the owner to search by.
func (p *parser) owner() error {
	if p.ownerUID == "" && p.ownerName == "" {
		if p.ownerGR != "" || p.ownerSeniority != 0 {
			p.warn("ownerGR and ownerSeniority were ignored: they need ownerUID or ownerName")
		}
		return nil
	}
	if len(p.query.Clusters) != 1 {
		return invalid("If searching by owner uid or name, then the cluster must be specified")
	}
	if p.ownerSeniority < 0 || p.ownerSeniority > query.MaxSeniority {
		return invalid("Invalid Query OwnerSeniority(%d): must be from 0 to %d", p.ownerSeniority, query.MaxSeniority)
	}
	owner := &query.Owner{UID: p.ownerUID, Seniority: p.ownerSeniority}
	if p.ownerUID == "" {
		gr := schema.ParseGroupResource(p.ownerGR)
		if p.ownerGR != "" && gr.Resource == "" {
			return invalid("Invalid Query OwnerGroupResource(%s): must be resource.group", p.ownerGR)
		}
		owner.Name, owner.Group, owner.Resource = p.ownerName, gr.Group, gr.Resource
	}
	p.query.Owner = owner
	return nil
}
