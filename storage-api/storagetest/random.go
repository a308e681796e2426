package storagetest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// SeedVariable names the environment variable that replaces the seed of the
// random queries.
const SeedVariable = "STORAGETEST_SEED"

const (
	defaultSeed   = 20260329
	randomObjects = 400
	randomQueries = 500
)

// testRandom asks random queries about random objects, and compares each answer
// with the reference evaluation of the same query on the same objects.
func testRandom(t *testing.T, s suite) {
	seed := randomSeed(t)
	st := s.start(t)
	r := &random{rand.New(rand.NewPCG(seed, 0))}
	stored := r.store(t, st)
	found := 0
	for i := range randomQueries {
		q := r.query()
		if err := q.Validate(); err != nil {
			t.Fatalf("seed %d, query %d: the test is wrong: %v in %s", seed, i, err, describe(q))
		}
		want := reference(&q, stored)
		if len(want) > 0 {
			found++
		}
		if problem := r.compare(t, st, q, want); problem != "" {
			t.Fatalf("%s=%d, query %d: %s\nquery: %s", SeedVariable, seed, i, problem, describe(q))
		}
	}
	// A test whose queries find nothing would pass with any storage.
	if found < randomQueries/4 {
		t.Errorf("%d of %d queries found something, want a quarter at least", found, randomQueries)
	}
}

func randomSeed(t testing.TB) uint64 {
	text := os.Getenv(SeedVariable)
	if text == "" {
		return defaultSeed
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", SeedVariable, err)
	}
	return seed
}

