package storageplugin

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/storage-api/storage"
)

func openNothing(context.Context, storage.Settings) (storage.Storage, error) { return nil, nil }

func TestRegistryAdd(t *testing.T) {
	t.Parallel()
	gate := storage.Gate{Name: "Feature", Stage: "ALPHA"}
	cases := map[string]struct {
		driver storage.Driver
		err    string
	}{
		"another":         {driver: storage.Driver{Name: "two", Open: openNothing}},
		"taken":           {driver: storage.Driver{Name: "one", Open: openNothing}, err: `storage name "one" of b.so is already taken by a.so; remove one of both`},
		"no name":         {driver: storage.Driver{Open: openNothing}, err: "set Name and Open of storage.Driver"},
		"no function":     {driver: storage.Driver{Name: "two"}, err: "set Name and Open of storage.Driver"},
		"same gate":       {driver: storage.Driver{Name: "two", Open: openNothing, Gates: []storage.Gate{gate}}},
		"gate, otherwise": {driver: storage.Driver{Name: "two", Open: openNothing, Gates: []storage.Gate{{Name: "Feature", Default: true}}}, err: "feature gate Feature is defined otherwise by storage two (b.so) than by storage one (a.so)"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &Registry{}
			require.NoError(t, r.add("a.so", []storage.Driver{{Name: "one", Open: openNothing, Gates: []storage.Gate{gate}}}))
			err := r.add("b.so", []storage.Driver{tc.driver})
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			require.Len(t, r.Drivers(), 2)
			require.Equal(t, []storage.Gate{gate}, r.Gates())
		})
	}
}

func TestRegistryOpen(t *testing.T) {
	t.Parallel()
	var got storage.Settings
	r := &Registry{log: slog.New(slog.DiscardHandler)}
	require.NoError(t, r.add("", []storage.Driver{
		{
			Name: "one", Gates: []storage.Gate{{Name: "A"}, {Name: "B", Default: true}, {Name: "C", Default: true}},
			Open: func(_ context.Context, s storage.Settings) (storage.Storage, error) {
				got = s
				return nil, errors.New("host: not resolvable")
			},
		},
		{Name: "nothing", Open: openNothing},
	}))
	_, err := r.Open(t.Context(), "one", storage.Settings{Component: "test", Gates: map[string]bool{"A": true, "B": false, "Other": true}})
	require.EqualError(t, err, "open storage one: host: not resolvable")
	require.Equal(t, "test", got.Component)
	require.Equal(t, map[string]bool{"A": true, "B": false, "C": true}, got.Gates)
	require.NotNil(t, got.Logger)

	_, err = r.Open(t.Context(), "nothing", storage.Settings{})
	require.EqualError(t, err, "open storage nothing: compiled in returned neither a storage layer nor an error")
}

func TestUnregistered(t *testing.T) {
	t.Parallel()
	r := &Registry{}
	_, err := r.Driver("redis")
	require.EqualError(t, err, "storage redis is unregistered; no plugin is loaded: put one into /usr/local/lib/clusterpedia/plugins, "+
		"or into plugins/ beside this program, or name it in STORAGE_PLUGINS")

	require.NoError(t, r.add("", []storage.Driver{{Name: "one", Open: openNothing}}))
	require.NoError(t, r.add("/p/two.so", []storage.Driver{{Name: "two", Open: openNothing}}))
	r.ignored = []Ignored{
		{Path: "/p/README", Why: "its name does not end in .so"},
		{Path: "/p/redis_v1.0.0.so", Why: "it is for version v1.0.0, this is v2.0.0", Misfit: true},
	}
	_, err = r.Open(t.Context(), "redis", storage.Settings{})
	require.EqualError(t, err, "storage redis is unregistered; registered are: one (compiled in), two (/p/two.so); "+
		"not opened were: /p/redis_v1.0.0.so (it is for version v1.0.0, this is v2.0.0)")
}
