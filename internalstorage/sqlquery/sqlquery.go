// Package sqlquery turns a query into SQL. All of a client's text ends in bound
// arguments; the statements are made of constants, of the dialect's expressions
// and of numbers.
package sqlquery

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"clusterpedia.io/internalstorage/dialect"
	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
)

// Expr is a piece of SQL with its arguments.
type Expr = dialect.Expr

// Builder makes the statements of one query.
type Builder struct {
	dialect dialect.Dialect
	query   *query.Query
	// NoLists says that documents may stand in the database without their lists: Where then
	// leaves out the conditions that NeedLists returns.
	NoLists bool
	// aliases counts the table aliases given out.
	aliases int
}

// New returns a builder for a valid query.
func New(d dialect.Dialect, q *query.Query) *Builder { return &Builder{dialect: d, query: q} }

// never is a condition that nothing satisfies.
var never = Expr{SQL: "1 = 0"}

// Where returns the conditions of the query on the rows of table resources.
func (b *Builder) Where() (Expr, error) {
	q := b.query
	if err := checkTexts(q); err != nil {
		return Expr{}, err
	}
	conditions := []Expr{
		b.types(q.Types),
		b.oneOf("cluster", q.Clusters),
		b.oneOf("namespace", q.Namespaces),
		b.oneOf("name", q.Names),
	}
	for _, text := range q.NameContains {
		conditions = append(conditions, b.dialect.Contains("name", text))
	}
	if !q.Since.IsZero() {
		conditions = append(conditions, dialect.Bind("created_at >= ?", b.dialect.Time(wholeSecond(q.Since))))
	}
	if !q.Before.IsZero() {
		conditions = append(conditions, dialect.Bind("created_at < ?", b.dialect.Time(wholeSecond(q.Before))))
	}
	if len(q.Order) > 0 && q.Order[0].By == query.ByCreatedAt && b.oneType() {
		conditions = append(conditions, b.dialect.Created())
	}
	if q.Visible != nil {
		conditions = append(conditions, b.visible(q.Visible))
	}
	if q.Owner != nil {
		conditions = append(conditions, b.owned())
	}
	fields := slices.Clone(q.Fields)
	for _, r := range q.Labels {
		if r.Operator == query.In {
			if indexed, ok := b.dialect.Label(r.Key, r.Values); ok {
				conditions = append(conditions, indexed)
				continue
			}
		}
		path := []query.PathElement{{Name: "metadata"}, {Name: "labels"}, {Name: r.Key}}
		fields = append(fields, query.FieldRequirement{Path: path, Operator: r.Operator, Values: r.Values})
	}
	for _, r := range q.Fields {
		if r.Operator != query.In {
			continue
		}
		if indexed, ok := b.dialect.Field(r.Path, r.Values); ok { // and the exact condition below
			conditions = append(conditions, indexed)
		}
	}
	for _, r := range fields {
		if err := checkLists(r.Path); err != nil {
			return Expr{}, err
		}
		if b.NoLists && needsLists(r) {
			continue
		}
		condition, err := b.field(r)
		if err != nil {
			return Expr{}, err
		}
		conditions = append(conditions, condition)
	}
	return dialect.And(conditions), nil
}

// wholeSecond rounds up: creation times are whole seconds, and columns hold less of
// a fraction than a bound may have.
func wholeSecond(t time.Time) time.Time {
	if whole := t.Truncate(time.Second); whole.Before(t) {
		return whole.Add(time.Second)
	}
	return t
}

// checkTexts refuses texts that no database takes and no object holds.
func checkTexts(q *query.Query) error {
	texts := map[string][]string{"clusters": q.Clusters, "namespaces": q.Namespaces, "names": slices.Concat(q.Names, q.NameContains)}
	for _, r := range q.Labels {
		texts["labelSelector"] = append(append(texts["labelSelector"], r.Key), r.Values...)
	}
	for _, r := range q.Fields {
		for _, e := range r.Path {
			texts["fieldSelector"] = append(texts["fieldSelector"], e.Name)
		}
		texts["fieldSelector"] = append(texts["fieldSelector"], r.Values...)
	}
	if q.Owner != nil {
		texts["owner"] = []string{q.Owner.UID, q.Owner.Name, q.Owner.Group, q.Owner.Resource}
	}
	scopes := []query.Scope{{Types: q.Types}}
	if q.Visible != nil {
		scopes = append(scopes, q.Visible.Scopes...)
	}
	for _, s := range scopes {
		texts["scope"] = slices.Concat(texts["scope"], s.Clusters, s.Namespaces)
		for _, t := range s.Types {
			texts["types"] = append(texts["types"], t.Group, t.Version, t.Resource)
		}
	}
	for field, values := range texts {
		for _, v := range values {
			if !storable(v) {
				return &query.InvalidQueryError{Field: field, Value: v, Reason: "must be UTF-8 without NUL"}
			}
		}
	}
	return nil
}

