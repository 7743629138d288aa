package protocol

import (
	"encoding/base64"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxActorBytes is the longest actor id.
const MaxActorBytes = 1024

// MaxNamespaceBytes is the longest namespace.
const MaxNamespaceBytes = 128

// Subprotocol returns the WebSocket subprotocol of [Version], "pagewire.v1".
func Subprotocol() string { return SubprotocolPrefix + strconv.Itoa(Version) }

// TokenSubprotocol returns the subprotocol entry that carries a bearer token.
func TokenSubprotocol(token string) string {
	return TokenSubprotocolPrefix + base64.RawURLEncoding.EncodeToString([]byte(token))
}

// ParseSubprotocols reads the values of a request's Sec-WebSocket-Protocol headers, each a comma separated list. It
// returns Version and the token, "" if none was sent; entries of others are ignored. The error is an *[Error]:
// CodeVersionMismatch if Version is not offered, CodeUnauthorized if the token is malformed or there are two.
func ParseSubprotocols(header []string) (version int, token string, err error) {
	var offered []string
	found, tokens := false, 0
	for _, entry := range strings.Split(strings.Join(header, ","), ",") {
		entry = strings.TrimSpace(entry)
		if encoded, ok := strings.CutPrefix(entry, TokenSubprotocolPrefix); ok {
			b, err := base64.RawURLEncoding.DecodeString(encoded)
			if err != nil || len(b) == 0 {
				return 0, "", Errorf(CodeUnauthorized, "the token's subprotocol entry is not base64url without padding")
			}
			token = string(b)
			tokens++
		} else if n, ok := strings.CutPrefix(entry, SubprotocolPrefix); ok {
			found = found || entry == Subprotocol()
			if _, err := strconv.ParseUint(n, 10, 16); err == nil {
				offered = append(offered, entry)
			}
		}
	}
	if tokens > 1 {
		return 0, "", Errorf(CodeUnauthorized, "%d tokens in the subprotocols, send one", tokens)
	}
	if !found {
		return 0, "", Errorf(CodeVersionMismatch, "offer the WebSocket subprotocol %s; offered: %d of Pagewire [%s]",
			Subprotocol(), len(offered), strings.Join(offered, " "))
	}
	return Version, token, nil
}

// ValidateActor checks an actor id: 1 to MaxActorBytes bytes of UTF-8 without control characters. The error is an
// *[Error] with CodeInvalidActor.
func ValidateActor(id string) error {
	if id == "" || len(id) > MaxActorBytes {
		return Errorf(CodeInvalidActor, "an actor id has 1 to %d bytes, got %d", MaxActorBytes, len(id))
	}
	if !utf8.ValidString(id) {
		return Errorf(CodeInvalidActor, "the actor id is not valid UTF-8")
	}
	if i := strings.IndexFunc(id, unicode.IsControl); i >= 0 {
		return Errorf(CodeInvalidActor, "the actor id has a control character at byte %d", i)
	}
	return nil
}

const namespaceChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

// ValidateNamespace checks a namespace: 1 to MaxNamespaceBytes of letters, digits, dot, underscore and hyphen. The
// error is an *[Error] with CodeBadRequest.
func ValidateNamespace(ns string) error {
	// Not by package regexp, which nothing else that the client links needs.
	if ns == "" || len(ns) > MaxNamespaceBytes || strings.TrimLeft(ns, namespaceChars) != "" {
		return Errorf(CodeBadRequest, "a namespace has 1 to %d of A-Z a-z 0-9 . _ -, got %d bytes that do not match",
			MaxNamespaceBytes, len(ns))
	}
	return nil
}
