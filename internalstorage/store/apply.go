package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"clusterpedia.io/internalstorage/dialect"
	"clusterpedia.io/internalstorage/rows"
	"clusterpedia.io/storage-api/storage"
)

const (
	// chunk is how many rows one statement writes or deletes.
	chunk = 200
	// attempts bounds how often a transaction that met another is run.
	attempts = 5
)

// Apply implements storage.Storage.
func (s *Store) Apply(ctx context.Context, w storage.Writer, changes []storage.Change) error {
	if err := check(w, changes); err != nil {
		return err
	}
	if err := s.rememberLean(ctx); err != nil {
		return s.fail(ctx, "apply", err)
	}
	written, err := s.applyAtOnce(ctx, w, changes)
	if err == nil && !written {
		err = s.transaction(ctx, w, func(tx *gorm.DB) error { return s.write(tx, w.Cluster, changes) })
	}
	if err == nil {
		s.growth.wrote(len(changes))
	}
	return s.applyError(ctx, err, changes)
}

// write makes changes in their order. Events are recorded with what is stored by then,
// so the order between them and objects stays.
func (s *Store) write(tx *gorm.DB, cluster string, changes []storage.Change) error {
	for rest := changes; len(rest) > 0; {
		events := rest[0].Event != nil
		end := slices.IndexFunc(rest, func(c storage.Change) bool { return (c.Event != nil) != events })
		if end < 0 {
			end = len(rest)
		}
		run := rest[:end]
		rest = rest[end:]
		var err error
		if events {
			err = s.recordEvents(tx, cluster, run)
		} else {
			err = s.writeObjects(tx, cluster, outcomeOf(run))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// applyError names the object that cannot be stored, where that is clear.
func (s *Store) applyError(ctx context.Context, err error, changes []storage.Change) error {
	if err == nil || errors.Is(err, storage.ErrFenced) {
		return err
	}
	if s.dialect().Classify(err) == dialect.BadData && len(changes) == 1 && changes[0].Put != nil {
		return &storage.InvalidObjectError{Key: changes[0].Put.Key, Reason: err.Error()}
	}
	return s.fail(ctx, "apply", err)
}

// check refuses what no writer should send.
func check(w storage.Writer, changes []storage.Change) error {
	for i, c := range changes {
		n, cluster := 0, w.Cluster
		if c.Put != nil {
			n, cluster = n+1, c.Put.Cluster
			if c.Put.Kind == "" {
				return &storage.InvalidObjectError{Key: c.Put.Key, Reason: "kind is required"}
			}
			if len(c.Put.JSON) == 0 {
				return &storage.InvalidObjectError{Key: c.Put.Key, Reason: "the document is empty"}
			}
		}
		if c.Delete != nil {
			n, cluster = n+1, c.Delete.Cluster
		}
		if c.Event != nil {
			n++
		}
		if n != 1 {
			return fmt.Errorf("change %d: exactly one of Put, Delete and Event must be set, not %d", i, n)
		}
		if cluster != w.Cluster {
			return fmt.Errorf("change %d: cluster %q is not the writer's, %q", i, cluster, w.Cluster)
		}
	}
	return nil
}

// transaction runs fn with the writer's epoch checked, and again if it met another
// transaction.
func (s *Store) transaction(ctx context.Context, w storage.Writer, fn func(*gorm.DB) error) error {
	return s.retried(ctx, func() error {
		return s.writer.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
			if err := s.fence(tx, w); err != nil {
				return err
			}
			return fn(tx)
		})
	})
}

// retried runs a transaction, and again if it met another one.
func (s *Store) retried(ctx context.Context, transaction func() error) error {
	s.shared.Do(s.share)
	for attempt := 1; ; attempt++ {
		err := transaction()
		if err == nil || attempt == attempts || s.dialect().Classify(err) != dialect.Conflict {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(attempt*attempt) * 5 * time.Millisecond):
		}
	}
}

// fence returns a *storage.FencedError if a writer with a higher epoch has written.
// The row of the epoch stays locked until the transaction ends.
func (s *Store) fence(tx *gorm.DB, w storage.Writer) error {
	if w.Epoch == 0 {
		return nil
	}
	seen, err := s.epoch(tx, w.Cluster)
	// Two writers may have found no row, and the lower one may have made it: then it
	// is raised in a second round, for now there is one to be locked.
	for round := 0; err == nil && seen < w.Epoch; round++ {
		if round == attempts {
			return storage.Retryable(fmt.Errorf("cluster %s: epoch %d cannot be recorded", w.Cluster, w.Epoch))
		}
		if err = s.raiseEpoch(tx, w); err == nil {
			seen, err = s.epoch(tx, w.Cluster)
		}
	}
	if err == nil && seen > w.Epoch {
		return &storage.FencedError{Writer: w, Seen: seen}
	}
	return err
}

func (s *Store) epoch(tx *gorm.DB, cluster string) (int64, error) {
	var seen []struct{ Epoch int64 }
	text := "SELECT epoch" + s.dialect().EndIdle() + " FROM clusterpedia_epochs WHERE cluster = ?" + s.dialect().ForUpdate()
	err := tx.Raw(text, cluster).Scan(&seen).Error
	if err != nil || len(seen) == 0 {
		return 0, err
	}
	return seen[0].Epoch, nil
}

