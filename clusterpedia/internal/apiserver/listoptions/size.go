package listoptions

// What one search may ask for. Databases bind a limited number of values to a statement,
// of which SQLite has the fewest with 32766, and nest conditions to a limited depth.
const (
	maxValues       = 10000
	maxRequirements = 256
	// maxAlternatives bounds what becomes a condition each, and not a value of one.
	maxAlternatives = 256
	// MaxSelector bounds a label or field selector in bytes, before it is parsed.
	MaxSelector = 256 << 10
)

// size refuses searches that no database could bear.
func (p *parser) size() error {
	q := p.query
	if n := len(q.Labels) + len(q.Fields); n > maxRequirements {
		return invalid("labelSelector and fieldSelector have %d requirements, a search may have %d", n, maxRequirements)
	}
	if n := max(len(q.Types), len(q.NameContains)); n > maxAlternatives {
		return invalid("the search has %d types or parts of names, it may have %d", n, maxAlternatives)
	}
	values := len(q.Types) + len(q.Clusters) + len(q.Namespaces) + len(q.Names) + len(q.NameContains)
	for _, r := range q.Labels {
		values += len(r.Values)
	}
	for _, r := range q.Fields {
		values += len(r.Values)
	}
	if values > maxValues {
		return invalid("the search has %d names and values, it may have %d", values, maxValues)
	}
	return nil
}
