package conformance

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// contract are the numbers of the contract's section 12. Those that are left out there stand
// for second requests of the one before.
func contract() []int {
	return []int{
		1, 3, 4, 5, 7, 8, 9, 11, 12, 13, 15, 16, 17, 19, 20, 21, 23, 24, 25, 27, // discovery and routing
		28, 29, 31, 32, 33, 35, 36, 37, 39, 40, 41, 43, 44, 45, 47, 48, 49, 51, 52, 53, 55, 56, 57, 59, 60, 61, 63, // get and list
		64, 65, 67, 68, 69, 71, 72, 73, 75, 76, 77, 79, 80, 81, 83, 84, 85, 87, 88, 89, // filters
		91, 92, 93, 95, 96, 97, 99, 100, 101, 103, 104, 105, 107, 108, 109, 111, 112, 113, 115, // order and pages
		116, 117, 119, 120, 121, 123, 124, 125, 127, 128, // field selectors
		129, 131, 132, 133, 135, 136, 137, 139, // owners, events
		140, 141, 143, 144, 145, 147, 148, 149, 151, 152, 153, 155, 156, 157, 159, // collections
		160, 161, 163, 164, 165, 167, 168, 169, 171, 172, 173, // conditions in SQL, authorization
		175, 176, 177, 179, 180, 181, 183, 184, 185, 187, 188, 189, // members
		191, 192, 193, 195, 196, 197, 199, 200, // memory
		201, 203, 204, 205, 207, 208, 209, 211, 212, // configuration
		213, 215, 216, 217, 219, 220, // what storage layers do
	}
}

// elsewhere are the numbers that have no case, by the file, from the root of the repository,
// and the test in it that stands for them.
func elsewhere() map[int][2]string {
	const here, storagetest = "clusterpedia/e2e/conformance/", "storage-api/storagetest/"
	return map[int][2]string{
		63:  {here + "kubectl_test.go", "func TestKubectl("},
		199: {here + "writes_test.go", "func TestWatchTimeout("},
		211: {here + "schema_test.go", "func TestSchema("},
		213: {storagetest + "apply.go", `"twice is the same as once"`},
		215: {storagetest + "get.go", `"a deleted object is gone"`},
		216: {storagetest + "get.go", `"a deleted object is gone"`},
		217: {here + "writes_test.go", "func TestDeletionTime("},
		219: {storagetest + "versions.go", `"content and order"`},
		220: {"internalstorage/dialect/classify_test.go", "func TestClassifyMySQL("},
	}
}

// TestContract finds a test for each number of the contract's section 12, and no case with a
// number that is not there.
func TestContract(t *testing.T) {
	t.Parallel()
	tested := map[int]bool{}
	count := func(name, pending string) {
		if number, err := strconv.Atoi(strings.SplitN(name, "-", 2)[0]); err == nil && pending == "" {
			tested[number] = true
		}
	}
	files, err := readCases("testdata/cases")
	require.NoError(t, err)
	for _, f := range files {
		for _, c := range f.cases {
			count(c.Case, c.Pending)
		}
	}
	text, err := os.ReadFile(filepath.Join("testdata", "start.yaml"))
	require.NoError(t, err)
	var starts []Start
	require.NoError(t, yaml.UnmarshalStrict(text, &starts))
	for _, s := range starts {
		count(s.Case, s.Pending)
	}
	for number, test := range elsewhere() {
		text, err := os.ReadFile(filepath.Join("..", "..", "..", filepath.FromSlash(test[0])))
		require.NoError(t, err)
		require.Contains(t, string(text), test[1], "case %d", number)
		require.False(t, tested[number], "case %d has cases of its own by now", number)
		tested[number] = true
	}
	for _, number := range contract() {
		require.True(t, tested[number], "case %d of the contract has no test", number)
		delete(tested, number)
	}
	require.Empty(t, tested, "numbers that the contract does not have")
}