func (s *Store) raiseEpoch(tx *gorm.DB, w storage.Writer) error {
	changed := tx.Exec("UPDATE clusterpedia_epochs SET epoch = ? WHERE cluster = ? AND epoch < ?", w.Epoch, w.Cluster, w.Epoch)
	if changed.Error != nil || changed.RowsAffected > 0 {
		return changed.Error
	}
	return tx.Exec(s.dialect().InsertIgnore("clusterpedia_epochs", []string{"cluster", "epoch"}, 1), w.Cluster, w.Epoch).Error
}

// writeObjects stores and deletes what a run of changes leaves in the end.
func (s *Store) writeObjects(tx *gorm.DB, cluster string, out outcome) error {
	if _, ok := s.dialect().Batch(nil); ok {
		return s.writeBatches(tx, cluster, out)
	}
	for part := range slices.Chunk(out.deletes, chunk) {
		if err := s.deleteKeys(tx, part); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(out.puts, chunk) {
		if err := s.upsert(tx, part); err != nil {
			return err
		}
		if err := s.writeOwners(tx, part); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) deleteKeys(tx *gorm.DB, keys []storage.Key) error {
	where := s.keysCondition(keys...)
	if err := s.deleteOwners(tx, keys[0].Cluster, where); err != nil {
		return err
	}
	return tx.Exec("DELETE FROM resources WHERE "+where.SQL, where.Args...).Error
}

func (s *Store) upsert(tx *gorm.DB, objects []*storage.Object) error {
	d := s.dialect() // the schema may change meanwhile
	columns := rows.Columns(d)
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = d.Column(c)
	}
	at := now()
	args := make([]any, 0, len(columns)*len(objects))
	for _, o := range objects {
		values, err := rows.Row{Object: o, SyncedAt: at, Packer: s.packer}.Values(d)
		if err != nil {
			return fmt.Errorf("%s: %w", o.Key, err)
		}
		args = append(args, values...)
	}
	text := "INSERT INTO resources (" + strings.Join(quoted, ", ") + ") VALUES " + dialect.Tuples(len(columns), len(objects)) + " " +
		d.Upsert(columns[len(dialect.KeyColumns()):], rows.Kept())
	return tx.Exec(text, args...).Error
}

// deleteOwners forgets the owners beside the controller of the rows that a condition
// selects. Few objects have any, so a cluster without is not searched.
func (s *Store) deleteOwners(tx *gorm.DB, cluster string, where dialect.Expr) error {
	var known []int
	err := tx.Raw("SELECT 1 FROM resource_owners WHERE cluster = ? LIMIT 1", cluster).Scan(&known).Error
	if err != nil || len(known) == 0 {
		return err
	}
	return tx.Exec("DELETE FROM resource_owners WHERE cluster = ? AND id IN (SELECT id FROM resources WHERE "+where.SQL+")", append([]any{cluster}, where.Args...)...).Error
}

// writeOwners replaces the owners beside the controller.
func (s *Store) writeOwners(tx *gorm.DB, objects []*storage.Object) error {
	cluster := objects[0].Cluster
	keys := make([]storage.Key, len(objects))
	for i, o := range objects {
		keys[i] = o.Key
	}
	if err := s.deleteOwners(tx, cluster, s.keysCondition(keys...)); err != nil {
		return err
	}
	for _, o := range objects {
		others := rows.OtherOwners(o)
		if len(others) == 0 {
			continue
		}
		where := s.keysCondition(o.Key)
		var ids []uint64
		if err := tx.Raw("SELECT id FROM resources WHERE "+where.SQL, where.Args...).Scan(&ids).Error; err != nil {
			return err
		}
		var values []any
		for _, owner := range others {
			for _, id := range ids {
				values = append(values, cluster, owner, id)
			}
		}
		for part := range slices.Chunk(values, 3*chunk) {
			if err := tx.Exec(s.dialect().InsertIgnore("resource_owners", []string{"cluster", "owner_uid", "id"}, len(part)/3), part...).Error; err != nil {
				return err
			}
		}
	}
	return nil
}

// purgeStep is how many rows a purge removes in one transaction.
const purgeStep = 1000

// Purge implements storage.Storage.
func (s *Store) Purge(ctx context.Context, w storage.Writer, resource *storage.Resource) error {
	where := s.dialect().Equal("cluster", []string{w.Cluster})
	if resource != nil {
		for column, value := range map[string]string{"group": resource.Group, "version": resource.Version, "resource": resource.Resource} {
			where = dialect.Exprf("%s AND %s", where, s.dialect().Equal(s.dialect().Column(column), []string{value}))
		}
	}
	for {
		var removed int
		err := s.transaction(ctx, w, func(tx *gorm.DB) error {
			var ids []uint64
			err := tx.Raw(fmt.Sprintf("SELECT id FROM resources WHERE %s ORDER BY id LIMIT %d", where.SQL, purgeStep), where.Args...).Scan(&ids).Error
			if removed = len(ids); err != nil || removed == 0 {
				return err
			}
			if err := s.deleteOwners(tx, w.Cluster, dialect.Bind("id IN ?", ids)); err != nil {
				return err
			}
			return tx.Exec("DELETE FROM resources WHERE id IN ?", ids).Error
		})
		if err != nil {
			return s.applyError(ctx, err, nil)
		}
		if removed < purgeStep {
			return nil
		}
	}
}
