package protocol_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// declaredCodes returns the values of the constants of type Code in errors.go.
func declaredCodes(t *testing.T) (codes []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	require.NoError(t, err)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Code") {
			return true
		}
		code, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		require.NoError(t, err)
		codes = append(codes, code)
		return true
	})
	require.NotEmpty(t, codes)
	return codes
}

// found returns the first group of every match of pattern in the part of a file between two texts.
func found(t *testing.T, path, from, to, pattern string) (all []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	_, part, ok := strings.Cut(string(b), from)
	require.True(t, ok, "%s has no %q", path, from)
	if to != "" {
		part, _, ok = strings.Cut(part, to)
		require.True(t, ok, "%s has no %q after %q", path, to, from)
	}
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(part, -1) {
		all = append(all, m[1])
	}
	return all
}

// TestErrorCodesAreDocumented holds the error table and the schema against errors.go.
func TestErrorCodesAreDocumented(t *testing.T) {
	codes := declaredCodes(t)
	const doc = "../../docs/protocol.md"
	require.Equal(t, codes, found(t, doc, "\n## Errors\n", "\n## ", "(?m)^\\| `([a-z_]+)` \\| [^|]+ \\| [^|]+ \\|$"))
	require.Equal(t, codes, found(t, "protocol.cddl", "\nerror-code = ", "", `"([a-z_]+)"`))
}

// TestSchemaNamesEveryFrameAndOperation holds the numbers in the schema against the constants.
func TestSchemaNamesEveryFrameAndOperation(t *testing.T) {
	b, err := os.ReadFile("protocol.go")
	require.NoError(t, err)
	constants := func(typ string) (numbers []string) {
		for _, m := range regexp.MustCompile(`(?m)^\t\w+ +`+typ+` += (\d+)`).FindAllStringSubmatch(string(b), -1) {
			numbers = append(numbers, m[1])
		}
		return numbers
	}
	require.Equal(t, constants("Op"), found(t, "protocol.cddl", "\nactor = ", "", `request-of<(\d+),`))
	frames := found(t, "protocol.cddl", "\nrequest-of<", "\nlimits", `\{ 0: (\d+), 1`)
	frames = append(frames, found(t, "protocol.cddl", "\nresponse = ", " / ", `\{ 0: (\d+), 1`)...)
	frames = append(frames, found(t, "protocol.cddl", "\nping = ", "\n; ----", `\{ 0: (\d+), 1`)...)
	require.Equal(t, constants("FrameType"), frames)
	require.Equal(t, constants("OpenMode"), found(t, "protocol.cddl", "\nopen-mode = ", ";", `(\d)`))
}
