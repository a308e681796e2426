package dialect

// KeepsCells implements Dialect.
func (p postgres) KeepsCells() bool { return p.cells }

// KeepsCells implements Dialect.
func (s sqlite) KeepsCells() bool { return s.heads }

// KeepsCells implements Dialect.
func (d mysql) KeepsCells() bool { return d.cells }

// KeepsHead implements Dialect.
func (postgres) KeepsHead() bool { return true }

// KeepsHead implements Dialect.
func (s sqlite) KeepsHead() bool { return s.heads }

// KeepsHead implements Dialect.
func (mysql) KeepsHead() bool { return true }

// HeadFits holds for rows that have a head, of the version that they have now.
const HeadFits = "head IS NOT NULL AND raw_rv = resource_version"

// CellsFit implements Dialect.
func (postgres) CellsFit(mark string) Expr {
	return Bind(HeadFits+" AND position(convert_to(resource_version || CAST(? AS text), 'UTF8') IN cells) = 1", mark)
}

// CellsFit implements Dialect.
func (sqlite) CellsFit(mark string) Expr {
	const begin = "CAST(resource_version || ? AS BLOB)"
	return Bind(HeadFits+" AND substr(cells, 1, length("+begin+")) = "+begin, mark, mark)
}

// CellsFit implements Dialect.
func (mysql) CellsFit(mark string) Expr {
	return Bind(HeadFits+" AND LEFT(cells, OCTET_LENGTH(CONCAT(resource_version, ?))) = CONCAT(resource_version, ?)", mark, mark)
}

// hasCells says that there is column cells.
func (s Schema) hasCells() bool { return s.Columns["cells"] != "" }

// cellsSteps adds the column to a table that an earlier build has made or adopted; others
// have it by then. It changes the catalog alone, or is refused.
func cellsSteps(have Schema, kind string) []Step {
	if have.Columns["raw_rv"] == "" || have.hasCells() {
		return nil
	}
	return []Step{{
		Optional: true, Locks: true, Summary: "add a column for what tables show",
		Statements: []string{"ALTER TABLE resources ADD COLUMN cells " + kind},
	}}
}
