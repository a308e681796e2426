package query

import (
	"cmp"
	"strings"

	"clusterpedia.io/storage-api/object"
)

// Compare orders two objects as q wants them: by q.Order, then by the default
// order. It is 0 only for objects of the same key.
func Compare(q *Query, a, b *object.Object) int {
	for _, by := range q.Order {
		c := compareField(by.By, a, b)
		if by.Desc {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return a.Key.Compare(b.Key)
}

func compareField(f OrderField, a, b *object.Object) int {
	switch f {
	case ByCreatedAt:
		return a.CreatedAt.Compare(b.CreatedAt)
	case ByDeletedAt:
		return a.DeletedAt.Compare(b.DeletedAt)
	case BySyncedAt:
		return a.SyncedAt.Compare(b.SyncedAt)
	case ByResourceVersion:
		return cmp.Compare(VersionNumber(a.ResourceVersion), VersionNumber(b.ResourceVersion))
	default:
		return strings.Compare(fieldText(f, a), fieldText(f, b))
	}
}

// VersionNumber is the value by which a resource version sorts: that of its 1 to
// 18 decimal digits, else 0.
func VersionNumber(resourceVersion string) int64 {
	n, ok := decimal(resourceVersion)
	if !ok || n < 0 {
		return 0
	}
	return n
}

func fieldText(f OrderField, o *object.Object) string {
	switch f {
	case ByGroup:
		return o.Group
	case ByVersion:
		return o.Version
	case ByResource:
		return o.Resource.Resource
	case ByKind:
		return o.Kind
	case ByCluster:
		return o.Cluster
	case ByNamespace:
		return o.Namespace
	case ByName:
		return o.Name
	case ByUID:
		return o.UID
	case ByController:
		return o.Controller
	}
	return ""
}
