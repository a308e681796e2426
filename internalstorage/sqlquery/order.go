package sqlquery

import (
	"clusterpedia.io/internalstorage/dialect"
	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
)

// ordering is one expression that rows are sorted by.
type ordering struct {
	sql   string
	desc  bool
	value func(*object.Object) any
}

// order returns what rows are sorted by: the query's order, then the key. Columns
// that have one value in all rows of the answer are left out, so that an index
// serves the rest.
func (b *Builder) order() []ordering {
	var list []ordering
	seen := map[query.OrderField]bool{}
	for _, o := range b.query.Order {
		seen[o.By] = true
		list = append(list, b.by(o.By, o.Desc))
	}
	one := len(b.query.Types) == 1
	for _, key := range []struct {
		field query.OrderField
		fixed bool
	}{
		{query.ByGroup, one && b.query.Types[0].Group != query.AnyGroup},
		{query.ByVersion, one && b.query.Types[0].Version != ""},
		{query.ByResource, one && b.query.Types[0].Resource != ""},
		{query.ByCluster, len(b.query.Clusters) == 1},
		{query.ByNamespace, len(b.query.Namespaces) == 1},
		{query.ByName, false},
	} {
		if !seen[key.field] && !key.fixed {
			list = append(list, b.by(key.field, false))
		}
	}
	return list
}

// oneType says that all rows of the answer are of the same type.
func (b *Builder) oneType() bool {
	t := b.query.Types
	return len(t) == 1 && t[0].Group != query.AnyGroup && t[0].Version != "" && t[0].Resource != ""
}

func (b *Builder) by(field query.OrderField, desc bool) ordering {
	text := func(column string, value func(*object.Object) string) ordering {
		return ordering{dialect.OrderOf(b.dialect, column), desc, func(o *object.Object) any { return value(o) }}
	}
	switch field {
	case query.ByGroup:
		return text("group", func(o *object.Object) string { return o.Group })
	case query.ByVersion:
		return text("version", func(o *object.Object) string { return o.Version })
	case query.ByResource:
		return text("resource", func(o *object.Object) string { return o.Resource.Resource })
	case query.ByKind:
		return text("kind", func(o *object.Object) string { return o.Kind })
	case query.ByCluster:
		return text("cluster", func(o *object.Object) string { return o.Cluster })
	case query.ByNamespace:
		return text("namespace", func(o *object.Object) string { return o.Namespace })
	case query.ByUID:
		return text("uid", func(o *object.Object) string { return o.UID })
	case query.ByController:
		return text("owner_uid", func(o *object.Object) string { return o.Controller })
	case query.ByResourceVersion:
		return ordering{dialect.OrderOf(b.dialect, "resource_version"), desc, func(o *object.Object) any { return query.VersionNumber(o.ResourceVersion) }}
	case query.ByCreatedAt:
		return ordering{"created_at", desc, func(o *object.Object) any { return b.dialect.Time(o.CreatedAt) }}
	case query.BySyncedAt:
		return ordering{dialect.OrderOf(b.dialect, "synced_at"), desc, func(o *object.Object) any { return b.dialect.Time(o.SyncedAt) }}
	case query.ByDeletedAt:
		return b.byDeletion(desc)
	}
	return text("name", func(o *object.Object) string { return o.Name })
}

// byDeletion sorts objects that are not being deleted first: their column is NULL,
// which databases sort as they like.
func (b *Builder) byDeletion(desc bool) ordering {
	return ordering{dialect.OrderOf(b.dialect, "deleted_at"), desc, func(o *object.Object) any { return b.dialect.Time(o.DeletedAt) }}
}
