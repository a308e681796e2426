// Package fieldselector reads the enhanced field selector, which reaches every
// field of an object:
//
//	selector    = [ requirement { "," requirement } ]
//	requirement = path | "!" path | path op value | path ("in"|"notin") "(" [ value { "," value } ] ")"
//	op          = "=" | "==" | "!=" | ">" | "<"
//	path        = [ "." ] part { part }
//	part        = [ "." ] name | "." quoted | "[" quoted "]" | "[" "]" | "[" integer "]"
//	quoted      = "'" name "'" | '"' name '"'
//
// On the data's path it stands between the client and the storage layer: package
// listoptions puts its result into the query. A path alone asks that the field
// exists, one after "!" that it doesn't. "[]" stands for every element of a list,
// "[0]" for the first. Values cannot be quoted, so they hold no blanks and none of
// the characters =!(),><; a missing value is the empty one.
package fieldselector

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"clusterpedia.io/storage-api/query"
)

// Parse returns the requirements of a selector, sorted by their path, each with
// its values sorted and without repetition. The empty selector has none. Errors
// are written for the client; their texts are part of the API.
func Parse(selector string) ([]query.FieldRequirement, error) {
	p := &parser{tokens: lex(selector)}
	requirements, err := p.selector()
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(requirements, func(a, b query.FieldRequirement) int {
		return strings.Compare(query.PathString(a.Path), query.PathString(b.Path))
	})
	return requirements, nil
}

// parser goes through the tokens of one selector, by recursive descent.
type parser struct {
	tokens []token
}

// peek returns the next token, and at the end that one again and again.
func (p *parser) peek() token { return p.tokens[0] }

// next returns the next token and moves behind it.
func (p *parser) next() token {
	t := p.tokens[0]
	if t.kind != end {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *parser) selector() ([]query.FieldRequirement, error) {
	switch t := p.peek(); t.kind {
	case end:
		return nil, nil
	case word, not:
	default:
		// The stray quotes are part of the known text.
		return nil, fmt.Errorf(`found "%s", expected: !, identifier, or ''end of string`, t.text)
	}
	var requirements []query.FieldRequirement
	for {
		r, err := p.requirement()
		if err != nil {
			return nil, fmt.Errorf("unable to parse requirement: %w", err)
		}
		requirements = append(requirements, r)
		switch t := p.next(); t.kind {
		case end:
			return requirements, nil
		case comma:
			if t := p.peek(); t.kind != word && t.kind != not {
				return nil, fmt.Errorf(`found "%s", expected: identifier after ','`, t.text)
			}
		default:
			return nil, fmt.Errorf(`found "%s", expected: ',' or 'end of string'`, t.text)
		}
	}
}

func (p *parser) requirement() (query.FieldRequirement, error) {
	absent := p.peek().kind == not
	if absent {
		p.next()
	}
	t := p.next()
	if t.kind != word {
		return query.FieldRequirement{}, fmt.Errorf("found '%s', expected: identifier", t.text)
	}
	path, err := parsePath(t.text)
	if err != nil {
		return query.FieldRequirement{}, err
	}
	r := query.FieldRequirement{Path: path, Operator: query.Exists}
	if absent {
		r.Operator = query.NotExists
		return r, nil
	}
	if next := p.peek().kind; next == end || next == comma {
		return r, nil
	}
	return p.comparison(r)
}

// comparison reads an operator and its values.
func (p *parser) comparison(r query.FieldRequirement) (query.FieldRequirement, error) {
	var err error
	switch t := p.next(); {
	case t.kind == equal, t.kind == doubleEqual:
		r.Operator = query.In
		r.Values, err = p.value()
	case t.kind == notEqual:
		r.Operator = query.NotIn
		r.Values, err = p.value()
	case t.kind == greater:
		r.Operator = query.GreaterThan
		r.Values, err = p.integer(r.Path)
	case t.kind == less:
		r.Operator = query.LessThan
		r.Values, err = p.integer(r.Path)
	case t == token{word, "in"}:
		r.Operator = query.In
		r.Values, err = p.values()
	case t == token{word, "notin"}:
		r.Operator = query.NotIn
		r.Values, err = p.values()
	default:
		err = fmt.Errorf("found '%s', expected: in, notin, =, ==, !=, gt, lt", t.text)
	}
	return r, err
}

// value reads the value of an operator that takes one.
func (p *parser) value() ([]string, error) {
	switch t := p.peek(); t.kind {
	case end, comma:
		return []string{""}, nil
	case word:
		return []string{p.next().text}, nil
	default:
		return nil, fmt.Errorf("found '%s', expected: identifier", t.text)
	}
}

// integer reads the value of an operator that compares numbers.
func (p *parser) integer(path []query.PathElement) ([]string, error) {
	values, err := p.value()
	if err != nil {
		return nil, err
	}
	if _, err := strconv.ParseInt(values[0], 10, 64); err != nil {
		return nil, fmt.Errorf("%s: Invalid value: %q: for 'Gt', 'Lt' operators, the value must be an integer",
			query.PathString(path), values[0])
	}
	return values, nil
}

// values reads a list in parentheses. Between two commas, or a comma and a
// parenthesis, stands the empty value.
func (p *parser) values() ([]string, error) {
	if t := p.next(); t.kind != opening {
		return nil, fmt.Errorf("found '%s', expected: '('", t.text)
	}
	var values []string
	for {
		value := ""
		if p.peek().kind == word {
			value = p.next().text
		}
		values = append(values, value)
		switch t := p.next(); t.kind {
		case comma:
		case closing:
			slices.Sort(values)
			return slices.Compact(values), nil
		default:
			return nil, fmt.Errorf("found '%s', expected: ',' or ')'", t.text)
		}
	}
}
