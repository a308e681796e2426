package templates

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var data = Data{
	Source: map[string]any{
		"metadata": map[string]any{"name": "a", "labels": map[string]any{"import": "yes"}},
		"data":     map[string]any{"token": "ab+/c==", "json": `{"a":"<'b'>"}`},
	},
	References: map[string]any{"secret": map[string]any{"metadata": map[string]any{"name": "s"}}},
}

func TestRender(t *testing.T) {
	t.Parallel()

	for text, want := range map[string]string{
		`{{ .source.metadata.name }}`:                                                        "a",
		`{{ .source.data.token }}`:                                                           "ab+/c==",
		`{{ .source.data.json }} {{ .source.data | toJson }}`:                                `{"a":"<'b'>"} {"json":"{\"a\":\"\u003c'b'\u003e\"}","token":"ab+/c=="}`,
		`"{{ .source.data.token }}"`:                                                         `"ab+/c=="`,
		`[{{ .source.spec.nothing }}]`:                                                       "[]",
		`[{{ .source.metadata.nothing }}]`:                                                   "[]",
		`[{{ .references.nothing.metadata.name }}]`:                                          "[]",
		`{{ .references.secret.metadata.name | upper | b64enc }}`:                            "Uw==",
		`{{ with index .source.metadata.labels "import" }}{{ . | trimSuffix "s" }}{{ end }}`: "ye",
		"plain\n": "plain\n",
		"":        "",
	} {
		got, err := Render("nameTemplate", text, data)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

func TestRenderFails(t *testing.T) {
	t.Parallel()

	for text, want := range map[string]string{
		`{{ .source`:                                                         "nameTemplate:1: unclosed action",
		`{{ env "DB_PASSWORD" }}`:                                            `function "env" not defined`,
		`{{ expandenv "$HOME" }}`:                                            `function "expandenv" not defined`,
		`{{ getHostByName "a" }}`:                                            `function "getHostByName" not defined`,
		`{{ fail "no such region" }}`:                                        "no such region",
		`{{ .source.metadata.name.first }}`:                                  "can't evaluate field first",
		`{{ range until 300000 }}abcdefghij{{ end }}`:                        "nameTemplate: the template renders more than 1048576 bytes",
		`{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}`:      "exceeded maximum template depth",
		`{{ repeat -1 "a" }}`:                                                "negative Repeat count",
		`{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}`: "nameTemplate: the template does not end within 5s",
		`{{ define "a" }}{{ if lt (len .) 99999 }}{{ template "a" (append . 1) }}{{ template "a" (append . 1) }}{{ end }}{{ end }}{{ template "a" (list 1) }}`: "nameTemplate: the template ",
		`{{ len (until 20000000) }}`:                                                  "until makes more of its arguments than an object can hold",
		`{{ len (repeat 500000000 "a") }}`:                                            "repeat makes more of its arguments",
		`{{ len (randAlpha 500000000) }}`:                                             "randAlpha makes more of its arguments",
		`{{ $s := repeat 1000000 "a" }}{{ len (replace "a" $s $s) }}`:                 "replace makes more of its arguments",
		`{{ $s := "ab" }}{{ range until 60 }}{{ $s = printf "%s%s" $s $s }}{{ end }}`: "printf makes more of its arguments",
	} {
		_, err := Render("nameTemplate", text, data)
		require.ErrorContains(t, err, want, text)
	}
	require.NoError(t, Parse("template", `{{ .source }}`))
	require.Error(t, Parse("template", `{{ end }}`))
}

// A template of a policy that is rendered before its references are known sees none.
func TestRenderWithoutReferences(t *testing.T) {
	t.Parallel()

	got, err := Render("nameTemplate", `[{{ .references.secret.metadata.name }}{{ .references }}]`, Data{Source: data.Source})
	require.NoError(t, err)
	require.Equal(t, "[]", got)
}

func TestIsTrue(t *testing.T) {
	t.Parallel()

	for text, want := range map[string]bool{
		"true": true, " TRUE\n": true, `{{ eq .source.metadata.name "a" }}`: true,
		"": false, "yes": false, "truetrue": false, `{{ .source.nothing }}`: false,
	} {
		got, err := IsTrue("creationCondition", text, data)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	_, err := IsTrue("creationCondition", "{{", data)
	require.Error(t, err)
}

// What is bounded works as before within its bounds.
func TestBoundFunctions(t *testing.T) {
	t.Parallel()

	for text, want := range map[string]string{
		`{{ repeat 3 "ab" }}`: "ababab", `{{ until 3 }}`: "[0 1 2]", `{{ seq 1 3 }}`: "1 2 3", `{{ untilStep 0 6 2 }}`: "[0 2 4]",
		`{{ printf "%s-%d" "a" 7 }}`: "a-7", `{{ print "a" 1 2 }}`: "a1 2", `{{ list "a" "b" | join "-" }}`: "a-b", `{{ "a b" | replace " " "-" }}`: "a-b",
		`{{ cat "a" 1 }}`: "a 1", `{{ "a" | indent 2 }}`: "  a", `{{ regexReplaceAll "a+" "baab" "x" }}`: "bxb", `{{ len (randAlphaNum 5) }}`: "5",
		`{{ range $i, $v := list "a" "b" }}{{ $i }}{{ $v }}{{ else }}none{{ end }}`: "0a1b", `{{ block "b" . }}in{{ end }}`: "in",
		`{{ join "," .source.nothing }}`: "",
	} {
		got, err := Render("nameTemplate", text, data)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

func FuzzRender(f *testing.F) {
	for _, text := range []string{
		"{{ .source.metadata.name }}", "{{ .references.a | toJson }}", "{{ if true }}a{{ end }}", "{{", "{{ repeat 99 \"a\" }}",
		"{{ range until 9 }}{{ . }}{{ end }}", "{{ block \"a\" . }}{{ with .source }}{{ . }}{{ end }}{{ end }}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, slow := range []string{"gen", "crypt", "htpasswd", "derive"} { // they make keys
			if strings.Contains(text, slow) {
				t.Skip()
			}
		}
		rendered, err := Render("fuzz", text, data)
		require.LessOrEqual(t, len(rendered), maxLength)
		if Parse("fuzz", text) != nil {
			require.Error(t, err)
		}
	})
}
