package fault

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
)

// retryableStates are SQLSTATEs of failures that pass: serialization failure, deadlock,
// too many connections, out of memory, shutdown, crash, cannot connect now, read only, I/O error.
func retryableStates() []string {
	return []string{"40001", "40P01", "53300", "53200", "57P01", "57P02", "57P03", "25006", "58030"}
}

// forwardPostgres copies what a client of PostgreSQL sends, message by message. What is sent
// until a Sync, or a simple query, is one statement here.
func (f *failures) forwardPostgres(client io.Reader, server io.Writer, cut func()) error {
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
			if gone, err := f.send(server, statement.Bytes(), raise, cut); gone || err != nil {
				return err
			}
			statement.Reset()
			continue
		}
		if _, err := statement.WriteTo(server); err != nil {
			return err
		}
	}
}

// raise is a simple query that fails.
func raise() []byte {
	states := retryableStates()
	query := fmt.Appendf(nil, "Q\x00\x00\x00\x00DO $$ BEGIN RAISE EXCEPTION 'this is a fault' USING ERRCODE = '%s'; END $$\x00", states[rand.N(len(states))])
	binary.BigEndian.PutUint32(query[1:], uint32(len(query)-1)) //nolint:gosec // it is short
	return query
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
