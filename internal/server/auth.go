package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// tokens are the SHA-256 sums of the accepted bearer tokens: what a token is compared with tells nothing about it.
type tokens [][sha256.Size]byte

func hashTokens(plain []string) (tokens, error) {
	out := make(tokens, 0, len(plain))
	for _, t := range plain {
		if t == "" {
			return nil, errors.New("server: an empty token is configured; remove it or set its value")
		}
		out = append(out, sha256.Sum256([]byte(t)))
	}
	return out, nil
}

// accept says whether token is one of ts, in a time that does not depend on how much of it is right.
func (ts tokens) accept(token string) bool {
	sum := sha256.Sum256([]byte(token))
	found := 0
	for i := range ts {
		found |= subtle.ConstantTimeCompare(sum[:], ts[i][:])
	}
	return found == 1
}

// bearer returns the token of the Authorization header. ok is false when there is a header of another scheme.
func bearer(h http.Header) (token string, ok bool) {
	value := h.Get("Authorization")
	if value == "" {
		return "", true
	}
	scheme, token, found := strings.Cut(value, " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.TrimSpace(token), true
}

// credentialWords are what the names of query parameters that carry a credential contain.
var credentialWords = []string{"token", "auth", "bearer", "secret", "passw", "credential", "apikey", "api_key", "api-key", "jwt"}

// credentialInURL says whether a URL carries a credential: URLs end up in logs and histories, so it must not.
func (ts tokens) credentialInURL(u *url.URL) bool {
	if u.User != nil {
		return true
	}
	for name, values := range u.Query() {
		lower := strings.ToLower(name)
		for _, word := range credentialWords {
			if strings.Contains(lower, word) {
				return true
			}
		}
		for _, v := range append(values, name) {
			if ts.accept(v) {
				return true
			}
		}
	}
	return false
}
