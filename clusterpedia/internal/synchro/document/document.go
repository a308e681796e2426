package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"clusterpedia.io/clusterpedia/internal/rawjson"
)

// ClusterAnnotation is put on every stored object and names its member cluster.
const ClusterAnnotation = "shadow.clusterpedia.io/cluster-name"

const lastAppliedAnnotation = "kubectl.kubernetes.io/last-applied-configuration"

// Head identifies one revision of an object.
type Head struct {
	Namespace, Name      string
	UID, ResourceVersion string
}

// ReadHead reads the head of an object's document. It reads no further than
// metadata and checks nothing else.
func ReadHead(doc []byte) (Head, error) {
	var head Head
	var inner error
	found := false
	err := rawjson.Fields(doc, func(name, value []byte) bool {
		if string(name) != "metadata" {
			return true
		}
		found = true
		inner = head.read(value)
		return false
	})
	switch {
	case err != nil:
		return Head{}, err
	case inner != nil:
		return Head{}, fmt.Errorf("metadata: %w", inner)
	case !found:
		return Head{}, errors.New("metadata is missing")
	}
	return head, nil
}

// read reads no further than it must: API servers write the parts of the head before the
// managed fields, which are long.
func (h *Head) read(metadata []byte) error {
	var inner error
	missing := 4
	err := rawjson.Fields(metadata, func(name, value []byte) bool {
		switch string(name) {
		case "namespace":
			h.Namespace, inner = rawjson.String("namespace", value)
		case "name":
			h.Name, inner = rawjson.String("name", value)
		case "uid":
			h.UID, inner = rawjson.String("uid", value)
		case "resourceVersion":
			h.ResourceVersion, inner = rawjson.String("resourceVersion", value)
		default:
			return true
		}
		missing--
		return inner == nil && missing > 0
	})
	return errors.Join(err, inner)
}

// Document is an object in the form in which it is stored.
type Document struct {
	Head
	APIVersion, Kind string
	Labels           map[string]string
	// Controller is the UID of the controlling owner; Owners are those of all,
	// the controller first.
	Controller string
	Owners     []string
	// CreatedAt and DeletedAt are in UTC; zero if absent.
	CreatedAt, DeletedAt time.Time
	// JSON is compact and valid.
	JSON []byte
}

// Rewriter brings documents into the form in which they are stored: compact, with
// apiVersion and kind, with ClusterAnnotation. It may be used concurrently.
type Rewriter struct {
	// Cluster is the value of ClusterAnnotation.
	Cluster string
	// APIVersion and Kind are those of documents that have none, as the items of
	// a list.
	APIVersion, Kind string
	// DropManagedFields removes metadata.managedFields.
	DropManagedFields bool
	// DropLastApplied removes the annotation in which kubectl apply keeps a copy
	// of the object.
	DropLastApplied bool
	// Prune are the fields that are left out; nil: none.
	Prune *Fields
}

// Rewrite checks doc and returns it in the form in which it is stored. The result
// shares no memory with doc. An error says that the document can never be stored.
func (r *Rewriter) Rewrite(doc []byte) (*Document, error) {
	compact, err := validate(doc)
	if err != nil {
		return nil, err
	}
	if !compact {
		var b bytes.Buffer
		if err := json.Compact(&b, doc); err != nil {
			return nil, fmt.Errorf("%w: %w", rawjson.ErrMalformed, err)
		}
		doc = b.Bytes()
	}
	if doc, err = r.Prune.prune(doc); err != nil {
		return nil, err
	}
	d := &Document{APIVersion: r.APIVersion, Kind: r.Kind}
	w := newWriter(len(doc) + len(r.APIVersion) + len(r.Kind) + len(ClusterAnnotation) + len(r.Cluster) + 64)
	if err := r.top(w, d, doc); err != nil {
		return nil, err
	}
	if d.Name == "" {
		return nil, errors.New("metadata.name is missing")
	}
	d.JSON = w.bytes()
	return d, nil
}

