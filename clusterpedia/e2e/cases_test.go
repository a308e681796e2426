package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A caseOf is a promise to those who come from v0.9, and where it is tested: directories
// of the repository with "Test" or "Test/part". What is missing is said of one that is open.
type caseOf struct {
	number int
	what   string
	tests  []string
	open   string
}

// Directories that many cases are tested in.
const (
	e2eTests   = "clusterpedia/e2e "
	faultTests = "clusterpedia/e2e/fault "
	unitTests  = "clusterpedia/internal/synchro "
	negotiated = "clusterpedia/internal/synchro/negotiation "
	connected  = "clusterpedia/internal/membercluster "
	storeTests = "internalstorage/store "
)

// cases are those of resource synchronization, its custom resources, policies and manifests.
func cases() []caseOf {
	shown := func(number int, what string, tests ...string) caseOf { return caseOf{number, what, tests, ""} }
	return []caseOf{
		shown(1, "names, scope, versions and columns of the definitions", e2eTests+"TestCRDs"),
		shown(2, "columns of kubectl get pediacluster", e2eTests+"TestCRDs"),
		shown(3, "spec.syncResources is required", e2eTests+"TestCRDs/an empty spec", e2eTests+"TestCRDs/null resources"),
		shown(5, "data that is no base64, and null data", e2eTests+"TestCRDs/no base64", e2eTests+"TestCRDs/null data"),
		shown(6, "authenticationFrom needs key and name", e2eTests+"TestCRDs/a token without a key", e2eTests+"TestCRDs/a token without a name"),
		shown(7, "status subresources", e2eTests+"TestCRDs"),
		shown(9, "what a ClusterImportPolicy needs", e2eTests+"TestCRDs/a key twice", e2eTests+"TestCRDs/no condition", e2eTests+"TestCRDs/no source", e2eTests+"TestCRDs/no template", e2eTests+"TestCRDs/no name template"),
		shown(10, "what a PediaClusterLifecycle needs", e2eTests+"TestCRDs/a lifecycle's reference", e2eTests+"TestCRDs/a lifecycle"),
		shown(11, "reasons of conditions", e2eTests+"TestCRDs"),

		shown(13, "all flags and their defaults", e2eTests+"TestFlags", e2eTests+"TestHelpGolden"),
		shown(14, "--version", e2eTests+"TestVersion"),
		shown(15, "--worker-number=0", e2eTests+"TestManagerFlags/--worker-number=0"),
		shown(17, "--resource-synchro-metrics-labels", e2eTests+"TestManagerFlags/--resource-synchro-metrics-labels=foo", e2eTests+"TestMetrics", "clusterpedia/internal/synchromanager TestParseLabels"),
		shown(18, "feature gates", e2eTests+"TestManagerFlags/--feature-gates=NoSuchGate=true", e2eTests+"TestFlags", e2eTests+"TestHelpGolden"),
		shown(19, "names and namespace of leases", e2eTests+"TestManager/shards", "clusterpedia/internal/process TestNamespace"),
		shown(21, "SIGTERM", e2eTests+"TestManager/the end"),
		shown(22, "metrics and profiles", e2eTests+"TestMetrics"),

		shown(23, "a kubeconfig alone", unitTests+"TestNewConnection", connected+"TestConnect/kubeconfig", e2eTests+"TestSQL"),
		shown(25, "certificates of authorities", e2eTests+"TestManager/certificates of authorities"),
		shown(26, "client certificates", connected+"TestConnect/cert", connected+"TestConnect/cert without key", unitTests+"TestInvalidSpecs"),
		shown(27, "no endpoint", connected+"TestConnect/no endpoint", unitTests+"TestInvalidSpecs"),
		shown(29, "credentials from Secrets", connected+"TestConnect/from secret", connected+"TestConnect/from two secrets", connected+"TestConnect/kubeconfig from secret", unitTests+"TestCredentialsFromSecret"),
		shown(30, "Secrets that are missing, and that rotate", e2eTests+"TestManager/least rights, from a Secret, which rotates", unitTests+"TestCredentialsFromSecret"),
		shown(31, "inline credentials win", connected+"TestConnect/inline wins"),
		shown(33, "a proxy", e2eTests+"TestManager/a proxy"),
		shown(34, "commands and files in a kubeconfig", e2eTests+"TestManager/commands and files in a kubeconfig", connected+"TestKubeconfigMustBeSelfContained"),
		shown(35, "read-only rights suffice", e2eTests+"TestManager/least rights, from a Secret, which rotates"),

		shown(37, "a member that is down at creation", unitTests+"TestMemberDownAtCreation"),
		shown(38, "a member without /readyz", connected+"TestHealthAndVersion", unitTests+"TestReadyzMissing"),
		shown(39, "one failed health check, and two", unitTests+"TestFirstFailureIsOnlyTold", unitTests+"TestUnhealthyMemberIsPaused"),
		shown(41, "a health check that hangs", unitTests+"TestHangingHealthCheck"),
		shown(42, "a version that cannot be read", unitTests+"TestVersionFailsWhileHealthy"),
		shown(43, "times of conditions", unitTests+"TestConditionTimes"),
		shown(45, "warnings of unhealthy clusters", "clusterpedia/internal/apiserver/resources TestWarnings", "clusterpedia/internal/apiserver/collections TestWarnings"),

		shown(46, "versions that are chosen", negotiated+"TestNegotiate"),
		shown(47, "the status of a resource", unitTests+"TestSyncs"),
		shown(49, "a member that prefers an older version", negotiated+"TestNegotiate/member prefers v1", e2eTests+"TestManager/kinds that not every version has"),
		shown(50, "singular names, in any case", negotiated+"TestNegotiate/singular, any case"),
		shown(51, "versions of custom resources", negotiated+"TestNegotiate/custom, no versions", negotiated+"TestNegotiate/custom, all versions", negotiated+"TestNegotiate/custom, some versions", negotiated+"TestNegotiate/custom, no such version"),
		shown(53, "all resources", unitTests+"TestInvalidSpecs", negotiated+"TestNegotiate/everything"),
		shown(54, "all custom resources", e2eTests+"TestManager/definitions that come and go", negotiated+"TestNegotiate/all custom resources"),
		shown(55, "all custom resources, without the gate", unitTests+"TestInvalidSpecs"),
		shown(57, "resources that cannot be watched", negotiated+"TestNegotiate/cannot be watched"),
		shown(58, "no leases", negotiated+"TestNegotiate/no leases"),
		shown(59, "ClusterSyncResources", unitTests+"TestSharedSelection", unitTests+"TestSharedSelectionAcrossRestart"),
		shown(61, "wildcards meet later definitions", e2eTests+"TestManager/definitions that come and go"),
		shown(62, "aggregated APIs that come and go", e2eTests+"TestAggregatedAPI"),
		shown(63, "discovery that fails", faultTests+"TestMember/discovery fails", unitTests+"TestDiscoveryFailuresRemoveNothing"),
		shown(65, "kinds that not every version has", e2eTests+"TestManager/kinds that not every version has"),

		shown(66, "changes arrive", unitTests+"TestSyncs", e2eTests+"TestSQL"),
		shown(67, "what is pruned", "clusterpedia/internal/synchro/document TestRewrite/prunes", "clusterpedia/internal/synchro/document TestRewrite/prunes nothing"),
		shown(69, "changes that meet in the queue", "clusterpedia/internal/synchro/writer TestCoalesces", "clusterpedia/internal/synchro/writer TestNew"),
		shown(70, "an object that is made again", unitTests+"TestSyncs", faultTests+"TestManager/killed at random"),
		shown(71, "a restart writes only differences", unitTests+"TestRestartWritesOnlyDifferences", "clusterpedia/e2e/syncbench BenchmarkNothingChanged"),
		shown(73, "an object that is refused", unitTests+"TestRejectedObjectIsStoredLater", "clusterpedia/internal/synchromanager TestTelemetry"),
		shown(74, "errors of databases that pass", "internalstorage/dialect TestClassifyMySQL", "internalstorage/dialect TestClassifyPostgres", "internalstorage/dialect TestClassifySQLite",
			storeTests+"TestFaults", storeTests+"TestServerFaults", storeTests+"TestSQLiteFaults", storeTests+"TestResolver", faultTests+"TestStorage/one statement in ten fails"),
		shown(75, "etcd restored", faultTests+"TestMember/etcd restored", unitTests+"TestMemberRestoredFromBackup"),
		shown(77, "opaque versions", unitTests+"TestVersions/opaque versions", e2eTests+"TestAggregatedAPI"),
		shown(78, "pages", "clusterpedia/internal/synchro/reflector TestReflector", faultTests+"TestMember/pages expire"),
		shown(79, "pages that expire", faultTests+"TestMember/pages expire"),
		shown(81, "initialListPhase", unitTests+"TestInitialListPhase"),
		shown(82, "a list that is forbidden", unitTests+"TestForbiddenResource"),
		shown(83, "two clusters with the same names", e2eTests+"TestSQL"),

		shown(85, "unselected while the manager is down", unitTests+"TestUnselectedWhileStopped"),
		shown(86, "nothing selected", unitTests+"TestSelectionChanges"),
		shown(87, "a PediaCluster deleted", unitTests+"TestDeletion"),
		shown(89, "deleted while the member is down", unitTests+"TestDeletionWhileMemberIsDown"),
		shown(90, "the finalizer removed by force", unitTests+"TestForcedDeletion", e2eTests+"TestManager/a finalizer that is removed by force"),
		shown(91, "shards", e2eTests+"TestManager/shards", unitTests+"TestHandOver"),
		shown(93, "a cluster that another shard has", unitTests+"TestSharding"),

		shown(94, "events of objects", e2eTests+"TestSearch/events", unitTests+"TestEvents", unitTests+"TestEventsAfterRestart"),
		{95, "kube-state-metrics", []string{e2eTests + "TestManagerFlags/--enable-kube-state-metrics"}, "the manager does not offer them, and says so"},

		shown(97, "a source that goes, or is not selected any more", e2eTests+"TestPolicyImport"),
		shown(98, "templates that cannot be parsed", e2eTests+"TestPolicies/invalid templates"),
		shown(99, "a source resource that comes later", e2eTests+"TestPolicyImport"),
		shown(101, "chains of references", e2eTests+"TestPolicyImport"),
		shown(102, "what a template renders", e2eTests+"TestPolicies/what a template renders arrives as it is"),
		shown(103, "creationCondition", e2eTests+"TestPolicyImport", "clusterpedia/internal/controllers/templates TestIsTrue"),
		shown(105, "a PediaCluster that was there", e2eTests+"TestPolicies/a PediaCluster that was there"),
		shown(106, "owners and finalizers", e2eTests+"TestPolicyImport"),
		shown(107, "a PediaCluster deleted by hand", e2eTests+"TestPolicyImport"),
		shown(109, "a template that fails", e2eTests+"TestPolicies/a template that fails deletes nothing"),
		shown(110, "one source for two policies", e2eTests+"TestPolicies/one source for one policy"),
		shown(111, "sample policies", e2eTests+"TestPolicySamples"),

		shown(113, "manifests", e2eTests+"TestChartGolden", e2eTests+"TestChart"),
		shown(114, "the Helm chart of v0.9 with these images: its commands, flags and environment", e2eTests+"TestClassicChart", e2eTests+"TestImageServes"),
		shown(115, "scripts for kubeconfigs", e2eTests+"TestClusterConfigs"),
		shown(117, "storage plugins of others", e2eTests+"TestAuthor", e2eTests+"TestRedis"),
		shown(118, "the end-to-end test of v0.9, by what it does", e2eTests+"TestWorkable"),
		shown(119, "a database of v0.9", storeTests+"TestAdopt"),
	}
}

