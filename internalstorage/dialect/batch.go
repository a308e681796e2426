package dialect

import "time"

// Batch is what one statement writes of one cluster: no key is in it twice. Fields of
// several rows are arrays of the same length.
type Batch struct {
	Cluster string
	// Epoch is the writer's; if it is 0, none is checked.
	Epoch    int64
	SyncedAt time.Time
	Deletes  Keys

	Puts                                                      Keys
	Kinds, UIDs, ResourceVersions, Controllers, OwnersAsTexts []string
	// DeletedAt is zero for what is not being deleted.
	CreatedAt, DeletedAt []time.Time
	// Documents has the bytes of the columns object, head, raw and cells, one behind the other.
	// Where those of a row begin counts from 1; Sizes, Heads, Raws and Cells are how many there
	// are. A head of none is NULL, and so are cells.
	Documents                     []byte
	At, Sizes, Heads, Raws, Cells []int32

	// Owned has one of Puts for each of its owners beside the controller.
	Owned  Keys
	Owners []string
}

// Keys are the keys of objects of one cluster.
type Keys struct{ Group, Version, Resource, Namespace, Name []string }

// Len is how many there are.
func (k *Keys) Len() int { return len(k.Name) }

// postgresBatch is one statement, and so one message to the server: whatever happens to
// the client, the server never waits for it while it holds locks. The text is always the
// same, so that it is parsed and planned once on each connection.
//
// Rows are found by id, and ids by the unique index: a plan that was made while the table
// was small must not read all of it. What is gone is found as of the statement's begin,
// before it waited for the epoch; there is nothing to be missed, since a writer claims a
// cluster before it deletes from it.
//
// Where there is no column cells, it is the same without.
const (
	postgresBatch      = batchInto + batchFrom + batchSet + batchEnd
	postgresBatchCells = batchInto + ", cells" + batchFrom + ", CASE WHEN cells > 0 THEN substring($32::bytea FROM at + size + head + raw FOR cells) END" +
		batchSet + ", cells = excluded.cells" + batchEnd
)

const (
	batchInto = `WITH fence AS MATERIALIZED (
	SELECT epoch FROM clusterpedia_epochs WHERE cluster = $1::text AND $2::bigint <> 0 FOR UPDATE
), free AS MATERIALIZED (
	SELECT WHERE $2 = 0 OR EXISTS (SELECT FROM fence WHERE epoch = $2)
), gone AS (
	DELETE FROM resources WHERE EXISTS (SELECT FROM free) AND id = ANY (ARRAY(
		SELECT r.id FROM unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::text[]) AS k ("group", version, resource, namespace, name)
		CROSS JOIN LATERAL (
			SELECT id FROM resources r WHERE r."group" = k."group" AND r.version = k.version AND r.resource = k.resource
			AND r.cluster = $1 AND r.namespace = k.namespace AND r.name = k.name OFFSET 0
		) r
	)) RETURNING id
), put AS (
	INSERT INTO resources (
		"group", version, resource, cluster, namespace, name, kind, owner_uid, uid, resource_version, created_at, synced_at, deleted_at,
		owners, object, head, raw, raw_rv`
	batchFrom = `) SELECT
		"group", version, resource, $1, namespace, name, kind, owner_uid, uid, resource_version, created_at, $3::timestamptz,
		NULLIF(deleted_at, TIMESTAMPTZ '0001-01-01 00:00:00+00'), NULLIF(owners, ''),
		CAST(convert_from(substring($32::bytea FROM at FOR size), 'UTF8') AS jsonb),
		CASE WHEN head > 0 THEN substring($32::bytea FROM at + size FOR head) END, substring($32::bytea FROM at + size + head FOR raw), resource_version`
	batchSet = `
	FROM unnest($9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::text[],
		$19::timestamptz[], $20::timestamptz[], $21::int[], $22::int[], $23::int[], $24::int[], $25::int[])
		AS u ("group", version, resource, namespace, name, kind, owner_uid, uid, resource_version, owners, created_at, deleted_at, at, size, head, raw, cells)
	WHERE EXISTS (SELECT FROM free)
	ON CONFLICT ("group", version, resource, cluster, namespace, name) DO UPDATE SET
		events = CASE WHEN resources.uid = excluded.uid THEN resources.events END,
		event_resource_versions = CASE WHEN resources.uid = excluded.uid THEN resources.event_resource_versions END,
		event_state = CASE WHEN resources.uid = excluded.uid THEN resources.event_state END,
		kind = excluded.kind, owner_uid = excluded.owner_uid, uid = excluded.uid, resource_version = excluded.resource_version,
		created_at = excluded.created_at, synced_at = excluded.synced_at, deleted_at = excluded.deleted_at, owners = excluded.owners,
		object = excluded.object, head = excluded.head, raw = excluded.raw, raw_rv = excluded.raw_rv`
	batchEnd = `
	RETURNING id, "group", version, resource, namespace, name
), owned AS MATERIALIZED (
	SELECT id, owner_uid FROM put JOIN unnest($26::text[], $27::text[], $28::text[], $29::text[], $30::text[], $31::text[])
		AS o ("group", version, resource, namespace, name, owner_uid) USING ("group", version, resource, namespace, name)
), disowned AS (
	DELETE FROM resource_owners WHERE EXISTS (SELECT FROM resource_owners WHERE cluster = $1) AND cluster = $1
	AND id IN (SELECT id FROM put UNION ALL SELECT id FROM gone) AND (owner_uid, id) NOT IN (SELECT owner_uid, id FROM owned)
), adopted AS (
	INSERT INTO resource_owners (cluster, owner_uid, id) SELECT $1, owner_uid, id FROM owned ON CONFLICT DO NOTHING
)
SELECT epoch FROM fence`
)

// Batch implements Dialect. Arguments are pointers, for gorm would write a list of
// arguments for each array.
func (p postgres) Batch(b *Batch) (Expr, bool) {
	if b == nil {
		return Expr{}, true
	}
	args := make([]any, 0, 32)
	keys := func(k *Keys) {
		args = append(args, &k.Group, &k.Version, &k.Resource, &k.Namespace, &k.Name)
	}
	args = append(args, b.Cluster, b.Epoch, b.SyncedAt)
	keys(&b.Deletes)
	keys(&b.Puts)
	args = append(args, &b.Kinds, &b.Controllers, &b.UIDs, &b.ResourceVersions, &b.OwnersAsTexts, &b.CreatedAt, &b.DeletedAt, &b.At, &b.Sizes, &b.Heads, &b.Raws, &b.Cells)
	keys(&b.Owned)
	// The documents come last, so that what they are copied into need not grow behind.
	args = append(args, &b.Owners, b.Documents)
	text := postgresBatch
	if p.cells {
		text = postgresBatchCells
	}
	return Bind(text, args...), true
}

// Batch implements Dialect.
func (sqlite) Batch(*Batch) (Expr, bool) { return Expr{}, false }

// Batch implements Dialect.
func (mysql) Batch(*Batch) (Expr, bool) { return Expr{}, false }
