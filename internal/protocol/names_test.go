package protocol_test

import (
	"strings"
	"testing"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/stretchr/testify/require"
)

func requireCode(t *testing.T, code protocol.Code, err error) {
	t.Helper()
	if code == "" {
		require.NoError(t, err)
		return
	}
	var e *protocol.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code)
}

func TestParseSubprotocols(t *testing.T) {
	secret := "tok en/+=é"
	entry := protocol.TokenSubprotocol(secret)
	require.NotContains(t, entry, "=")
	cases := []struct {
		name   string
		header []string
		token  string
		code   protocol.Code
	}{
		{"one", []string{"pagewire.v1"}, "", ""},
		{"among others", []string{"chat, pagewire.v9 ,pagewire.v1", "x"}, "", ""},
		{"token after", []string{"pagewire.v1, " + entry}, secret, ""},
		{"token in a header of its own", []string{entry, "pagewire.v1"}, secret, ""},
		{"none", nil, "", protocol.CodeVersionMismatch},
		{"another version", []string{"pagewire.v2, pagewire.v10"}, "", protocol.CodeVersionMismatch},
		{"two tokens", []string{"pagewire.v1", entry, entry}, "", protocol.CodeUnauthorized},
		{"padded token", []string{"pagewire.v1, pagewire.token.QQ=="}, "", protocol.CodeUnauthorized},
		{"empty token", []string{"pagewire.v1, pagewire.token."}, "", protocol.CodeUnauthorized},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			version, token, err := protocol.ParseSubprotocols(c.header)
			requireCode(t, c.code, err)
			require.Equal(t, c.token, token)
			if err == nil {
				require.Equal(t, protocol.Version, version)
				return
			}
			require.NotContains(t, err.Error(), "QQ", "a token must not show")
			require.NotContains(t, err.Error(), strings.TrimPrefix(entry, protocol.TokenSubprotocolPrefix))
		})
	}
}

func TestValidateNames(t *testing.T) {
	for _, id := range []string{"a", "actor/1 ü", strings.Repeat("x", 1024), ".."} {
		require.NoError(t, protocol.ValidateActor(id))
	}
	for _, id := range []string{"", strings.Repeat("x", 1025), "a\x00", "a\nb", "\x7f", "\u0085", "a\xff"} {
		requireCode(t, protocol.CodeInvalidActor, protocol.ValidateActor(id))
	}
	for _, ns := range []string{"default", "A-z_0.9", strings.Repeat("x", 128)} {
		require.NoError(t, protocol.ValidateNamespace(ns))
	}
	for _, ns := range []string{"", strings.Repeat("x", 129), "a b", "a/b", "ü", "a\n"} {
		requireCode(t, protocol.CodeBadRequest, protocol.ValidateNamespace(ns))
	}
}

// FuzzParseSubprotocols holds that what a handshake offers is refused with a code, or names this version and a token that
// the header says.
func FuzzParseSubprotocols(f *testing.F) {
	f.Add(protocol.Subprotocol()+", "+protocol.TokenSubprotocol("secret"), "")
	f.Add("pagewire.v99,pagewire.v1", "other")
	f.Fuzz(func(t *testing.T, a, b string) {
		version, token, err := protocol.ParseSubprotocols([]string{a, b})
		if err != nil {
			var e *protocol.Error
			require.ErrorAs(t, err, &e)
			return
		}
		require.Equal(t, protocol.Version, version)
		require.Contains(t, a+","+b, protocol.Subprotocol())
		if token != "" {
			require.Contains(t, a+","+b, protocol.TokenSubprotocolPrefix)
		}
	})
}
