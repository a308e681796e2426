package rows

import (
	"encoding/json"
	"fmt"
	"time"

	"clusterpedia.io/internalstorage/dialect"
	"clusterpedia.io/storage-api/object"
)

// NewBatch returns what a statement writes of one cluster, no key being given twice. The
// documents are appended to memory.
func NewBatch(cluster string, epoch int64, deletes []object.Key, puts []*object.Object, now time.Time, memory []byte) (*dialect.Batch, error) {
	b := &dialect.Batch{Cluster: cluster, Epoch: epoch, SyncedAt: now, Documents: memory[:0]}
	grow(&b.Deletes, len(deletes))
	for _, key := range deletes {
		appendKey(&b.Deletes, key)
	}
	n := len(puts)
	grow(&b.Puts, n)
	for _, texts := range []*[]string{&b.Kinds, &b.UIDs, &b.ResourceVersions, &b.Controllers, &b.OwnersAsTexts} {
		*texts = make([]string, 0, n)
	}
	b.CreatedAt, b.DeletedAt = make([]time.Time, 0, n), make([]time.Time, 0, n)
	b.At, b.Sizes, b.Heads = make([]int32, 0, n), make([]int32, 0, n), make([]int32, 0, n)
	for _, o := range puts {
		if err := appendObject(b, o); err != nil {
			return nil, fmt.Errorf("%s: %w", o.Key, err)
		}
	}
	return b, nil
}

func appendObject(b *dialect.Batch, o *object.Object) error {
	owners, err := ownersText(o)
	if err != nil {
		return err
	}
	appendKey(&b.Puts, o.Key)
	b.Kinds, b.UIDs, b.ResourceVersions = append(b.Kinds, o.Kind), append(b.UIDs, o.UID), append(b.ResourceVersions, o.ResourceVersion)
	b.Controllers, b.OwnersAsTexts = append(b.Controllers, o.Controller), append(b.OwnersAsTexts, owners)
	b.CreatedAt, b.DeletedAt = append(b.CreatedAt, o.CreatedAt.UTC()), append(b.DeletedAt, o.DeletedAt.UTC())
	head, _ := cutHead(o.JSON)
	b.At, b.Sizes, b.Heads = append(b.At, int32(len(b.Documents)+1)), append(b.Sizes, int32(len(o.JSON))), append(b.Heads, int32(len(head))) //nolint:gosec // bounded by the caller
	b.Documents = append(b.Documents, o.JSON...)
	for _, owner := range OtherOwners(o) {
		appendKey(&b.Owned, o.Key)
		b.Owners = append(b.Owners, owner)
	}
	return nil
}

func grow(k *dialect.Keys, n int) {
	if n == 0 {
		return
	}
	for _, texts := range []*[]string{&k.Group, &k.Version, &k.Resource, &k.Namespace, &k.Name} {
		*texts = make([]string, 0, n)
	}
}

func appendKey(k *dialect.Keys, key object.Key) {
	k.Group, k.Version, k.Resource = append(k.Group, key.Group), append(k.Version, key.Version), append(k.Resource, key.Resource.Resource)
	k.Namespace, k.Name = append(k.Namespace, key.Namespace), append(k.Name, key.Name)
}

// ownersText is how column owners has the UIDs of owners: a JSON list. It is empty for
// nearly all objects, which have one owner, or none: then owner_uid says it all.
func ownersText(o *object.Object) (string, error) {
	if len(o.Owners) == 0 || len(o.Owners) == 1 && o.Owners[0] == o.Controller {
		return "", nil
	}
	text, err := json.Marshal(o.Owners)
	if err != nil {
		return "", fmt.Errorf("owners: %w", err)
	}
	return string(text), nil
}
