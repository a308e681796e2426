// Package cells prints objects as kubectl does: compiled-in kinds by Kubernetes' printers,
// custom resources by the columns of their definition. The synchro prints
// each object when it writes it, so that the storage layer keeps what a table shows of it;
// the apiserver completes such cells, or prints the object, when a client asks for a Table.
package cells

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubernetes/pkg/printers"
	printersinternal "k8s.io/kubernetes/pkg/printers/internalversion"

	"clusterpedia.io/clusterpedia/internal/builtin"
)

// release is the version of k8s.io/kubernetes, whose printers another one may have changed.
// It and form are part of what cells are called by.
const release = "v1.37.2"

// form is how Print writes cells.
const form = "1"

// Printer knows the kinds that there are columns for. It may be used concurrently.
type Printer struct {
	scheme    *builtin.Scheme
	generator *printers.HumanReadableGenerator
	custom    customKinds
}

// NewPrinter returns a printer for the kinds of scheme, and for custom resources.
func NewPrinter(scheme *builtin.Scheme) *Printer {
	return &Printer{scheme: scheme, generator: printers.NewTableGenerator().With(printersinternal.AddHandlers)}
}

// Kind prints the objects of one kind. It may be used concurrently.
type Kind struct {
	// Definitions are the columns, with the wide ones.
	Definitions []metav1.TableColumnDefinition
	// Columns is the name of Definitions for storage.Cells; empty if cells cannot be kept.
	Columns string

	decode       func(doc []byte) (runtime.Object, error)
	pods, custom bool
	// print returns a row of obj. It may have more cells than there are columns, for age.
	print func(obj runtime.Object) (*metav1.Table, error)
	// ages tells of each column whether it shows how long ago something was, and age what is
	// kept of a cell of such a column.
	ages []bool
	age  func(obj runtime.Object, column int, printed []any) any
}

// Kind returns what prints a compiled-in kind as kubectl does; nil for a kind without
// columns.
func (p *Printer) Kind(kind schema.GroupKind) *Kind {
	internal := schema.GroupVersion{Group: kind.Group, Version: runtime.APIVersionInternal}
	list, err := p.scheme.Runtime().New(internal.WithKind(kind.Kind + "List"))
	if err != nil || kind == csiStorageCapacities {
		return nil
	}
	head, err := p.generator.GenerateTable(list, printers.GenerateOptions{Wide: true})
	if err != nil {
		return nil
	}
	k := &Kind{Definitions: head.ColumnDefinitions, decode: p.scheme.Decode, pods: kind == pods, ages: ages(kind, head.ColumnDefinitions)}
	k.print = func(obj runtime.Object) (*metav1.Table, error) {
		return p.generator.GenerateTable(obj, printers.GenerateOptions{Wide: true, NoHeaders: true})
	}
	k.age = func(obj runtime.Object, column int, printed []any) any {
		return ageOf(obj, k.Definitions[column].Name, printed[column])
	}
	if definitions, err := json.Marshal(k.Definitions); err == nil && p.full(k, internal.WithKind(kind.Kind)) {
		k.Columns = nameOf(kind, definitions)
	}
	return k
}

// nameOf returns the name of the columns of a kind, by all that decides on what they show.
func nameOf(kind schema.GroupKind, definitions []byte) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %s %s", release, form, kind, definitions))
	return base64.RawURLEncoding.EncodeToString(sum[:6])
}

// full reports whether a row has a cell for each column: not all kinds' rows do.
func (p *Printer) full(k *Kind, internal schema.GroupVersionKind) bool {
	empty, err := p.scheme.Runtime().New(internal)
	if err != nil {
		return false
	}
	row, err := k.Row(empty)
	return err == nil && len(row.Cells) == len(k.Definitions)
}

// csiStorageCapacities have columns that nobody prints.
var csiStorageCapacities = schema.GroupKind{Group: "storage.k8s.io", Kind: "CSIStorageCapacity"}

var (
	errPrinter = errors.New("the printer failed")
	errLarge   = errors.New("too large for its columns")
	errNumber  = errors.New("a number with a great exponent")
)

// Read decodes a stored document as far as Row needs it, by decode if all of it has to be.
func (k *Kind) Read(doc []byte, decode func(doc []byte) (runtime.Object, error)) (runtime.Object, error) {
	if k.pods {
		if pod, err := readPod(doc); err == nil {
			return pod, nil
		}
	}
	return decode(doc)
}

// Row prints one object: of the internal type, if its kind is compiled in.
func (k *Kind) Row(obj runtime.Object) (metav1.TableRow, error) {
	row, err := k.row(obj)
	if k.custom && err == nil {
		row.Cells = row.Cells[:len(k.Definitions)]
	}
	return row, err
}

func (k *Kind) row(obj runtime.Object) (row metav1.TableRow, err error) {
	defer recovered(&err)
	body, err := k.print(obj)
	if err != nil {
		return metav1.TableRow{}, fmt.Errorf("print a %T: %w", obj, err)
	}
	if len(body.Rows) != 1 {
		return metav1.TableRow{}, fmt.Errorf("print a %T: %d rows", obj, len(body.Rows))
	}
	return body.Rows[0], nil
}

// recovered makes an error of a panic. Printers, conversions and defaults trust that objects
// were validated, and those of one member must not end what copies all.
func recovered(err *error) {
	if reason := recover(); reason != nil {
		*err = fmt.Errorf("%w: %v", errPrinter, reason)
	}
}

// Print returns the cells of a stored document as storage.Cells has them, for AppendCells to
// complete: behind those of the columns comes, if there are any, the list of the row's
// conditions.
func (k *Kind) Print(doc []byte) (values []byte, err error) {
	defer recovered(&err)
	if k.custom && len(doc)*len(k.Definitions) > maxPrinted {
		return nil, errLarge
	}
	obj, err := k.Read(doc, func(doc []byte) (runtime.Object, error) {
		if greatExponent(doc) {
			return nil, errNumber
		}
		return k.decode(doc)
	})
	if err != nil {
		return nil, err
	}
	row, err := k.row(obj)
	if err != nil {
		return nil, err
	}
	if len(row.Cells) < len(k.Definitions) {
		return nil, fmt.Errorf("print a %T: %w: %d cells for %d columns", obj, errPrinter, len(row.Cells), len(k.Definitions))
	}
	for i, isAge := range k.ages {
		if isAge {
			row.Cells[i] = k.age(obj, i, row.Cells)
		}
	}
	kept := row.Cells[:len(k.Definitions)]
	if len(row.Conditions) > 0 {
		kept = append(kept, row.Conditions)
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // "<none>" is frequent
	if err := encoder.Encode(kept); err != nil {
		return nil, fmt.Errorf("print a %T: %w", obj, err)
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// greatExponent reports whether a value of a document, or a text, is a number with an exponent
// of four digits or more. To read one as a quantity may take minutes. API servers have made
// them short before they serve them.
func greatExponent(doc []byte) bool {
	number := func(c byte) bool { return c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.' }
	for i := 1; i+4 < len(doc); i++ {
		if doc[i]|0x20 != 'e' || !number(doc[i-1]) {
			continue
		}
		begin, end := i-1, i+1
		for begin > 0 && number(doc[begin]) {
			begin--
		}
		for end < len(doc)-1 && number(doc[end]) {
			end++
		}
		if end-i > 4 && strings.IndexByte("\":[, ", doc[begin]) >= 0 && strings.IndexByte("\",]} ", doc[end]) >= 0 {
			return true
		}
	}
	return false
}
