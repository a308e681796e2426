package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func small() Fleet {
	return Fleet{Seed: 1, Clusters: 2, Namespaces: 5, Apps: 40, App: App{ReplicaSets: 1, Pods: 5, Services: 1, ConfigMaps: 1, Secrets: 1, Slices: 1}}
}

// The same fleet gives the same bytes, on every machine and in every release: results
// are compared over time.
func TestSame(t *testing.T) {
	t.Parallel()
	sum, n := sha256.New(), 0
	for o := range small().All() {
		s, err := o.Stored()
		require.NoError(t, err)
		sum.Write(s.JSON)
		n++
	}
	require.Equal(t, small().Size(), n)
	require.Equal(t, "4cbb37b5a24598a1494b567a4e7392b3717eca547c5847e06da496586d01ae16", hex.EncodeToString(sum.Sum(nil)), "results of before cannot be compared any more: say so in docs/benchmarks.md")
}

func TestPods(t *testing.T) {
	t.Parallel()
	f := small()
	sum, least, most, pods := 0, 1<<20, 0, 0
	member := 0
	keys := map[string]bool{}
	uids := map[string]bool{}
	for o := range f.All() {
		s, err := o.Stored()
		require.NoError(t, err)
		require.False(t, keys[s.Key.String()], s.Key)
		require.False(t, uids[s.UID])
		keys[s.Key.String()], uids[s.UID] = true, true
		require.True(t, json.Valid(s.JSON))
		if o.Kind != "Pod" {
			continue
		}
		require.True(t, uids[s.Controller], "the owner came before")
		size := len(s.JSON)
		sum, least, most, pods = sum+size, min(least, size), max(most, size), pods+1
		text, err := o.Member()
		require.NoError(t, err)
		require.True(t, json.Valid(text))
		member += len(text)
		again, err := o.Stored()
		require.NoError(t, err)
		require.Equal(t, string(s.JSON), string(again.JSON))
	}
	require.Equal(t, f.Pods(), pods)
	require.InDelta(t, 6500, sum/pods, 300)
	require.Greater(t, least, 4500)
	require.Less(t, most, 10*1024)
	require.InDelta(t, 10_000, member/pods, 2000)
}
