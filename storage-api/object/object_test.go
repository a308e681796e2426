package object_test

import (
	"encoding/json"
	"testing"

	"clusterpedia.io/storage-api/object"
)

func TestString(t *testing.T) {
	t.Parallel()
	apps := object.Resource{Group: "apps", Version: "v1", Resource: "deployments"}
	core := object.Resource{Version: "v1", Resource: "nodes"}
	for want, got := range map[string]string{
		"apps/v1/deployments":                apps.String(),
		"v1/nodes":                           core.String(),
		"tokyo apps/v1/deployments shop/web": object.Key{Cluster: "tokyo", Resource: apps, Namespace: "shop", Name: "web"}.String(),
		"tokyo v1/nodes node-1":              object.Key{Cluster: "tokyo", Resource: core, Name: "node-1"}.String(),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	base := object.Key{Cluster: "c", Resource: object.Resource{Group: "g", Version: "v", Resource: "r"}, Namespace: "s", Name: "n"}
	// In the order of their weight: each key sorts behind the next.
	changes := []func(*object.Key){
		func(k *object.Key) { k.Group = "h" },
		func(k *object.Key) { k.Version = "w" },
		func(k *object.Key) { k.Resource.Resource = "s" },
		func(k *object.Key) { k.Cluster = "d" },
		func(k *object.Key) { k.Namespace = "t" },
		func(k *object.Key) { k.Name = "o" },
		func(*object.Key) {},
	}
	var last object.Key
	for i, change := range changes {
		k := base
		change(&k)
		if same := k; k.Compare(same) != 0 {
			t.Errorf("%s is not equal to itself", k)
		}
		if i > 0 && (k.Compare(last) >= 0 || last.Compare(k) <= 0) {
			t.Errorf("%s is not before %s", k, last)
		}
		last = k
	}
}

// Continue tokens hold keys as JSON: its form is part of the contract.
func TestKeyJSON(t *testing.T) {
	t.Parallel()
	key := object.Key{Cluster: "c", Resource: object.Resource{Group: "g", Version: "v", Resource: "r"}, Namespace: "s", Name: "n"}
	text, err := json.Marshal(key)
	if want := `{"cluster":"c","group":"g","version":"v","resource":"r","namespace":"s","name":"n"}`; err != nil || string(text) != want {
		t.Errorf("got %s, %v, want %s", text, err, want)
	}
	var back object.Key
	if err := json.Unmarshal(text, &back); err != nil || back != key {
		t.Errorf("got %+v, %v", back, err)
	}
}
