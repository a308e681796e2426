package process

import (
	"fmt"

	"k8s.io/component-base/featuregate"

	"clusterpedia.io/storage-api/storage"
)

// AddGates adds the feature gates of storage layers to those of a program. A gate
// that the program has already is an error.
func AddGates(gate featuregate.MutableFeatureGate, added []storage.Gate) error {
	specs := map[featuregate.Feature]featuregate.FeatureSpec{}
	known := gate.GetAll()
	for _, g := range added {
		name := featuregate.Feature(g.Name)
		if _, ok := known[name]; ok {
			return fmt.Errorf("a storage layer adds the feature gate %s, which this program has already", g.Name)
		}
		stages := map[string]featuregate.FeatureSpec{
			"":      {PreRelease: featuregate.GA},
			"BETA":  {PreRelease: featuregate.Beta},
			"ALPHA": {PreRelease: featuregate.Alpha},
		}
		spec, ok := stages[g.Stage]
		if !ok {
			return fmt.Errorf("a storage layer adds the feature gate %s with the unknown stage %q", g.Name, g.Stage)
		}
		spec.Default = g.Default
		specs[name] = spec
	}
	return gate.Add(specs)
}

// gateStates returns the state of a storage layer's gates.
func gateStates(gate featuregate.FeatureGate, gates []storage.Gate) map[string]bool {
	states := make(map[string]bool, len(gates))
	for _, g := range gates {
		states[g.Name] = gate.Enabled(featuregate.Feature(g.Name))
	}
	return states
}
