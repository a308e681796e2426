package storagetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/storage"
)

// Resources that tests store objects of.
var (
	pods         = object.Resource{Version: "v1", Resource: "pods"}
	nodes        = object.Resource{Version: "v1", Resource: "nodes"}
	secrets      = object.Resource{Version: "v1", Resource: "secrets"}
	deployments  = object.Resource{Group: "apps", Version: "v1", Resource: "deployments"}
	replicasets  = object.Resource{Group: "apps", Version: "v1", Resource: "replicasets"}
	widgets      = object.Resource{Group: "example.io", Version: "v1", Resource: "widgets"}
	widgetsAlpha = object.Resource{Group: "example.io", Version: "v1alpha1", Resource: "widgets"}
)

// epoch is when the oldest thing was created, unless it says otherwise.
var epoch = time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)

// thing describes an object in few words. What it leaves out gets a value that
// fits; namespace may be empty.
type thing struct {
	cluster, namespace, name string // cluster: "c1"
	resource                 object.Resource
	kind                     string
	uid                      string // derived from the key
	version                  string // the resource version: "1"
	labels                   map[string]string
	owners                   []string // their UIDs
	// controlled says that the first of the owners controls the thing.
	controlled bool
	created    time.Time
	deleted    time.Time
	// body is added to the document, such as `"spec":{"replicas":3}`.
	body string
}

func (x thing) withDefaults() thing {
	if x.cluster == "" {
		x.cluster = "c1"
	}
	if x.resource == (object.Resource{}) {
		x.resource = pods
	}
	if x.kind == "" {
		x.kind = strings.ToUpper(x.resource.Resource[:1]) + strings.TrimSuffix(x.resource.Resource[1:], "s")
	}
	if x.uid == "" {
		sum := sha256.Sum256([]byte(x.key().String()))
		x.uid = fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
	}
	if x.version == "" {
		x.version = "1"
	}
	if x.created.IsZero() {
		x.created = epoch
	}
	return x
}

// key returns the thing's key; cluster and resource must be known.
func (x thing) key() object.Key {
	return object.Key{Cluster: x.cluster, Resource: x.resource, Namespace: x.namespace, Name: x.name}
}

// object returns the thing as synchro would write it.
func (x thing) object() *object.Object {
	x = x.withDefaults()
	o := &object.Object{
		Key: x.key(), Kind: x.kind, UID: x.uid, ResourceVersion: x.version,
		Owners: slices.Clone(x.owners), Labels: x.labels,
		CreatedAt: x.created, DeletedAt: x.deleted,
	}
	if x.controlled {
		o.Controller = x.owners[0]
	}
	o.JSON = x.document(o)
	return o
}

// document writes the thing's JSON, with its members in the order in which
// Kubernetes gives them.
func (x thing) document(o *object.Object) []byte {
	apiVersion := x.resource.Version
	if x.resource.Group != "" {
		apiVersion = x.resource.Group + "/" + apiVersion
	}
	type reference struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Name       string `json:"name"`
		UID        string `json:"uid"`
		Controller bool   `json:"controller,omitempty"`
	}
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name              string            `json:"name"`
			Namespace         string            `json:"namespace,omitempty"`
			UID               string            `json:"uid"`
			ResourceVersion   string            `json:"resourceVersion"`
			CreationTimestamp time.Time         `json:"creationTimestamp"`
			DeletionTimestamp time.Time         `json:"deletionTimestamp,omitzero"`
			Labels            map[string]string `json:"labels,omitempty"`
			OwnerReferences   []reference       `json:"ownerReferences,omitempty"`
		} `json:"metadata"`
	}
	head.APIVersion, head.Kind = apiVersion, x.kind
	m := &head.Metadata
	m.Name, m.Namespace, m.UID, m.ResourceVersion = x.name, x.namespace, x.uid, x.version
	m.CreationTimestamp, m.DeletionTimestamp, m.Labels = x.created, x.deleted, x.labels
	for _, uid := range x.owners {
		m.OwnerReferences = append(m.OwnerReferences, reference{"v1", "Owner", "owner", uid, uid == o.Controller})
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(head); err != nil {
		return []byte(err.Error()) // a struct of texts and times
	}
	document := bytes.TrimSpace(text.Bytes())
	if x.body != "" {
		document = slices.Concat(document[:len(document)-1], []byte(","), []byte(x.body), []byte("}"))
	}
	return document
}

// objects returns the things as objects.
func objects(things ...thing) []*object.Object {
	all := make([]*object.Object, len(things))
	for i, x := range things {
		all[i] = x.object()
	}
	return all
}

// puts returns one change for each object.
func puts(all ...*object.Object) []storage.Change {
	changes := make([]storage.Change, len(all))
	for i, o := range all {
		changes[i] = storage.Change{Put: o}
	}
	return changes
}

// deletes returns one change for each object.
func deletes(all ...*object.Object) []storage.Change {
	changes := make([]storage.Change, len(all))
	for i, o := range all {
		changes[i] = storage.Change{Delete: &o.Key}
	}
	return changes
}
