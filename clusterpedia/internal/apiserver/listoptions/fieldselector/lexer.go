package fieldselector

import "strings"

// kind tells tokens apart.
type kind int

const (
	end kind = iota
	// word is a path, a value, or one of the operators in and notin: the parser
	// knows by its place which.
	word
	comma
	opening
	closing
	not
	equal
	doubleEqual
	notEqual
	greater
	less
)

// token is a piece of a selector. Its text is what the client wrote, empty at the
// end.
type token struct {
	kind kind
	text string
}

// symbols are the tokens that are no words, longer ones before those they begin
// with.
func symbols() []token {
	return []token{
		{doubleEqual, "=="},
		{notEqual, "!="},
		{equal, "="},
		{not, "!"},
		{greater, ">"},
		{less, "<"},
		{opening, "("},
		{closing, ")"},
		{comma, ","},
	}
}

const (
	blanks   = " \t\r\n"
	specials = "=!(),><"
)

// lex cuts a selector into tokens. The last one is end.
func lex(selector string) []token {
	var tokens []token
	symbols := symbols()
	for rest := strings.TrimLeft(selector, blanks); rest != ""; rest = strings.TrimLeft(rest, blanks) {
		next := lexOne(rest, symbols)
		tokens = append(tokens, next)
		rest = rest[len(next.text):]
	}
	return append(tokens, token{})
}

// lexOne returns the token that a text, neither empty nor beginning with a
// blank, begins with.
func lexOne(rest string, symbols []token) token {
	for _, symbol := range symbols {
		if strings.HasPrefix(rest, symbol.text) {
			return symbol
		}
	}
	if length := strings.IndexAny(rest, blanks+specials); length > 0 {
		return token{word, rest[:length]}
	}
	return token{word, rest}
}
