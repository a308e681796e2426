package listoptions

import (
	"errors"
	"math"
	"strconv"

	v1beta1 "clusterpedia.io/api/clusterpedia/v1beta1"
)

// maxNumber bounds limit and offset so that their sum is a number too.
const maxNumber = math.MaxInt64 / 2

// page sets where the answer begins and ends. A continue that is a decimal number
// counts objects, any other is a token of the storage layer. Numbers below zero
// stand for zero.
func (p *parser) page() error {
	q := p.query
	q.Limit = min(max(p.limit, 0), maxNumber)
	if p.continueText == "" {
		p.decimalContinue = isTrue(p.withContinue)
		return nil
	}
	n, err := strconv.ParseInt(p.continueText, 10, 64)
	switch {
	case err == nil:
	case len(p.labels[v1beta1.SearchLabelOffset]) > 0:
		// The label asks for a number, also where the URL gives it.
		return invalid("Invalid Query Offset(%s): %v", p.continueText, err)
	case errors.Is(err, strconv.ErrRange):
		// n is the nearest number, which skips as much: all or nothing.
	default:
		q.Continue = p.continueText
		return nil
	}
	q.Offset = min(max(n, 0), maxNumber)
	p.decimalContinue = true
	return nil
}
