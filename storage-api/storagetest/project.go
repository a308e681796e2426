package storagetest

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"reflect"
	"testing"

	"clusterpedia.io/storage-api/object"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

func testProject(t *testing.T, s suite) {
	s.each(t, []test{
		{"full: the bytes that were put", projectFull},
		{"metadata", projectMetadata},
		{"key only", projectKey},
		{"cells", func(t *testing.T, st storage.Storage) { projectCells(t, st, s.Cells) }},
		{"packed", func(t *testing.T, st storage.Storage) { projectPacked(t, st, s.Packed) }},
		{"with events", projectEvents},
	})
}

// oddDocuments are documents that a storage layer spoils if it decodes and
// encodes them.
func oddDocuments() []*object.Object {
	var all []*object.Object
	for i, body := range []string{
		``,
		`"z":1,"a":2,"m":{"z":1,"a":2}`,
		`"v":[1.0,1.50,1e3,-0.0,12345678901234567890,0.1000000000000000055511151231257827]`,
		`"v":"<>&\u003c\u003e\u0026\/\u002f \u2028\u00e9é\ud83d\ude00😀\b\f\n\r\t\\\""`,
		`"v":[{},[],"",null,true,false]`,
		`"":{"":""},"k\u0065y":1`,
		`"deep":[[[[[[[[[[[[[[[[[[[["x"]]]]]]]]]]]]]]]]]]]]`,
		`"metadata2":{"name":"other"},"spec":{"metadata":{"name":"inner"},"kind":"Inner","apiVersion":"inner/v1"}`,
		`"Metadata":{"name":"upper"},"Kind":"Upper"`,
	} {
		all = append(all, thing{namespace: "default", name: fmt.Sprint("odd-", i), labels: map[string]string{"<app>": "é&"}, body: body}.object())
	}
	return all
}

func projectFull(t *testing.T, st storage.Storage) {
	all := oddDocuments()
	put(t, st, all...)
	for _, o := range all {
		checkObject(t, get(t, st, o.Key), o)
	}
	checkStored(t, st, all...)
	for _, o := range list(t, st, query.Query{}) {
		if o.Packed != nil || o.Events != nil {
			t.Errorf("%s has what nobody asked for: packed %t, events %t", o.Key, o.Packed != nil, o.Events != nil)
		}
	}
}

func projectMetadata(t *testing.T, st storage.Storage) {
	all := oddDocuments()
	put(t, st, all...)
	got := list(t, st, query.Query{Projection: query.Metadata})
	if !sameKeys(got, all) {
		t.Fatalf("got %s\nwant %s", keys(got), keys(all))
	}
	for i, o := range got {
		want := decode(t, all[i].JSON)
		for name := range want {
			if name != "apiVersion" && name != "kind" && name != "metadata" {
				delete(want, name)
			}
		}
		if got := decode(t, o.JSON); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %v\nwant %v", o.Key, got, want)
		}
		checkIdentity(t, o, all[i])
	}
}

func decode(t testing.TB, document []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	var members map[string]any
	if err := d.Decode(&members); err != nil {
		t.Errorf("%v in the document %.200q", err, document)
	}
	return members
}

// checkIdentity checks what every projection gives.
func checkIdentity(t testing.TB, got, want *object.Object) {
	t.Helper()
	if got.Key != want.Key || got.Kind != want.Kind || got.UID != want.UID || got.ResourceVersion != want.ResourceVersion {
		t.Errorf("got %s kind %q UID %q version %q\nwant %s kind %q UID %q version %q",
			got.Key, got.Kind, got.UID, got.ResourceVersion, want.Key, want.Kind, want.UID, want.ResourceVersion)
	}
}

func projectKey(t *testing.T, st storage.Storage) {
	all := oddDocuments()
	put(t, st, all...)
	got := list(t, st, query.Query{Projection: query.KeyOnly})
	if !sameKeys(got, all) {
		t.Fatalf("got %s\nwant %s", keys(got), keys(all))
	}
	for i, o := range got {
		checkIdentity(t, o, all[i])
		if o.JSON != nil {
			t.Errorf("%s has a document", o.Key)
		}
	}
}

