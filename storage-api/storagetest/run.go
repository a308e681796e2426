package storagetest

import (
	"context"
	"testing"

	"clusterpedia.io/storage-api/storage"
)

// Open opens a storage layer for one sub-test: empty, and shared with no other.
// It ends the test if that fails. The suite closes what it gets; whatever else is
// to be released Open hands to t.Cleanup, which runs later.
type Open func(t testing.TB) storage.Storage

// Options declare what a storage layer can do beyond what the contract demands of
// each. What is not declared is skipped. The optional interfaces of package
// storage need no declaration.
type Options struct {
	// Reopen closes s, which came from Open or Reopen, and opens the same data
	// again. Nil for a storage layer that forgets when it is closed.
	Reopen func(t testing.TB, s storage.Storage) storage.Storage
	// Packed says that the storage layer keeps Object.Packed and gives it to who
	// asks for it.
	Packed bool
	// Cells says that the storage layer keeps Object.Cells and gives it to who
	// asks for it.
	Cells bool
}

// suite is what each concern's tests are given.
type suite struct {
	open Open
	Options
}

// concern is one file of tests.
type concern struct {
	name string
	run  func(*testing.T, suite)
}

func concerns() []concern {
	return []concern{
		{"Get", testGet},
		{"Apply", testApply},
		{"Key", testKey},
		{"Text", testText},
		{"Filter", testFilter},
		{"Random", testRandom},
		{"Order", testOrder},
		{"Project", testProject},
		{"Events", testEvents},
		{"Page", testPage},
		{"Churn", testChurn},
		{"Invalid", testInvalid},
		{"Versions", testVersions},
		{"Purge", testPurge},
		{"Fence", testFence},
		{"Context", testContext},
		{"Concurrent", testConcurrent},
		{"Reopen", testReopen},
		{"Optional", testOptional},
	}
}

// Run checks that the storage layer that open opens keeps the contract. All
// sub-tests are parallel; go test's -parallel bounds how many storage layers are
// open at once.
func Run(t *testing.T, open Open, options Options) {
	s := suite{open, options}
	for _, c := range concerns() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, s)
		})
	}
}

// test is one sub-test with a storage of its own.
type test struct {
	name string
	run  func(*testing.T, storage.Storage)
}

// each runs the tests, in parallel.
func (s suite) each(t *testing.T, tests []test) {
	for _, x := range tests {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			x.run(t, s.start(t))
		})
	}
}

// start opens a storage that is closed when the test ends.
func (s suite) start(t testing.TB) storage.Storage {
	t.Helper()
	st := s.open(t)
	t.Cleanup(func() { closeStorage(t, st) })
	return st
}

func closeStorage(t testing.TB, st storage.Storage) {
	t.Helper()
	if err := st.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("close: %v", err)
	}
}
