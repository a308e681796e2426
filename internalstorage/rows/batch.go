package rows

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"clusterpedia.io/internalstorage/dialect"
	"clusterpedia.io/internalstorage/packed"
	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/storage"
)

// NewBatch returns what a statement writes of one cluster, no key being given twice.
// Documents are packed if there is a packer. They are put into memory.
func NewBatch(cluster string, epoch int64, deletes []object.Key, puts []*object.Object, now time.Time, packer *packed.Packer, memory []byte) (*dialect.Batch, error) {
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
	for _, numbers := range []*[]int32{&b.At, &b.Sizes, &b.RawAt, &b.RawSizes, &b.Heads} {
		*numbers = make([]int32, 0, n)
	}
	for _, o := range puts {
		if err := appendObject(b, o); err != nil {
			return nil, fmt.Errorf("%s: %w", o.Key, err)
		}
	}
	if packer != nil {
		return b, appendPacked(b, packer, puts)
	}
	for _, o := range puts {
		appendDocument(b, o.JSON)
	}
	return b, nil
}

// appendObject appends all but the document.
func appendObject(b *dialect.Batch, o *object.Object) error {
	owners, err := ownersText(o)
	if err != nil {
		return err
	}
	appendKey(&b.Puts, o.Key)
	b.Kinds, b.UIDs, b.ResourceVersions = append(b.Kinds, o.Kind), append(b.UIDs, o.UID), append(b.ResourceVersions, o.ResourceVersion)
	b.Controllers, b.OwnersAsTexts = append(b.Controllers, o.Controller), append(b.OwnersAsTexts, owners)
	b.CreatedAt, b.DeletedAt = append(b.CreatedAt, o.CreatedAt.UTC()), append(b.DeletedAt, o.DeletedAt.UTC())
	for _, owner := range OtherOwners(o) {
		appendKey(&b.Owned, o.Key)
		b.Owners = append(b.Owners, owner)
	}
	return nil
}

func appendDocument(b *dialect.Batch, doc []byte) {
	head, rest := cutHead(doc)
	at := len(b.Documents) + 1
	b.Documents = append(b.Documents, doc...)
	appendPlace(&b.At, &b.Sizes, at, len(doc))
	appendPlace(&b.RawAt, &b.RawSizes, at+len(head), len(rest))
	b.Heads = append(b.Heads, int32(len(head))) //nolint:gosec // see appendPlace
}

func appendPlace(at, sizes *[]int32, begin, size int) {
	*at, *sizes = append(*at, int32(begin)), append(*sizes, int32(size)) //nolint:gosec // a statement has less than 1 GiB
}

// share is some of the documents of a batch, one behind the other: each without its lists,
// and then packed. sizes are of both.
type share struct {
	documents []byte
	sizes     [][2]int
	err       error
}

// minShare is how many documents are worth a goroutine.
const minShare = 16

// appendPacked packs the documents, on all processors: it takes most of the time that a
// writer spends.
func appendPacked(b *dialect.Batch, packer *packed.Packer, puts []*object.Object) error {
	workers := max(1, min(runtime.GOMAXPROCS(0), len(puts)/minShare))
	shares := make([]share, workers)
	var group sync.WaitGroup
	for i := range shares {
		group.Go(func() { shares[i] = pack(packer, puts[i*len(puts)/workers:(i+1)*len(puts)/workers]) })
	}
	group.Wait()
	for _, s := range shares {
		if s.err != nil {
			return s.err
		}
		at := len(b.Documents) + 1
		b.Documents = append(b.Documents, s.documents...)
		for _, sizes := range s.sizes {
			appendPlace(&b.At, &b.Sizes, at, sizes[0])
			appendPlace(&b.RawAt, &b.RawSizes, at+sizes[0], sizes[1])
			at += sizes[0] + sizes[1]
			b.Heads = append(b.Heads, 0)
		}
	}
	return nil
}

func pack(packer *packed.Packer, puts []*object.Object) (s share) {
	defer func() { // it must not end the process
		if reason := recover(); reason != nil {
			s.err = fmt.Errorf("panic: %v\n%s", reason, debug.Stack())
		}
	}()
	s.sizes = make([][2]int, len(puts))
	size := 0
	for _, o := range puts {
		size += len(o.JSON)
	}
	s.documents = make([]byte, 0, size/2)
	for i, o := range puts {
		begin := len(s.documents)
		var err error
		if s.documents, err = packed.WithoutLists(s.documents, o.JSON); err == nil {
			s.sizes[i][0] = len(s.documents) - begin
			s.documents, err = packer.Append(s.documents, o.JSON)
			s.sizes[i][1] = len(s.documents) - begin - s.sizes[i][0]
		}
		if err != nil {
			s.err = &storage.InvalidObjectError{Key: o.Key, Reason: err.Error()}
			return s
		}
	}
	return s
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
