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
		`{{ .source`:                                                    "nameTemplate:1: unclosed action",
		`{{ env "DB_PASSWORD" }}`:                                       `function "env" not defined`,
		`{{ expandenv "$HOME" }}`:                                       `function "expandenv" not defined`,
		`{{ getHostByName "a" }}`:                                       `function "getHostByName" not defined`,
		`{{ fail "no such region" }}`:                                   "no such region",
		`{{ .source.metadata.name.first }}`:                             "can't evaluate field first",
		`{{ range until 300000 }}abcdefghij{{ end }}`:                   "nameTemplate: the template renders more than 1048576 bytes",
		`{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}`: "exceeded maximum template depth",
		`{{ repeat -1 "a" }}`:                                           "negative Repeat count",
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

func FuzzRender(f *testing.F) {
	for _, text := range []string{"{{ .source.metadata.name }}", "{{ .references.a | toJson }}", "{{ if true }}a{{ end }}", "{{"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		// What allocates as much as it is told, or searches for prime numbers.
		for _, slow := range []string{"repeat", "until", "seq", "indent", "rand", "gen", "crypt", "htpasswd", "derive", "printf", "wrap"} {
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
