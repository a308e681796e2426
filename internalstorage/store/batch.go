package store

import (
	"context"
	"slices"
	"time"

	"gorm.io/gorm"

	"clusterpedia.io/internalstorage/dialect"
	"clusterpedia.io/internalstorage/rows"
	"clusterpedia.io/storage-api/storage"
)

// The bounds of what one statement writes, where there is one for many rows.
const (
	batchRows  = 1000
	batchBytes = 8 << 20
	// documentsStep is what the memory for documents grows by, so that it serves the next
	// batch too.
	documentsStep = 1 << 20
	// documentsKept is up to how much of it is kept: no more than a full batch takes.
	documentsKept = 2 * batchBytes
)

// outcome is what a run of changes leaves in the end. What is deleted is deleted before
// anything is put.
type outcome struct {
	deletes []storage.Key
	puts    []*storage.Object
	// renewed says that a key of deletes is put, too.
	renewed bool
}

// outcomeOf joins changes that have no events among them.
func outcomeOf(changes []storage.Change) outcome {
	var out outcome
	last := make(map[storage.Key]*storage.Object, len(changes))
	for _, c := range changes {
		if c.Delete != nil {
			// Also before a later Put: the events go with the object.
			out.deletes = append(out.deletes, *c.Delete)
			delete(last, *c.Delete)
		} else {
			last[c.Put.Key] = c.Put
		}
	}
	out.puts = make([]*storage.Object, 0, len(last))
	for _, o := range last {
		out.puts = append(out.puts, o)
	}
	// In one order for all writers, so that none waits for another in a circle.
	slices.SortFunc(out.puts, func(a, b *storage.Object) int { return a.Key.Compare(b.Key) })
	out.renewed = slices.ContainsFunc(out.deletes, func(k storage.Key) bool { return last[k] != nil })
	return out
}

// bytes is the size of the documents, and of the cells.
func (o outcome) bytes() (size int) {
	for _, put := range o.puts {
		if size += len(put.JSON); put.Cells != nil {
			size += len(put.Cells.Values)
		}
	}
	return size
}

// applyAtOnce writes changes by a single statement, which checks the epoch too. It writes
// nothing and returns false if they are not for that, or if the epoch is not the writer's.
func (s *Store) applyAtOnce(ctx context.Context, w storage.Writer, changes []storage.Change) (bool, error) {
	if _, ok := s.dialect().Batch(nil); !ok || len(changes) == 0 || len(changes) > batchRows {
		return false, nil
	}
	if slices.ContainsFunc(changes, func(c storage.Change) bool { return c.Event != nil }) {
		return false, nil
	}
	out := outcomeOf(changes)
	if out.renewed || out.bytes() > batchBytes {
		return false, nil
	}
	statement, free, err := s.batch(w, out)
	if err != nil {
		return false, err
	}
	defer free()
	seen := int64(0)
	err = s.retried(ctx, func() error {
		return s.dialect().Read(ctx, s.writer, statement.SQL, statement.Args, 1, func(scan dialect.Scan) (bool, error) {
			return true, scan(&seen)
		})
	})
	return seen == w.Epoch, err
}

// batch returns the statement that writes an outcome. What it needs is free behind it.
func (s *Store) batch(w storage.Writer, out outcome) (statement dialect.Expr, free func(), err error) {
	memory, ok := s.documents.Get().(*[]byte)
	// Packed documents come to about a quarter of the texts that they stand beside.
	if size := out.bytes() * 3 / 2; !ok || cap(*memory) < size {
		lent := make([]byte, 0, (size/documentsStep+1)*documentsStep)
		memory = &lent
	}
	free = func() {
		if cap(*memory) <= documentsKept {
			s.documents.Put(memory)
		}
	}
	d := s.dialect()
	b, err := rows.NewBatch(w.Cluster, w.Epoch, out.deletes, out.puts, now(), s.writesLean, d.KeepsCells(), s.packer, *memory)
	if err != nil {
		free()
		return dialect.Expr{}, nil, err
	}
	*memory = b.Documents
	statement, _ = d.Batch(b)
	return statement, free, nil
}

// writeBatches writes an outcome within a transaction in which the epoch is checked.
func (s *Store) writeBatches(tx *gorm.DB, cluster string, out outcome) error {
	write := func(part outcome) error {
		statement, free, err := s.batch(storage.Writer{Cluster: cluster}, part)
		if err != nil {
			return err
		}
		defer free()
		return tx.Exec(statement.SQL, statement.Args...).Error
	}
	for part := range slices.Chunk(out.deletes, batchRows) {
		if err := write(outcome{deletes: part}); err != nil {
			return err
		}
	}
	for rest := out.puts; len(rest) > 0; {
		n, size := 0, 0
		for n < min(len(rest), batchRows) && (n == 0 || size+len(rest[n].JSON) <= batchBytes) {
			size += len(rest[n].JSON)
			n++
		}
		if err := write(outcome{puts: rest[:n]}); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// now is when something is stored.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
