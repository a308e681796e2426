package sqlquery

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"clusterpedia.io/internalstorage/dialect"
	"clusterpedia.io/storage-api/query"
)

// The URL parameters by which clients give conditions in SQL.
const (
	paramSQL        = "whereSQL"
	paramStatement  = "whereSQLStatement"
	paramParam      = "whereSQLParam"
	paramJSONParams = "whereSQLJSONParams"
)

// RawParams returns the URL parameters by which clients give conditions in SQL.
func RawParams() []string { return []string{paramSQL, paramStatement, paramParam, paramJSONParams} }

// Raw says which conditions in SQL clients may give. It is the one way by which their text
// gets into a statement, and off unless the administrator turns it on.
type Raw struct {
	// Any allows conditions with values in their text; Parameterized allows those whose
	// values are bound.
	Any, Parameterized bool
}

// Condition returns the condition in SQL that a query has; an empty one if it has none, or
// if those are not allowed. Errors are *query.InvalidQueryError.
//
// The text cannot leave the parentheses that it is put in, nor can it add statements or
// comments. What it reads within them is its own matter: therefore callers who may not
// see everything are refused.
func (r Raw) Condition(d dialect.Dialect, q *query.Query) (Expr, error) {
	if !r.Any && !r.Parameterized {
		return Expr{}, nil
	}
	first := func(key string) string {
		if values := q.Params[key]; len(values) > 0 {
			return values[0]
		}
		return ""
	}
	text, params := first(paramStatement), q.Params[paramParam]
	field, given := paramStatement, anyOf(params)
	if encoded := first(paramJSONParams); encoded != "" {
		var err error
		if given, err = jsonParams(encoded); err != nil {
			return Expr{}, err
		}
	}
	switch {
	case text != "":
	case len(given) > 0:
		return Expr{}, refuse(paramStatement, "", "required when either whereSQLParam or whereSQLJSONParams was provided")
	case r.Any && first(paramSQL) != "":
		text, field = first(paramSQL), paramSQL
	default:
		return Expr{}, nil
	}
	if q.Visible != nil {
		return Expr{}, refuse(field, text, "a condition in SQL could read what you may not see: it is for those who may list everything")
	}
	condition, err := rawCondition(d, strings.TrimSpace(text), given)
	if err != nil {
		return Expr{}, refuse(field, text, err.Error())
	}
	return condition, nil
}

func refuse(field, value, reason string) error {
	return &query.InvalidQueryError{Field: field, Value: value, Reason: reason}
}

func anyOf(values []string) []any {
	var all []any
	for _, v := range values {
		all = append(all, v)
	}
	return all
}

// jsonParams decodes a JSON array in base64.
func jsonParams(encoded string) ([]any, error) {
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, refuse(paramJSONParams, encoded, "failed to decode base64 string: "+err.Error())
	}
	var params []any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&params); err != nil {
		return nil, refuse(paramJSONParams, encoded, "failed to unmarshal decoded base64 string to JSON array: "+err.Error())
	}
	for i, p := range params {
		params[i] = bindable(p)
	}
	return params, nil
}

// bindable returns a decoded JSON value as drivers take it.
func bindable(value any) any {
	switch v := value.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // a number of JSON
		return f
	case []any:
		for i := range v {
			v[i] = bindable(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = bindable(v[k])
		}
	}
	return value
}

var (
	columnName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	wholeID    = regexp.MustCompile(`^[0-9]{1,18}$`)
)