func describe(q query.Query) string {
	text, err := json.MarshalIndent(q, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// random makes objects and queries from few words, so that they meet.
type random struct{ *rand.Rand }

func pick[T any](r *random, values ...T) T {
	return values[r.IntN(len(values))]
}

// some returns up to n of the values.
func some[T any](r *random, n int, values ...T) []T {
	var chosen []T
	for range 1 + r.IntN(n) {
		chosen = append(chosen, pick(r, values...))
	}
	return chosen
}

// oneIn reports true once in n times.
func (r *random) oneIn(n int) bool { return r.IntN(n) == 0 }

func (r *random) cluster() string   { return pick(r, "c1", "c2", "c3", "C1") }
func (r *random) namespace() string { return pick(r, "", "default", "kube-system", "Default", "a-b") }

func (r *random) name() string {
	return pick(r, "web", "Web", "db", "web-1", "a_b", "a%b", "a.b", "é") + pick(r, "", "", "-1", "-2", "-x", " ")
}
func (r *random) uid() string { return fmt.Sprint(pick(r, "uid-", "uid-", "UID-"), r.IntN(60)) }
func (r *random) resource() object.Resource {
	return pick(r, pods, pods, nodes, deployments, replicasets, widgets, widgetsAlpha)
}

func (r *random) labelKey() string {
	return pick(r, "app", "App", "tier", "example.io/part-of", "a.b/c", "number", "none")
}

func (r *random) word() string {
	return pick(r, "web", "Web", "db", "", "true", "3", "10", "-7", "0010", "a b", "it's", `"x"`, `\`, "é", "web ", "1.5")
}

func (r *random) time() time.Time {
	return epoch.Add(time.Duration(r.IntN(8)) * time.Second)
}

// value returns JSON.
func (r *random) value() string {
	return pick(r, quoted(r.word()), quoted(r.word()), fmt.Sprint(r.IntN(20)-5), "true", "false", "null", "10", "3", "9223372036854775807")
}

func (r *random) thing() thing {
	x := thing{
		cluster: r.cluster(), namespace: r.namespace(), name: r.name(), resource: r.resource(), uid: r.uid(),
		version: pick(r, "1", "5", "10", "999", "0", "abc", "18446744073709551615"), created: r.time(),
	}
	if !r.oneIn(4) {
		x.labels = map[string]string{}
		for range r.IntN(5) {
			x.labels[r.labelKey()] = r.word()
		}
		delete(x.labels, "none")
	}
	for range r.IntN(3) {
		if uid := r.uid(); !slices.Contains(x.owners, uid) {
			x.owners = append(x.owners, uid)
		}
	}
	x.controlled = len(x.owners) > 0 && !r.oneIn(3)
	if r.oneIn(5) {
		x.deleted = r.time()
	}
	var items, ports []string
	for range r.IntN(4) {
		items = append(items, fmt.Sprintf(`{"name":%s,"ready":%s,"sub":[{"v":%s},{"v":%s}]}`, r.value(), r.value(), r.value(), r.value()))
		ports = append(ports, r.value())
	}
	spec := []string{
		`"v":` + r.value(), `"odd.name/x":` + r.value(), `"n":{"v":` + r.value() + `}`,
		`"items":[` + strings.Join(items, ",") + `]`, `"ports":[` + strings.Join(ports, ",") + `]`,
		pick(r, `"mixed":"text"`, `"mixed":["web",3]`, `"mixed":{"v":"web","0":"web"}`, `"mixed":null`, `"mixed":[]`),
	}
	spec = slices.DeleteFunc(spec, func(string) bool { return r.oneIn(4) })
	x.body = `"spec":{` + strings.Join(spec, ",") + `}`
	return x
}

// store fills the storage, rewriting and deleting some of the objects, and
// returns what is stored.
func (r *random) store(t *testing.T, st storage.Storage) []*object.Object {
	want := map[object.Key]*object.Object{}
	for range randomObjects {
		o := r.thing().object()
		want[o.Key] = o
		put(t, st, o)
		if r.oneIn(10) {
			if err := st.Apply(t.Context(), storage.Writer{Cluster: o.Cluster}, deletes(o)); err != nil {
				t.Fatalf("delete %s: %v", o.Key, err)
			}
			delete(want, o.Key)
		}
	}
	stored := list(t, st, query.Query{})
	if len(stored) != len(want) {
		t.Fatalf("%d objects are stored, want %d", len(stored), len(want))
	}
	for _, o := range stored {
		if want[o.Key] == nil {
			t.Fatalf("%s is stored", o.Key)
		}
		checkObject(t, o, want[o.Key])
		o.Labels, o.Owners = want[o.Key].Labels, want[o.Key].Owners
	}
	return stored
}

func (r *random) types() []query.Type {
	var types []query.Type
	for range 1 + r.IntN(2) {
		x := typeOf(r.resource())
		if r.oneIn(4) {
			x.Version = ""
		}
		if r.oneIn(5) {
			x.Resource = ""
		}
		if r.oneIn(6) {
			x.Group = query.AnyGroup
		}
		types = append(types, x)
	}
	return types
}

// condition returns an operator with values that fit.
func (r *random) condition(word func() string) (query.Operator, []string) {
	op := pick(r, query.In, query.In, query.NotIn, query.NotIn, query.Exists, query.NotExists, query.GreaterThan, query.LessThan)
	switch op {
	case query.In, query.NotIn:
		var values []string
		for range 1 + r.IntN(3) {
			values = append(values, word())
		}
		return op, values
	case query.GreaterThan, query.LessThan:
		return op, []string{fmt.Sprint(r.IntN(25) - 8)}
	}
	return op, nil
}

func (r *random) fields() []query.FieldRequirement {
	var all []query.FieldRequirement
	for range 1 + r.IntN(2) {
		text := pick(r, "spec.v", "spec.v", "spec.'odd.name/x'", "spec.n.v", "spec.items[].name", "spec.items[0].ready", "spec.items[1].name",
			"spec.items[].sub[].v", "spec.items[].sub[1].v", "spec.ports[]", "spec.ports[0]", "spec.ports[2]", "spec.mixed[]", "spec.mixed[0]",
			"spec.mixed.v", "spec.mixed.'0'", "spec.none", "metadata.name", "metadata.labels.app", "kind", "spec.items", "spec.mixed", "spec")
		op, values := r.condition(r.word)
		// Which texts equal an object or a list is left to the storage layer.
		if slices.Contains([]string{"spec.items", "spec.mixed", "spec"}, text) && len(values) > 0 {
			op, values = query.Exists, nil
		}
		all = append(all, query.FieldRequirement{Path: path(text), Operator: op, Values: values})
	}
	return all
}

func (r *random) owner() *query.Owner {
	o := &query.Owner{Seniority: pick(r, 0, 0, 1, 1, 2, 3)}
	if r.oneIn(2) {
		o.UID = r.uid()
		return o
	}
	o.Name = r.name()
	if r.oneIn(2) {
		resource := r.resource()
		o.Group, o.Resource = resource.Group, resource.Resource
	}
	return o
}

func (r *random) visibility() *query.Visibility {
	v := &query.Visibility{}
	for range r.IntN(4) {
		var s query.Scope
		if r.oneIn(2) {
			s.Clusters = some(r, 2, r.cluster(), r.cluster())
		}
		if r.oneIn(2) {
			s.Namespaces = some(r, 2, r.namespace(), r.namespace())
		}
		if r.oneIn(2) {
			s.Types = r.types()
		}
		v.Scopes = append(v.Scopes, s)
	}
	return v
}

// query returns a query with few conditions, so that some objects satisfy it.
func (r *random) query() query.Query {
	var q query.Query
	conditions := []func(){
		func() { q.Types = r.types() },
		func() { q.Clusters = some(r, 2, r.cluster(), r.cluster()) },
		func() { q.Namespaces = some(r, 3, r.namespace(), r.namespace(), r.namespace()) },
		func() { q.Names = some(r, 6, r.name(), r.name(), r.name(), r.name(), r.name(), r.name()) },
		func() { q.NameContains = some(r, 2, "e", "b", "_", "%", "-", ".", "W", "web", "") },
		func() {
			for range 1 + r.IntN(2) {
				op, values := r.condition(r.word)
				q.Labels = append(q.Labels, query.LabelRequirement{Key: r.labelKey(), Operator: op, Values: values})
			}
		},
		func() { q.Fields = r.fields() },
		func() { q.Fields = r.fields() },
		func() { q.Owner = r.owner() },
		func() { q.Since = r.time() },
		func() { q.Before = r.time() },
		func() { q.Visible = r.visibility() },
	}
	for range r.IntN(4) {
		pick(r, conditions...)()
	}
	if !q.Before.IsZero() && q.Since.After(q.Before) {
		q.Since, q.Before = q.Before, q.Since
	}
	for _, i := range r.Perm(len(query.OrderFields()))[:r.IntN(3)] {
		q.Order = append(q.Order, query.Order{By: query.OrderFields()[i], Desc: r.oneIn(2)})
	}
	return q
}

// compare lists q in one of several ways and describes the first difference to
// the wanted objects.
func (r *random) compare(t *testing.T, st storage.Storage, q query.Query, want []*object.Object) string {
	q.Count = query.CountExact
	q.Projection = pick(r, query.Full, query.Full, query.Metadata, query.KeyOnly)
	var got []*object.Object
	remaining := int64(0)
	switch r.IntN(3) {
	case 0: // all at once
		got, _ = listPage(t, st, q)
	case 1: // a part
		q.Limit, q.Offset = int64(r.IntN(30)), int64(r.IntN(10))
		want = want[min(int64(len(want)), q.Offset):]
		if q.Limit > 0 && int64(len(want)) > q.Limit {
			remaining = int64(len(want)) - q.Limit
			want = want[:q.Limit]
		}
		var page storage.Page
		got, page = listPage(t, st, q)
		if page.Remaining == nil || *page.Remaining != remaining || (page.Continue != "") != (remaining > 0) {
			return fmt.Sprintf("limit %d, offset %d: remaining is %v and the token %q, want %d remaining", q.Limit, q.Offset, text(page.Remaining), page.Continue, remaining)
		}
	default: // in pages
		q.Limit = int64(1 + len(want)/(1+r.IntN(6)))
		for {
			part, page := listPage(t, st, q)
			got = append(got, part...)
			q.Continue = page.Continue
			if q.Continue == "" || len(got) > len(want) {
				break
			}
		}
	}
	if !sameKeys(got, want) {
		return fmt.Sprintf("limit %d, offset %d: got %s\nwant %s", q.Limit, q.Offset, keys(got), keys(want))
	}
	for i := range got {
		if q.Projection == query.Full && string(got[i].JSON) != string(want[i].JSON) {
			return fmt.Sprintf("%s: got the document %s\nwant %s", got[i].Key, got[i].JSON, want[i].JSON)
		}
	}
	return ""
}

func text(n *int64) string {
	if n == nil {
		return "not set"
	}
	return fmt.Sprint(*n)
}