// TestCases checks that the tests of all cases exist, by their names.
func TestCases(t *testing.T) {
	t.Parallel()
	sources := map[string]string{}
	source := func(dir string) string {
		if _, ok := sources[dir]; !ok {
			files, err := filepath.Glob(filepath.Join(shared.root, dir, "*_test.go"))
			require.NoError(t, err)
			require.NotEmpty(t, files, dir)
			for _, file := range files {
				if filepath.Base(file) == "cases_test.go" {
					continue
				}
				text, err := os.ReadFile(file)
				require.NoError(t, err)
				sources[dir] += string(text)
			}
		}
		return sources[dir]
	}
	last, open := 0, 0
	for _, c := range cases() {
		require.Greater(t, c.number, last, "in order, each once")
		last = c.number
		if c.open != "" {
			open++
			t.Logf("case %d, %s, is open: %s", c.number, c.what, c.open)
		}
		require.NotEmpty(t, c.tests, c.number)
		for _, name := range c.tests {
			dir, test, ok := strings.Cut(name, " ")
			require.True(t, ok, name)
			test, part, _ := strings.Cut(test, "/")
			require.Contains(t, source(dir), "\nfunc "+test+"(", "case %d", c.number)
			if part != "" {
				require.Contains(t, source(dir), strconv.Quote(part), "case %d", c.number)
			}
		}
	}
	t.Logf("%d cases, of which %d are open", len(cases()), open)
}
