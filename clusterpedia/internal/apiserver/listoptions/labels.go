package listoptions

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	v1beta1 "clusterpedia.io/api/clusterpedia/v1beta1"
	"clusterpedia.io/storage-api/query"
)

// internalStoragePrefix is the second prefix of search labels; the fuzzy name is
// the only known one.
const internalStoragePrefix = "internalstorage.clusterpedia.io/"

// readLabelSelector parts the label selector into conditions on the objects'
// labels and search labels. Only the two prefixes make a search label: objects
// may have other labels of clusterpedia.io.
func (p *parser) readLabelSelector() error {
	text, _ := first(p.in.Values, "labelSelector")
	selector, err := labels.Parse(text)
	if err != nil {
		return invalid("%v", err)
	}
	known := map[string]bool{}
	for _, o := range p.options() {
		known[o.label] = true
	}
	p.labels = map[string][][]string{}
	requirements, _ := selector.Requirements()
	for _, r := range requirements {
		key := r.Key()
		switch {
		case key == v1beta1.SearchLabelForward:
			// No condition: memberaccess has read it, where requests can be forwarded.
		case known[key]:
			p.addSearchLabel(r)
		case strings.HasPrefix(key, v1beta1.SearchLabelPrefix), strings.HasPrefix(key, internalStoragePrefix):
			p.warn("search label %q is unknown and was ignored", key)
		default:
			p.query.Labels = append(p.query.Labels, query.LabelRequirement{
				Key: key, Operator: operator(r.Operator()), Values: sortedValues(r),
			})
		}
	}
	return nil
}

// addSearchLabel keeps the values of a search label. What its operator says does
// not count, and never did: existing clients may write any.
func (p *parser) addSearchLabel(r labels.Requirement) {
	values := sortedValues(r)
	if len(values) == 0 {
		p.warn("search label %q has no value and was ignored", r.Key())
		return
	}
	switch r.Operator() {
	case selection.Equals, selection.DoubleEquals, selection.In:
	default:
		p.warn("search label %q ignores its operator: it selects its values, as with \"in\"", r.Key())
	}
	p.labels[r.Key()] = append(p.labels[r.Key()], values)
}

// sortedValues returns the values of a requirement without repetition; nil if it
// takes none.
func sortedValues(r labels.Requirement) []string {
	values := append([]string(nil), r.ValuesUnsorted()...)
	slices.Sort(values)
	return slices.Compact(values)
}

func operator(op selection.Operator) query.Operator {
	switch op {
	case selection.NotEquals, selection.NotIn:
		return query.NotIn
	case selection.Exists:
		return query.Exists
	case selection.DoesNotExist:
		return query.NotExists
	case selection.GreaterThan:
		return query.GreaterThan
	case selection.LessThan:
		return query.LessThan
	default: // =, == and in
		return query.In
	}
}
