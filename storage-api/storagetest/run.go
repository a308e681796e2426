package storagetest

import (
	"context"
	"strings"
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
	// ExactVersion says that Page.Version is the very point that the page shows, so
	// that a watch from there gives nothing that the page shows already.
	ExactVersion bool
	// Skip has, for tests that a stand-in of a server cannot show, the reason, which
	// is printed. Its keys are names of tests below that of Run, such as "Concurrent"
	// or "Filter/owners", and stand for all of their sub-tests. A storage layer skips
	// none on the servers that it is made for.
	Skip map[string]string
}

// suite is what each concern's tests are given.
type suite struct {
	open Open
	Options
	// root is the name of the test that called Run.
	root string
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
		{"Watch", testWatch},
	}
}

// Run checks that the storage layer that open opens keeps the contract. All
// sub-tests are parallel; go test's -parallel bounds how many storage layers are
// open at once.
func Run(t *testing.T, open Open, options Options) {
	s := suite{open, options, t.Name()}
	for _, c := range concerns() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s.skip(t)
			c.run(t, s)
		})
	}
}

// skip skips the test if the options say so of it, or of one that it is part of.
func (s suite) skip(t testing.TB) {
	t.Helper()
	name := strings.TrimPrefix(t.Name(), s.root+"/")
	for part, reason := range s.Skip {
		if name == part || strings.HasPrefix(name, part+"/") {
			t.Skip(reason)
		}
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
	s.skip(t)
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
