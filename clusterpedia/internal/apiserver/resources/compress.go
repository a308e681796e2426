package resources

import (
	"bufio"
	"net/http"
	"sync"

	"github.com/klauspost/compress/gzip"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/features"

	"clusterpedia.io/clusterpedia/internal/apiserver/cork"
)

// minCompressed is from how many bytes on an answer is compressed, as in the stock
// handlers.
const minCompressed = 128 << 10

// record is how many bytes a record of TLS has at most.
const record = 16 << 10

// answers holds what answers are written with, for the next ones.
type answers struct{ buffers, compressors sync.Pool }

// answer is the body of an answer. It is compressed if it is long and the client takes
// gzip.
type answer struct {
	*bufio.Writer
	answers *answers
	body    *body
}

func (a *answers) answer(w http.ResponseWriter, req *http.Request) *answer {
	b := &body{to: w, answers: a, compress: responsewriters.ContentEncodingSupported(req, features.APIResponseCompression) == "gzip"}
	if req.ProtoAtLeast(1, 1) {
		// HTTP/1.0 ends an answer by closing the connection, which leaves TLS five seconds to
		// send what is held back.
		b.conn = cork.Of(req.Context())
	}
	buffer, ok := a.buffers.Get().(*bufio.Writer)
	if !ok {
		buffer = bufio.NewWriterSize(nil, minCompressed)
	}
	buffer.Reset(b)
	return &answer{Writer: buffer, answers: a, body: b}
}

// close ends the answer.
func (a *answer) close() error {
	a.body.ends = true
	err := a.Flush()
	if a.body.zip != nil {
		if closed := a.body.zip.Close(); err == nil {
			err = closed
		}
	}
	a.free()
	return err
}

// free gives back what the answer was written with.
func (a *answer) free() {
	a.Reset(nil)
	a.answers.buffers.Put(a.Writer)
	if a.body.zip != nil {
		a.answers.compressors.Put(a.body.zip)
	}
}

// body gets an answer in pieces of minCompressed bytes, but for the last one.
type body struct {
	to       http.ResponseWriter
	conn     *cork.Conn
	answers  *answers
	compress bool
	// ends says that the next piece is the last one.
	ends bool
	// begun says that the client may have got something.
	begun bool
	zip   *gzip.Writer
}

// Write implements io.Writer.
func (b *body) Write(p []byte) (int, error) {
	b.begun = true
	if b.zip == nil && b.compress && !b.ends {
		zip, ok := b.answers.compressors.Get().(*gzip.Writer)
		if !ok {
			// The level is valid.
			zip, _ = gzip.NewWriterLevel(nil, gzip.BestSpeed)
		}
		zip.Reset(b.to)
		b.zip = zip
		b.to.Header().Set("Content-Encoding", "gzip")
		b.to.Header().Add("Vary", "Accept-Encoding")
	}
	b.compress = b.zip != nil
	if b.zip != nil {
		return b.zip.Write(p)
	}
	if len(p) > record {
		b.conn.Cork()
		defer b.conn.Uncork()
	}
	return b.to.Write(p)
}
