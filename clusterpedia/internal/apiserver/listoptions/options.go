package listoptions

import (
	v1beta1 "clusterpedia.io/api/clusterpedia/v1beta1"
)

// option is one option of a search: where clients write it, and what becomes of
// its text.
type option struct {
	// url is its key in the URL's query; empty if it has none.
	url string
	// label is its search label; empty if it has none.
	label string
	// take says how many of the label's values count.
	take take
	into setter
}

// take says how many of a search label's values count.
type take int

const (
	// takeNone is for options without a label.
	takeNone take = iota
	takeAll
	// takeFirst takes the first in the order of the values.
	takeFirst
	// takeOnly ignores a label with several values.
	takeOnly
)

// setter gives an option its value. Both methods report whether the text gave
// one: if not, the next place where the option may stand counts.
type setter interface {
	fromURL(text string) (bool, error)
	// fromLabel gets the values that count, sorted, at least one.
	fromLabel(values []string) (bool, error)
}

// options is the table of all options but labelSelector, fieldSelector, the
// label to forward a request, and the keys of storage layers.
func (p *parser) options() []option {
	q := p.query
	return []option{
		{"names", v1beta1.SearchLabelNames, takeAll, texts{&q.Names}},
		{"clusters", v1beta1.SearchLabelClusters, takeAll, texts{&p.clusters}},
		{"namespaces", v1beta1.SearchLabelNamespaces, takeAll, texts{&p.namespaces}},
		{"", v1beta1.SearchLabelFuzzyName, takeAll, parts{&q.NameContains}},
		{"ownerUID", v1beta1.SearchLabelOwnerUID, takeOnly, text{&p.ownerUID}},
		{"ownerName", v1beta1.SearchLabelOwnerName, takeOnly, text{&p.ownerName}},
		{"ownerGR", v1beta1.SearchLabelOwnerGroupResource, takeOnly, text{&p.ownerGR}},
		{"ownerSeniority", v1beta1.SearchLabelOwnerSeniority, takeOnly, seniority{&p.ownerSeniority}},
		{"since", v1beta1.SearchLabelSince, takeOnly, moment{"Since", &q.Since}},
		{"before", v1beta1.SearchLabelBefore, takeOnly, moment{"Before", &q.Before}},
		{"orderby", v1beta1.SearchLabelOrderBy, takeAll, order{p}},
		{"limit", v1beta1.SearchLabelLimit, takeFirst, limit{&p.limit}},
		{"continue", v1beta1.SearchLabelOffset, takeFirst, text{&p.continueText}},
		{"withContinue", v1beta1.SearchLabelWithContinue, takeFirst, flag{&p.withContinue}},
		{"withRemainingCount", v1beta1.SearchLabelWithRemainingCount, takeFirst, flag{&p.withRemainingCount}},
		{"injectEvents", v1beta1.SearchLabelInjectEvents, takeFirst, flag{&p.injectEvents}},
		{"onlyMetadata", "", takeNone, flag{&p.onlyMetadata}},
	}
}

// readOptions gives all options of the table their values.
func (p *parser) readOptions() error {
	for _, o := range p.options() {
		if err := p.readOption(o); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) readOption(o option) error {
	if value, ok := first(p.in.Values, o.url); o.url != "" && ok {
		given, err := o.into.fromURL(value)
		if given || err != nil {
			return err
		}
	}
	for i, values := range p.labels[o.label] {
		if len(values) > 1 && o.take == takeOnly {
			p.warn("search label %q takes one value and was ignored: it has %d", o.label, len(values))
			continue
		}
		if len(values) > 1 && o.take == takeFirst {
			p.warn("search label %q takes one value: %q was used", o.label, values[0])
			values = values[:1]
		}
		given, err := o.into.fromLabel(values)
		if err != nil {
			return err
		}
		if given {
			if i+1 < len(p.labels[o.label]) {
				p.warn("search label %q is given more than once, only the first counts", o.label)
			}
			return nil
		}
	}
	return nil
}