func (r *Rewriter) top(w *writer, d *Document, doc []byte) error {
	var metadata []byte
	var inner error
	type field struct{ name, value []byte }
	rest := make([]field, 0, 8) // most have spec and status
	set := func(into *string, name string, value []byte) {
		if s, err := rawjson.String(name, value); err != nil {
			inner = err
		} else if s != "" {
			*into = s
		}
	}
	err := rawjson.Fields(doc, func(name, value []byte) bool {
		switch string(name) {
		case "apiVersion":
			set(&d.APIVersion, "apiVersion", value)
		case "kind":
			set(&d.Kind, "kind", value)
		case "metadata":
			metadata = value
		default:
			rest = append(rest, field{name, value})
		}
		return inner == nil
	})
	if err := errors.Join(err, inner); err != nil {
		return err
	}
	if metadata == nil {
		return errors.New("metadata is missing")
	}
	if d.APIVersion == "" || d.Kind == "" {
		return errors.New("apiVersion or kind is missing")
	}
	w.open()
	w.stringField("apiVersion", d.APIVersion)
	w.stringField("kind", d.Kind)
	w.name("metadata")
	if err := r.metadata(w, d, metadata); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	for _, f := range rest {
		w.field(f.name, f.value)
	}
	w.close()
	return nil
}

func (r *Rewriter) metadata(w *writer, d *Document, metadata []byte) error {
	if err := d.read(metadata); err != nil {
		return err
	}
	var annotations []byte
	var inner error
	w.open()
	err := rawjson.Fields(metadata, func(name, value []byte) bool {
		switch string(name) {
		case "annotations":
			annotations = value
			return true
		case "managedFields":
			if r.DropManagedFields {
				return true
			}
		case "labels":
			inner = d.readLabels(value)
		case "ownerReferences":
			inner = d.readOwners(value)
		case "creationTimestamp":
			d.CreatedAt, inner = readTime("creationTimestamp", value)
		case "deletionTimestamp":
			d.DeletedAt, inner = readTime("deletionTimestamp", value)
		}
		w.field(name, value)
		return inner == nil
	})
	if err := errors.Join(err, inner); err != nil {
		return err
	}
	w.name("annotations")
	if err := r.annotations(w, annotations); err != nil {
		return fmt.Errorf("annotations: %w", err)
	}
	w.close()
	return nil
}

func (r *Rewriter) annotations(w *writer, annotations []byte) error {
	w.open()
	if annotations != nil && string(annotations) != "null" {
		err := rawjson.Fields(annotations, func(name, value []byte) bool {
			switch {
			case string(name) == ClusterAnnotation:
			case string(name) == lastAppliedAnnotation && r.DropLastApplied:
			default:
				w.field(name, value)
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	w.stringField(ClusterAnnotation, r.Cluster)
	w.close()
	return nil
}

func (d *Document) readLabels(value []byte) error {
	if string(value) == "null" {
		return nil
	}
	d.Labels = map[string]string{}
	var inner error
	err := rawjson.Fields(value, func(name, value []byte) bool {
		d.Labels[string(name)], inner = rawjson.String("labels."+string(name), value)
		return inner == nil
	})
	if err != nil {
		return fmt.Errorf("labels: %w", err)
	}
	return inner
}

func (d *Document) readOwners(value []byte) error {
	if string(value) == "null" {
		return nil
	}
	var inner error
	err := rawjson.Elements(value, func(owner []byte) {
		uid, controller := "", false
		err := rawjson.Fields(owner, func(name, value []byte) bool {
			switch string(name) {
			case "uid":
				uid, inner = rawjson.String("ownerReferences.uid", value)
			case "controller":
				controller = string(value) == "true"
			}
			return inner == nil
		})
		if inner = errors.Join(inner, err); inner != nil || uid == "" {
			return
		}
		if controller && d.Controller == "" {
			d.Controller = uid
		}
		if !slices.Contains(d.Owners, uid) {
			d.Owners = append(d.Owners, uid)
		}
	})
	if err := errors.Join(err, inner); err != nil {
		return err
	}
	if i := slices.Index(d.Owners, d.Controller); i > 0 {
		d.Owners = slices.Insert(slices.Delete(d.Owners, i, i+1), 0, d.Controller)
	}
	return nil
}

func readTime(name string, value []byte) (time.Time, error) {
	s, err := rawjson.String(name, value)
	if err != nil || s == "" {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", name, err)
	}
	return t.UTC().Truncate(time.Second), nil
}