// storable says whether every database takes a text.
func storable(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

func (b *Builder) oneOf(column string, values []string) Expr {
	return b.in(b.dialect.Column(column), values)
}

// in returns the condition that a column has one of the values; none: any.
func (b *Builder) in(column string, values []string) Expr {
	if len(values) == 0 {
		return Expr{}
	}
	return b.dialect.Equal(column, values)
}

func (b *Builder) types(types []query.Type) Expr {
	alternatives := make([]Expr, 0, len(types))
	for _, t := range types {
		var parts []Expr
		if t.Group != query.AnyGroup {
			parts = append(parts, b.oneOf("group", []string{t.Group}))
		}
		if t.Version != "" {
			parts = append(parts, b.oneOf("version", []string{t.Version}))
		}
		if t.Resource != "" {
			parts = append(parts, b.oneOf("resource", []string{t.Resource}))
		}
		if len(parts) == 0 {
			return Expr{} // every type
		}
		alternatives = append(alternatives, dialect.And(parts))
	}
	return dialect.Or(alternatives)
}

func (b *Builder) visible(v *query.Visibility) Expr {
	alternatives := []Expr{never}
	for _, s := range v.Scopes {
		scope := dialect.And([]Expr{b.oneOf("cluster", s.Clusters), b.oneOf("namespace", s.Namespaces), b.types(s.Types)})
		if scope.SQL == "" {
			return Expr{}
		}
		alternatives = append(alternatives, scope)
	}
	return dialect.Or(alternatives)
}

// owned returns the condition that a row is owned, so many generations down, by
// the owner that is asked for. It goes down from the owner.
func (b *Builder) owned() Expr {
	w := b.query.Owner
	var first Expr
	if w.UID != "" {
		of := func(alias string) Expr {
			return dialect.And([]Expr{b.in(alias+".owner_uid", []string{w.UID}), b.in(alias+".cluster", b.query.Clusters)})
		}
		first = dialect.Exprf("SELECT 0 AS level, r.id, r.cluster, r.uid FROM resources r WHERE r.owner_uid <> '' AND %s UNION "+
			"SELECT 0 AS level, s.id, s.cluster, s.uid FROM resource_owners x JOIN resources s ON s.id = x.id WHERE %s", of("r"), of("x"))
	} else {
		owner := b.owner("t")
		first = dialect.Exprf("SELECT 0 AS level, r.id, r.cluster, r.uid FROM resources t JOIN resources r ON "+b.owns("t", "r")+" WHERE r.owner_uid <> '' AND %s UNION "+
			"SELECT 0 AS level, s.id, s.cluster, s.uid FROM resources t JOIN resource_owners x ON "+b.owns("t", "x")+" JOIN resources s ON s.id = x.id WHERE %s", owner, owner)
	}
	if w.Seniority == 0 {
		return dialect.Exprf("resources.id IN (SELECT id FROM (%s) AS owned)", first)
	}
	return dialect.Exprf("resources.id IN (WITH RECURSIVE owned (level, id, cluster, uid) AS (%s UNION "+b.dialect.Owned(w.Seniority)+
		") SELECT id FROM owned WHERE level = "+strconv.Itoa(w.Seniority)+")", first)
}

// owns returns the condition that the row of one table owns that of another.
func (b *Builder) owns(owner, owned string) string {
	return b.dialect.Same(owned+".cluster", owner+".cluster") + " AND " + b.dialect.Same(owned+".owner_uid", owner+".uid")
}

// owner returns the condition that the row of a table alias is the owner asked for
// by its name.
func (b *Builder) owner(alias string) Expr {
	w, column := b.query.Owner, func(name string) string { return alias + "." + b.dialect.Column(name) }
	conditions := []Expr{b.in(column("name"), []string{w.Name}), b.in(column("cluster"), b.query.Clusters)}
	if w.Resource != "" {
		conditions = append(conditions, b.in(column("group"), []string{w.Group}), b.in(column("resource"), []string{w.Resource}))
	}
	if len(b.query.Namespaces) > 0 {
		conditions = append(conditions, dialect.Or([]Expr{b.in(column("namespace"), []string{""}), b.in(column("namespace"), b.query.Namespaces)}))
	}
	return dialect.And(conditions)
}

// maxLists bounds the lists in one path. Conditions on them are nested, and become twice as
// long with each list of any element.
const maxLists = 4

// checkLists refuses a path with more lists than databases bear.
func checkLists(path []query.PathElement) error {
	lists := 0
	for _, e := range path {
		if e.List {
			lists++
		}
	}
	if lists > maxLists {
		return &query.InvalidQueryError{
			Field: "fieldSelector", Value: query.PathString(path), Reason: fmt.Sprintf("a path may have %d lists, this one has %d", maxLists, lists),
		}
	}
	return nil
}

// NeedLists returns the conditions of a query that need what is in a document's lists.
func NeedLists(q *query.Query) (need []query.FieldRequirement) {
	for _, r := range q.Fields {
		if needsLists(r) {
			need = append(need, r)
		}
	}
	return need
}

// needsLists says whether a path leads into a list, or a value may be the text of a list or
// of something that has one in it. Whether there is a list can be told without.
func needsLists(r query.FieldRequirement) bool {
	return slices.ContainsFunc(r.Path, func(e query.PathElement) bool { return e.List }) ||
		slices.ContainsFunc(r.Values, func(v string) bool { return strings.HasPrefix(v, "[") || strings.HasPrefix(v, "{") })
}

// field returns the condition on the part of the document that a path leads to.
func (b *Builder) field(r query.FieldRequirement) (Expr, error) {
	switch r.Operator { //nolint:exhaustive // the others are no negations
	case query.NotIn, query.NotExists:
		positive := r
		positive.Operator = map[query.Operator]query.Operator{query.NotIn: query.In, query.NotExists: query.Exists}[r.Operator]
		c, err := b.field(positive)
		// A part that is absent makes the condition NULL, which is not true.
		return dialect.Exprf("(%s) IS NOT TRUE", c), err
	}
	return b.part(Expr{SQL: "resources.object"}, r.Path, r)
}

// part returns the condition on what a path leads to from a part of the document.
func (b *Builder) part(doc Expr, path []query.PathElement, r query.FieldRequirement) (Expr, error) {
	every := slices.IndexFunc(path, func(e query.PathElement) bool { return e.List && e.Index == query.AllElements })
	if every < 0 {
		end, err := b.dialect.At(doc, path)
		if err != nil {
			return Expr{}, err
		}
		return b.compare(b.dialect.Text(end), r)
	}
	toList := slices.Clone(path[:every+1])
	toList[every].List = false
	list, err := b.dialect.At(doc, toList)
	if err != nil {
		return Expr{}, err
	}
	b.aliases++
	return b.dialect.AnyElement(list, "e"+strconv.Itoa(b.aliases), func(element Expr) (Expr, error) {
		return b.part(element, path[every+1:], r)
	})
}

func (b *Builder) compare(text Expr, r query.FieldRequirement) (Expr, error) {
	switch r.Operator { //nolint:exhaustive // negations were turned around
	case query.Exists:
		return dialect.Exprf("%s IS NOT NULL", text), nil
	case query.In:
		return b.dialect.OneOf(text, r.Values), nil
	case query.GreaterThan, query.LessThan:
		bound, err := strconv.ParseInt(r.Values[0], 10, 64)
		if err != nil {
			return Expr{}, &query.InvalidQueryError{Field: "fieldSelector", Value: r.Values[0], Reason: "must be an integer"}
		}
		return b.dialect.Compare(text, map[query.Operator]string{query.GreaterThan: ">", query.LessThan: "<"}[r.Operator], bound), nil
	}
	return Expr{}, fmt.Errorf("unknown operator %q", r.Operator)
}

// After returns the condition that a row comes behind the object in the query's
// order. The object may be what a client's token says.
func (b *Builder) After(o *object.Object) (Expr, error) {
	var columns []dialect.Sorted
	for _, c := range b.order() {
		value := c.value(o)
		if text, ok := value.(string); ok && !storable(text) {
			return Expr{}, &query.InvalidQueryError{Field: "continue", Value: b.query.Continue, Reason: "not a token of this server"}
		}
		columns = append(columns, dialect.Sorted{SQL: c.sql, Desc: c.desc, Value: value})
	}
	return b.dialect.Behind(columns), nil
}

// OrderBy returns the query's order, which is total.
func (b *Builder) OrderBy() string {
	var columns []string
	for _, c := range b.order() {
		if c.desc {
			columns = append(columns, c.sql+" DESC")
		} else {
			columns = append(columns, c.sql)
		}
	}
	return strings.Join(columns, ", ")
}