func projectCells(t *testing.T, st storage.Storage, kept bool) {
	const columns = "pods of v1"
	with, without, replaced, other := thing{name: "with"}.object(), thing{name: "without"}.object(), thing{name: "without-again"}.object(), thing{name: "with-others"}.object()
	with.Cells = &object.Cells{Columns: columns, Values: []byte(`["with","1/1","Running",0,"<none>",1.5,null]`)}
	replaced.Cells = &object.Cells{Columns: columns, Values: []byte(`["replaced"]`)}
	other.Cells = &object.Cells{Columns: "pods of v2", Values: []byte(`["other"]`)}
	put(t, st, with, other, without, replaced)
	replaced.Cells = nil
	put(t, st, replaced)
	all := []*object.Object{with, other, without, replaced}
	got := list(t, st, query.Query{Projection: query.Cells, Columns: columns})
	if !sameKeys(got, all) {
		t.Fatalf("got %s\nwant %s", keys(got), keys(all))
	}
	metadata := list(t, st, query.Query{Projection: query.Metadata})
	for i, o := range got {
		checkIdentity(t, o, all[i])
		stored := all[i].Cells
		switch {
		case o.Cells == nil && stored != nil && stored.Columns == columns && kept:
			t.Errorf("%s has no cells, though the storage layer is declared to keep them", o.Key)
		case o.Cells == nil && string(o.JSON) != string(all[i].JSON):
			t.Errorf("%s has neither cells nor its document: %q", o.Key, o.JSON)
		case o.Cells == nil:
		case stored == nil || o.Cells.Columns != columns || stored.Columns != columns || string(o.Cells.Values) != string(stored.Values):
			t.Errorf("%s: got the cells %+v, want %+v", o.Key, o.Cells, stored)
		case !sameJSON(o.JSON, metadata[i].JSON):
			t.Errorf("%s: got %s with the cells, want the metadata %s", o.Key, o.JSON, metadata[i].JSON)
		}
	}
	checkStored(t, st, all...)
}

// sameJSON reports whether two documents mean the same.
func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// pack compresses a document as package object describes.
func pack(t testing.TB, document []byte) *object.Packed {
	t.Helper()
	var text bytes.Buffer
	w, err := flate.NewWriter(&text, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(document); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return &object.Packed{Deflate: text.Bytes(), CRC32: crc32.ChecksumIEEE(document), Size: int64(len(document))}
}

func projectPacked(t *testing.T, st storage.Storage, kept bool) {
	all := oddDocuments()
	for _, o := range all[1:] {
		o.Packed = pack(t, o.JSON)
	}
	put(t, st, all...)
	// A document that is replaced must not be given by its earlier packing.
	last := all[len(all)-1]
	last.JSON, last.Packed = bytes.Replace(last.JSON, []byte("upper"), []byte("other"), 1), nil
	put(t, st, last)

	checkStored(t, st, all...)
	found := 0
	got := list(t, st, query.Query{Packed: true})
	if !sameKeys(got, all) {
		t.Fatalf("got %s\nwant %s", keys(got), keys(all))
	}
	for i, o := range got {
		checkIdentity(t, o, all[i])
		document := o.JSON
		if o.Packed != nil {
			found++
			document = unpack(t, o.Packed)
		}
		if string(document) != string(all[i].JSON) {
			t.Errorf("%s:\ngot  %q\nwant %q", o.Key, document, all[i].JSON)
		}
	}
	if kept && found == 0 {
		t.Error("no object is packed, though the storage layer is declared to keep them so")
	}
	for _, o := range list(t, st, query.Query{Packed: true, Projection: query.Metadata}) {
		if o.JSON == nil {
			t.Errorf("%s has no metadata document", o.Key)
		}
	}
}

// unpack decompresses one document and checks it.
func unpack(t testing.TB, p *object.Packed) []byte {
	t.Helper()
	if !bytes.HasSuffix(p.Deflate, []byte{0, 0, 0xff, 0xff}) {
		t.Errorf("the packed document does not end with a sync flush: % x", p.Deflate[max(0, len(p.Deflate)-8):])
	}
	// An empty final block ends the stream.
	document, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(p.Deflate), bytes.NewReader([]byte{3, 0}))))
	if err != nil {
		t.Errorf("the packed document is damaged: %v", err)
	}
	if crc32.ChecksumIEEE(document) != p.CRC32 || int64(len(document)) != p.Size {
		t.Errorf("the packed document has %d bytes and the CRC %08x, it says %d and %08x", len(document), crc32.ChecksumIEEE(document), p.Size, p.CRC32)
	}
	return document
}

func projectEvents(t *testing.T, st storage.Storage) {
	with, without := thing{name: "with"}.object(), thing{name: "without"}.object()
	with.Cells, with.Packed = &object.Cells{Columns: "some", Values: []byte(`["with"]`)}, pack(t, with.JSON)
	put(t, st, with, without)
	apply(t, st, recorded(with, "event", 1))
	for _, projection := range []query.Projection{query.Full, query.Metadata, query.Cells, query.KeyOnly} {
		for _, o := range list(t, st, query.Query{Projection: projection, Events: true, Packed: true}) {
			if has := o.Events != nil; has != (o.Name == "with") {
				t.Errorf("projection %d: %s has events: %t", projection, o.Key, has)
			}
		}
		for _, o := range list(t, st, query.Query{Projection: projection}) {
			if o.Events != nil {
				t.Errorf("projection %d: %s has events though nobody asked", projection, o.Key)
			}
		}
	}
}
