package templates

import (
	"errors"
	"fmt"
	"reflect"
	"text/template"
	"text/template/parse"
	"time"
)

const (
	// maxTime bounds the rendering of one template.
	maxTime = 5 * time.Second
	// maxExpansion bounds what one call of a function makes of its arguments: the product
	// of their lengths, and of numbers that say how often.
	maxExpansion = 1 << 22
	// tick is the function that is called at the beginning of every loop and template.
	tick = "clusterpediaTick"
)

// ErrTooSlow says that a template does not end in time.
var ErrTooSlow = fmt.Errorf("the template does not end within %s", maxTime)

var errTooMuch = errors.New("makes more of its arguments than an object can hold")

// expanding are the functions whose results can be far longer than their arguments.
func expanding() []string {
	return []string{
		"repeat", "until", "untilStep", "seq", "indent", "nindent", "wrap", "wrapWith", "join", "replace", "cat",
		"regexReplaceAll", "regexReplaceAllLiteral", "mustRegexReplaceAll", "mustRegexReplaceAllLiteral",
		"randAlpha", "randAlphaNum", "randAscii", "randBytes", "randNumeric", "printf", "print", "println",
	}
}

// bound puts limits around those functions that have none.
func bound(functions template.FuncMap) {
	functions["printf"], functions["print"], functions["println"] = fmt.Sprintf, fmt.Sprint, fmt.Sprintln
	for _, name := range expanding() {
		if fn, ok := functions[name]; ok {
			functions[name] = limit(name, fn)
		}
	}
}

// limit returns a function that calls fn unless that could make too much of its arguments.
func limit(name string, fn any) any {
	f := reflect.ValueOf(fn)
	t := f.Type()
	in, out := make([]reflect.Type, t.NumIn()), []reflect.Type{reflect.TypeFor[any](), reflect.TypeFor[error]()}
	for i := range in {
		in[i] = t.In(i)
	}
	return reflect.MakeFunc(reflect.FuncOf(in, out, t.IsVariadic()), func(args []reflect.Value) []reflect.Value {
		fail := func(err error) []reflect.Value {
			return []reflect.Value{reflect.Zero(out[0]), reflect.ValueOf(&err).Elem()}
		}
		if expansion(args, 1) > maxExpansion {
			return fail(fmt.Errorf("%s %w", name, errTooMuch))
		}
		var results []reflect.Value
		if t.IsVariadic() {
			results = f.CallSlice(args)
		} else {
			results = f.Call(args)
		}
		if len(results) == 2 {
			if err, ok := results[1].Interface().(error); ok && err != nil {
				return fail(err)
			}
		}
		return []reflect.Value{results[0].Convert(out[0]), reflect.Zero(out[1])}
	}).Interface()
}

// expansion multiplies the sizes of arguments, up to a little more than the limit.
func expansion(args []reflect.Value, product int64) int64 {
	for _, arg := range args {
		for arg.IsValid() && arg.Kind() == reflect.Interface {
			arg = arg.Elem()
		}
		if !arg.IsValid() {
			continue
		}
		size := int64(1)
		switch arg.Kind() { //nolint:exhaustive // others have no size
		case reflect.String, reflect.Map:
			size = int64(arg.Len())
		case reflect.Slice, reflect.Array:
			size = int64(arg.Len())
			for i := range min(arg.Len(), 64) {
				if product = expansion([]reflect.Value{arg.Index(i)}, product); product > maxExpansion {
					return product
				}
			}
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
			size = max(arg.Int(), -arg.Int())
		case reflect.Float32, reflect.Float64:
			size = int64(min(max(arg.Float(), -arg.Float()), maxExpansion+1))
		}
		if size > maxExpansion || product*max(size, 1) > maxExpansion {
			return maxExpansion + 1
		}
		product *= max(size, 1)
	}
	return product
}

// ticking has a clock looked at wherever a template may begin anew: in each loop, and in
// each template that it is made of.
func ticking(t *template.Template) error {
	clock, err := parse.Parse("clock", "{{"+tick+"}}", "{{", "}}", map[string]any{tick: func() string { return "" }})
	if err != nil {
		return err
	}
	look := clock["clock"].Root.Nodes[0]
	for _, each := range t.Templates() {
		if each.Tree != nil && each.Root != nil {
			within(each.Root, look)
			each.Root.Nodes = append([]parse.Node{look}, each.Root.Nodes...)
		}
	}
	return nil
}

// within puts a node in front of the body of each loop.
func within(list *parse.ListNode, look parse.Node) {
	if list == nil {
		return
	}
	for _, node := range list.Nodes {
		switch n := node.(type) {
		case *parse.RangeNode:
			within(n.List, look)
			within(n.ElseList, look)
			n.List.Nodes = append([]parse.Node{look}, n.List.Nodes...)
		case *parse.IfNode:
			within(n.List, look)
			within(n.ElseList, look)
		case *parse.WithNode:
			within(n.List, look)
			within(n.ElseList, look)
		}
	}
}
