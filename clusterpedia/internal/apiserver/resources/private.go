package resources

import "net/http"

// private is a response that depends on its caller: no cache may give it to another one,
// whatever the handler that writes it says. Clients may keep it and ask whether it still holds.
type private struct{ http.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w private) WriteHeader(code int) {
	w.Header().Set("Cache-Control", "no-cache, private")
	w.ResponseWriter.WriteHeader(code)
}

// Unwrap is what an http.ResponseController asks for.
func (w private) Unwrap() http.ResponseWriter { return w.ResponseWriter }
