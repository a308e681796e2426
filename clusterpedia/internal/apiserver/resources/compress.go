package resources

import (
	"bufio"
	"net/http"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	"k8s.io/apiserver/pkg/features"
)

// minCompressed is from how many bytes on an answer is compressed, as in the stock
// handlers.
const minCompressed = 128 << 10

// frameData is how many bytes of data make, with its header of 9 bytes, a frame of HTTP/2
// that fills one record of TLS, which is encrypted and sent on its own. The most that
// frames take would need a second one for the last 9 bytes of each.
const frameData = 16<<10 - 9

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
	if req.ProtoMajor == 2 {
		b.chunk = frameData
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
	answers  *answers
	compress bool
	// ends says that the next piece is the last one.
	ends bool
	// begun says that the client may have got something.
	begun bool
	zip   *gzip.Writer
	// chunk is how many bytes are best written at once; 0 for any.
	chunk int
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
	if b.chunk == 0 {
		return b.to.Write(p)
	}
	written := 0
	for part := range slices.Chunk(p, b.chunk) {
		n, err := b.to.Write(part)
		if written += n; err != nil {
			return written, err
		}
	}
	return written, nil
}
