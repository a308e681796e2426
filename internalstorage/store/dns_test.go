package store_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpedia.io/internalstorage/store"
	"clusterpedia.io/storage-api/query"
	"clusterpedia.io/storage-api/storage"
)

// TestUnknownHost opens a database on a host that there is not: the error is one line
// that names it and holds no password.
func TestUnknownHost(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"postgres", "mysql"} {
		err := requireUnknown(t, "no-such-host.invalid", map[string]any{
			"type": kind, "host": "no-such-host.invalid", "port": 1, "user": "u", "password": "very-secret", "database": "d",
		})
		require.NotContains(t, err.Error(), "very-secret")
	}
}

func requireUnknown(t *testing.T, host string, config map[string]any) error {
	t.Helper()
	_, err := store.Open(t.Context(), storage.Settings{ConfigPath: "test.yaml", Config: mustJSON(t, config)})
	var unresolved *net.DNSError
	require.ErrorAs(t, err, &unresolved)
	require.Equal(t, host, unresolved.Name)
	require.Regexp(t, "^connect to (postgres|mysql): .*"+regexp.QuoteMeta(host)+".*$", err.Error(), "it is one line")
	return err
}

// lookups answers the questions of a resolver as a name server does: with an address, or
// with a code of failure.
type lookups struct {
	address net.IP
	failure atomic.Int32
}

// The codes of failure of RFC 1035.
const (
	serverFailure = 2
	nameError     = 3
)

// dial is net.Resolver's. What is no packet connection has a length before each message.
func (l *lookups) dial(context.Context, string, string) (net.Conn, error) {
	resolver, server := net.Pipe()
	go func() {
		defer func() { _ = server.Close() }()
		for {
			var length [2]byte
			if _, err := io.ReadFull(server, length[:]); err != nil {
				return // it has its answer
			}
			question := make([]byte, binary.BigEndian.Uint16(length[:]))
			if _, err := io.ReadFull(server, question); err != nil {
				return
			}
			answer := l.answer(question)
			if _, err := server.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil { //nolint:gosec // it is short
				return
			}
		}
	}()
	return resolver, nil
}

func (l *lookups) answer(question []byte) []byte {
	const head, isAnswer, typeA = 12, 0x8180, 1
	end := head
	for question[end] != 0 {
		end += 1 + int(question[end])
	}
	end += 5                            // its zero, type and class
	failure := uint16(l.failure.Load()) //nolint:gosec // it is a code
	found := uint16(0)
	if failure == 0 && binary.BigEndian.Uint16(question[end-4:]) == typeA {
		found = 1
	}
	answer := append([]byte{}, question[:2]...)
	for _, n := range []uint16{isAnswer | failure, 1, found, 0, 0} {
		answer = binary.BigEndian.AppendUint16(answer, n)
	}
	answer = append(answer, question[head:end]...)
	if found > 0 { // the name as in the question, type, class, how long it is true, the address
		answer = append(answer, 0xc0, head, 0, typeA, 0, 1, 0, 0, 0, 0, 0, net.IPv4len)
		answer = append(answer, l.address...)
	}
	return answer
}

// insideVariable is set in the environment of the process in which TestResolver resolves names.
const insideVariable = "TEST_RESOLVER_INSIDE"

// TestResolver has the host of a database unknown while the storage layer starts, and while it
// is at work: that is retryable, and passes. It does so in a process of its own, for all of
// which names are resolved otherwise.
func TestResolver(t *testing.T) {
	t.Parallel()
	for name := range faultyDatabases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn(t, map[string]string{"PostgreSQL": "TEST_POSTGRES_DSN", "MariaDB": "TEST_MYSQL_DSN"}[name])
			if os.Getenv(insideVariable) != "" {
				resolve(t, name)
				return
			}
			program, err := os.Executable()
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			inside := exec.CommandContext(ctx, program, "-test.run=^TestResolver$/^"+name+"$", "-test.v")
			inside.Env = append(os.Environ(), insideVariable+"=1")
			out, err := inside.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Contains(t, string(out), "--- PASS: TestResolver/"+name)
		})
	}
}

func resolve(t *testing.T, name string) {
	t.Helper()
	const host = "database.test"
	f := faultyDatabases()[name](t)
	text := f.config["dsn"].(string)
	at := regexp.MustCompile(`host=(\S+)|tcp\(([^:)]+)`).FindStringSubmatch(text)
	original := at[1] + at[2]
	addresses, err := net.DefaultResolver.LookupIP(t.Context(), "ip4", original)
	require.NoError(t, err)
	names := &lookups{address: addresses[0].To4()}
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: names.dial} // of this process alone
	f.config["dsn"] = strings.Replace(text, original, host, 1)

	st := f.store(t, "")
	w := storage.Writer{Cluster: "c", Epoch: 1}
	apply := func() error { return st.Apply(t.Context(), w, putPods(1)) }
	require.NoError(t, apply())
	for _, failure := range []int32{serverFailure, nameError} {
		names.failure.Store(failure)
		_ = requireUnknown(t, host, f.config)
		f.kill(t)
		for kind, call := range map[string]func() error{
			"apply": apply,
			"list": func() error {
				_, err := st.List(t.Context(), &query.Query{}, func(*storage.Object) error { return nil })
				return err
			},
			"get": func() error { _, err := st.Get(t.Context(), putPods(1)[0].Put.Key); return err },
		} {
			for range 10 { // the first may still meet connections that have ended
				err = call()
				require.True(t, storage.IsRetryable(err), "%s: %v", kind, err)
			}
			require.ErrorContains(t, err, host, kind)
		}
		names.failure.Store(0)
		require.NoError(t, apply())
	}
}