// rawCondition binds the values of a condition, whose placeholders are ?, or @NAME for the
// members of values that are objects. A column alone means that it has the value, a
// number alone is the primary key.
func rawCondition(d dialect.Dialect, text string, values []any) (Expr, error) {
	switch {
	case wholeID.MatchString(text) && len(values) == 0:
		return dialect.Bind("id = " + text), nil
	case columnName.MatchString(text) && len(values) == 1:
		placeholder, args := bind(values[0])
		if _, list := values[0].([]any); list {
			return dialect.Bind(d.Column(text)+" IN "+placeholder, args...), nil
		}
		return dialect.Bind(d.Column(text)+" = "+placeholder, args...), nil
	}
	named, positional := map[string]any{}, []any(nil)
	for _, v := range values {
		if members, ok := v.(map[string]any); ok {
			for name, member := range members {
				named[name] = member
			}
			continue
		}
		positional = append(positional, v)
	}
	s := &scanner{text: text, database: d.Name()}
	var out Expr
	var sql strings.Builder
	for s.next() {
		switch {
		case s.token == "?":
			if len(positional) == 0 {
				return Expr{}, fmt.Errorf("it has more placeholders than values: %d", len(values))
			}
			placeholder, args := bind(positional[0])
			sql.WriteString(placeholder)
			out.Args, positional = append(out.Args, args...), positional[1:]
		case len(s.token) > 1 && s.token[0] == '@':
			value, ok := named[s.token[1:]]
			if !ok {
				return Expr{}, fmt.Errorf("there is no value for %s", s.token)
			}
			placeholder, args := bind(value)
			sql.WriteString(placeholder)
			out.Args = append(out.Args, args...)
		default:
			sql.WriteString(s.token)
		}
	}
	if s.err != nil {
		return Expr{}, s.err
	}
	if len(positional) > 0 {
		return Expr{}, fmt.Errorf("it has fewer placeholders than values: %d are left", len(positional))
	}
	out.SQL = sql.String()
	return out, nil
}

// bind returns the placeholders of a value: those of a list in parentheses. The space
// before them is for gorm, which would take them for a part of an operator with @.
func bind(value any) (string, []any) {
	list, ok := value.([]any)
	if !ok {
		return " ?", []any{value}
	}
	if len(list) == 0 {
		return " (NULL)", nil
	}
	return " (" + strings.TrimSuffix(strings.Repeat("?,", len(list)), ",") + ")", list
}

// scanner splits a condition into placeholders and the text between them, and refuses
// whatever could end the parentheses around it. It knows as little of SQL as that
// takes, and refuses what databases read in different ways.
type scanner struct {
	text, database string
	token          string
	depth          int
	err            error
}

func (s *scanner) next() bool {
	if s.err != nil {
		return false
	}
	if s.text == "" {
		if s.depth > 0 {
			s.err = fmt.Errorf("%d parentheses are not closed", s.depth)
		}
		return false
	}
	n := 1
	switch c := s.text[0]; {
	case c == '\'' || c == '"' || c == '`':
		n = s.quoted(c)
	case c == '@': // without a name it is an operator, as @> of PostgreSQL
		n += identifier(s.text[1:])
	case c == '(':
		s.depth++
	case c == ')':
		if s.depth--; s.depth < 0 {
			s.err = fmt.Errorf("a parenthesis is closed that was not opened")
		}
	case c == ';', c == '\\', c == '$', c == 0, c == '[' && s.database == "sqlite", c == '#' && s.database == "mysql":
		s.err = fmt.Errorf("%s is not allowed: bind it as a value", strconv.Quote(string(c)))
	case strings.HasPrefix(s.text, "--"), strings.HasPrefix(s.text, "/*"), strings.HasPrefix(s.text, "*/"):
		s.err = fmt.Errorf("comments are not allowed")
	}
	if s.err != nil {
		return false
	}
	s.token, s.text = s.text[:n], s.text[n:]
	return true
}

// quoted returns the length of the text in quotes that is next.
func (s *scanner) quoted(quote byte) int {
	end := strings.IndexByte(s.text[1:], quote)
	if end < 0 {
		s.err = fmt.Errorf("a quote is not closed")
		return 0
	}
	// A doubled quote is one text after the other here, which comes to the same.
	if i := strings.IndexAny(s.text[1:end+1], "\\?@\x00"); i >= 0 {
		s.err = fmt.Errorf("%s is not allowed in quotes: bind it as a value", strconv.Quote(s.text[i+1:i+2]))
	}
	return end + 2
}

// identifier returns the length of the name that a text begins with.
func identifier(text string) int {
	n := 0
	for n < len(text) && (text[n] == '_' || text[n] >= '0' && text[n] <= '9' || text[n] >= 'a' && text[n] <= 'z' || text[n] >= 'A' && text[n] <= 'Z') {
		n++
	}
	return n
}
