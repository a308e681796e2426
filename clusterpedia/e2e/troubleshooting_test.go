package e2e

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTroubleshooting checks that docs/storage/troubleshooting.md has each message with
// which a plugin, a server or a command of clusterpedia plugin is refused.
func TestTroubleshooting(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(shared.root, "docs", "storage", "troubleshooting.md"))
	require.NoError(t, err)
	var quoted []string
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(string(text), -1) {
		quoted = append(quoted, m[1])
	}
	// Of these there is nothing to say.
	plain := []string{
		"cannot find the path of this program: %w", "write the source of the storage API: %w", "go env -changed -json: %w", // as the system says
		"not every plugin fits",                       // is not printed
		"give what to copy, or self, and a directory", // of a program that people do not run
	}
	found := 0
	for _, dir := range []string{"storageplugin", "storageplugin/preflight", "plugintool", "plugintool/outoftree", "plugintool/scaffold", "../cmd/copy-plugins"} {
		files, err := filepath.Glob(filepath.Join(shared.root, "clusterpedia", "internal", dir, "*.go"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			// What these two say stands behind "damaged: it cannot be decoded".
			if base := filepath.Base(file); strings.HasSuffix(base, "_test.go") || base == "dynamic.go" || base == "stamp.go" {
				continue
			}
			for _, message := range messages(t, file) {
				pattern := messagePattern(message)
				if pattern == nil || slices.Contains(plain, message) {
					continue
				}
				found++
				if !slices.ContainsFunc(quoted, pattern.MatchString) {
					t.Errorf("%s: the page has nothing like %q", filepath.Base(file), message)
				}
			}
		}
	}
	require.Greater(t, found, 60, "the messages are no longer where this test looks for them")
}

// messages returns the formats of what a file of Go refuses with: errors, the fields of
// verdicts and errors that say what is wrong, and the variables that these are made of.
func messages(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	telling := []string{"Found", "Why", "Problem", "found", "kind"}
	var out []string
	ast.Inspect(parsed, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.CallExpr:
			if name := calledName(n); (name == "fmt.Errorf" || name == "errors.New") && len(n.Args) > 0 {
				out = append(out, format(n.Args[0]))
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok && slices.Contains(telling, key.Name) {
				out = append(out, format(n.Value))
			}
		case *ast.CompositeLit:
			if name, ok := n.Type.(*ast.Ident); ok && name.Name == "HostError" && len(n.Elts) == 3 {
				out = append(out, format(n.Elts[1]))
			}
		case *ast.AssignStmt:
			for i, left := range n.Lhs {
				name, ok := left.(*ast.Ident)
				if selector, is := left.(*ast.SelectorExpr); is {
					name, ok = selector.Sel, true
				}
				if ok && len(n.Lhs) == len(n.Rhs) && slices.Contains(telling, name.Name) {
					out = append(out, format(n.Rhs[i]))
				}
			}
		}
		return true
	})
	return out
}

// calledName returns the name of a function of another package that is called.
func calledName(call *ast.CallExpr) string {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	pkg, ok := selector.X.(*ast.Ident)
	if !ok {
		return ""
	}
	return pkg.Name + "." + selector.Sel.Name
}

// format returns an expression's text with verbs in place of values.
func format(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil {
			return text
		}
	case *ast.BinaryExpr:
		return format(e.X) + format(e.Y)
	case *ast.CallExpr:
		if calledName(e) == "fmt.Sprintf" {
			return format(e.Args[0])
		}
	}
	return "%s"
}

var (
	verb = regexp.MustCompile(`%[a-z]`)
	word = regexp.MustCompile(`[A-Za-z][A-Za-z'-]*`)
)

// messagePattern returns what the page must have of a message: what is wrong, but neither
// the cause nor what to do, which follow. It is nil for a message that is made of others.
func messagePattern(message string) *regexp.Regexp {
	message, _, _ = strings.Cut(strings.TrimSuffix(message, ": %w"), "; ")
	words := func(text string) int { return len(word.FindAllString(verb.ReplaceAllString(text, ""), -1)) }
	if what, _, ok := strings.Cut(message, ": "); ok && words(what) > 2 {
		message = what
	}
	if message == "damaged: %s" {
		message = "damaged"
	} else if words(message) < 2 {
		return nil
	}
	parts := verb.Split(message, -1)
	for i, part := range parts {
		parts[i] = regexp.QuoteMeta(part)
	}
	return regexp.MustCompile(strings.Join(parts, ".+"))
}
