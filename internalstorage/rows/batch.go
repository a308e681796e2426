package rows

import (
	"encoding/json"
	"errors"
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

// NewBatch returns what a statement writes of one cluster, no key being given twice. If it
// is lean, what the database looks into of documents has no lists; cells says that they are
// kept. Documents are put into memory, which grows if it must: then Documents is what it has
// become.
func NewBatch(cluster string, epoch int64, deletes []object.Key, puts []*object.Object, now time.Time, lean, cells bool, packer *packed.Packer, memory []byte) (*dialect.Batch, error) {
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
	for _, numbers := range []*[]int32{&b.At, &b.Sizes, &b.Heads, &b.Raws, &b.Cells} {
		*numbers = make([]int32, 0, n)
	}
	for _, o := range puts {
		if err := appendObject(b, o); err != nil {
			return nil, fmt.Errorf("%s: %w", o.Key, err)
		}
	}
	documents, err := pack(puts, lean, packer)
	if err != nil {
		return nil, err
	}
	for i, d := range documents {
		appendStored(b, d)
		size := 0
		if cells {
			size = cellsSize(puts[i])
		}
		if appendSize(&b.Cells, size); size > 0 {
			b.Documents = appendCells(b.Documents, puts[i])
		}
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

// stored is what stands in a row of a document: the text that the database looks into, and
// the head and the rest of it, packed.
type stored struct{ text, head, raw []byte }

func appendStored(b *dialect.Batch, s stored) {
	appendSize(&b.At, len(b.Documents)+1)
	appendSize(&b.Sizes, len(s.text))
	appendSize(&b.Heads, len(s.head))
	appendSize(&b.Raws, len(s.raw))
	for _, part := range [][]byte{s.text, s.head, s.raw} {
		b.Documents = append(b.Documents, part...)
	}
}

// minShare is how many documents are worth a goroutine.
const minShare = 16

// pack packs documents, on all processors: it takes most of the time that a writer spends.
func pack(puts []*object.Object, lean bool, packer *packed.Packer) ([]stored, error) {
	documents := make([]stored, len(puts))
	workers := max(1, min(runtime.GOMAXPROCS(0), len(puts)/minShare))
	errs := make([]error, workers)
	var group sync.WaitGroup
	for i := range workers {
		from, to := i*len(puts)/workers, (i+1)*len(puts)/workers
		group.Go(func() { errs[i] = packShare(documents[from:to], puts[from:to], lean, packer) })
	}
	group.Wait()
	return documents, errors.Join(errs...)
}

func packShare(documents []stored, puts []*object.Object, lean bool, packer *packed.Packer) (err error) {
	defer func() { // it must not end the process
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v\n%s", reason, debug.Stack())
		}
	}()
	size := 0
	for _, o := range puts {
		size += len(o.JSON)
	}
	memory := make([]byte, 0, size/2)
	for i, o := range puts {
		d := &documents[i]
		d.text = o.JSON
		if begin := len(memory); lean {
			if memory, err = packed.WithoutLists(memory, o.JSON); err != nil {
				return &storage.InvalidObjectError{Key: o.Key, Reason: err.Error()}
			}
			d.text = memory[begin:]
		}
		memory, d.head, d.raw = appendPacked(memory, o.JSON, packer)
	}
	return nil
}

// appendPacked appends the head and the rest of a document, packed, and returns both. The
// head is nil if there is none.
func appendPacked(memory, doc []byte, packer *packed.Packer) (grown, head, raw []byte) {
	memory, head, rest := appendHead(memory, doc, packer)
	begin := len(memory)
	memory = packer.Append(memory, rest)
	return memory, head, memory[begin:]
}

// appendHead appends the head of a document, packed, if there is one, and returns it and the
// rest, which is not packed.
func appendHead(memory, doc []byte, packer *packed.Packer) (grown, head, rest []byte) {
	first, rest := cutHead(doc)
	if begin := len(memory); first != nil {
		memory = packer.Append(memory, first)
		head = memory[begin:]
	}
	return memory, head, rest
}

func appendSize(to *[]int32, n int) {
	*to = append(*to, int32(n)) //nolint:gosec // a statement has less than 1 GiB
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
