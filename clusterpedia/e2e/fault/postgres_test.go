package fault

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"
)

// failures are what becomes of some of the statements that pass a proxy in front of
// PostgreSQL.
type failures struct {
	// oneIn is the share of the statements that fail: 10 is one in ten. 0: none.
	oneIn atomic.Int64

	passed atomic.Int64
	// answered failed with an error of the server; cutBefore lost the connection before
	// the statement, cutBehind after it, so that nobody knows what became of it.
	answered, cutBefore, cutBehind atomic.Int64
}

// retryableStates are SQLSTATEs of failures that pass: serialization failure, deadlock,
// too many connections, out of memory, shutdown, cannot connect now, read only, I/O error.
func retryableStates() []string {
	return []string{"40001", "40P01", "53300", "53200", "57P01", "57P03", "25006", "58030"}
}

// commitDelay is how long a statement has after which the connection is cut.
const commitDelay = 50 * time.Millisecond

// forward copies what a client of PostgreSQL sends, message by message. What is sent
// until a Sync, or a simple query, is one statement here. In place of one that is to
// fail it sends a statement that fails in the server: so a transaction is
// aborted just as by a real failure.
func (f *failures) forward(client io.Reader, server io.Writer, cut func()) error {
	if err := forwardStartup(client, server); err != nil {
		return err
	}
	var statement bytes.Buffer
	for {
		kind, err := copyMessage(client, &statement)
		if err != nil {
			return err
		}
		switch kind {
		case 'P', 'B', 'D', 'E', 'C': // parse, bind, describe, execute, close
			continue
		case 'S', 'Q':
			if f.fails(statement.Bytes()) {
				switch n := rand.N(10); n {
				case 0:
					f.cutBefore.Add(1)
					cut()
					return nil
				case 1:
					f.cutBehind.Add(1)
					_, err := statement.WriteTo(server)
					if err == nil {
						err = sleep(context.Background(), commitDelay)
					}
					cut()
					return err
				}
				f.answered.Add(1)
				statement.Reset()
				states := retryableStates()
				fmt.Fprintf(&statement, "Q\x00\x00\x00\x00DO $$ BEGIN RAISE EXCEPTION 'this is a fault' USING ERRCODE = '%s'; END $$\x00", states[rand.N(len(states))])
				binary.BigEndian.PutUint32(statement.Bytes()[1:], uint32(statement.Len()-1)) //nolint:gosec // it is short
			} else {
				f.passed.Add(1)
			}
		}
		if _, err := statement.WriteTo(server); err != nil {
			return err
		}
	}
}

func (f *failures) fails(statement []byte) bool {
	n := f.oneIn.Load()
	// A driver that cannot roll back closes the connection, which is another fault.
	return n > 0 && rand.N(n) == 0 && !strings.Contains(strings.ToLower(string(statement)), "rollback")
}

// forwardStartup copies the messages without a type that begin a connection.
func forwardStartup(client io.Reader, server io.Writer) error {
	for {
		var head [8]byte
		if _, err := io.ReadFull(client, head[:]); err != nil {
			return err
		}
		if _, err := server.Write(head[:]); err != nil {
			return err
		}
		if _, err := io.CopyN(server, client, int64(binary.BigEndian.Uint32(head[:]))-int64(len(head))); err != nil {
			return err
		}
		const wantsTLS, wantsGSS = 80877103, 80877104
		if code := binary.BigEndian.Uint32(head[4:]); code != wantsTLS && code != wantsGSS {
			return nil
		}
	}
}

// copyMessage copies one message, and returns its type.
func copyMessage(from io.Reader, to io.Writer) (kind byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return 0, err
	}
	if _, err := to.Write(head[:]); err != nil {
		return 0, err
	}
	_, err = io.CopyN(to, from, int64(binary.BigEndian.Uint32(head[1:]))-4)
	return head[0], err
}
