package channel

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzTarget holds that a URL is refused, or leads to the channel's path over a WebSocket and carries no credentials; and
// that no error quotes a token.
func FuzzTarget(f *testing.F) {
	for _, s := range []string{
		"ws://127.0.0.1:6420", "https://x/prefix/", "http://[::1]:99999", "ws://u:p@h", "ws://h?token=t", "ws://h#f", "ws://h/%zz", "ws://:1",
		"ws://h/v1/channel?a=b&a=c", "ws://h/v1/channel/", "WSS://H", "//h", "ws://h\x00",
	} {
		f.Add(s, "secret-secret", "default")
	}
	f.Fuzz(func(t *testing.T, raw, token, namespace string) {
		got, err := target(&Config{URL: raw, Token: token, Namespace: namespace})
		if err != nil {
			if len(token) >= 16 && strings.Contains(err.Error(), token) {
				t.Fatalf("the error quotes the token: %v", err)
			}
			return
		}
		u, err := url.Parse(got)
		if err != nil || u.Scheme != "ws" && u.Scheme != "wss" || u.User != nil || u.Hostname() == "" || !strings.HasSuffix(u.Path, "/v1/channel") {
			t.Fatalf("%q leads to %q: %v", raw, got, err)
		}
		if namespace != "" && u.Query().Get("namespace") != namespace {
			t.Fatalf("%q lost the namespace %q: %q", raw, namespace, got)
		}
	})
}
