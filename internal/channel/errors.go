package channel

import (
	"context"
	"errors"

	"github.com/pagewire/pagewire/internal/protocol"
)

// Errors of connecting.
var (
	// ErrInvalidURL is returned when the configured URL or token cannot be used; nothing was sent.
	ErrInvalidURL = errors.New("channel: invalid URL")
	// ErrUnreachable is returned when no connection came about: refused, DNS, TLS, an HTTP status or a broken peer. It is
	// wrapped together with the cause.
	ErrUnreachable = errors.New("channel: server unreachable")
	// ErrUnauthorized is returned when the server refuses the token, or the token has no access to the namespace.
	ErrUnauthorized = errors.New("channel: unauthorized")
	// ErrVersion is returned when the server does not speak this build's protocol version.
	ErrVersion = errors.New("channel: protocol version mismatch")
)

// Errors of requests.
var (
	// ErrTimeout is returned when a request's deadline passed and the request surely changed nothing, because it only
	// reads or never reached the connection.
	ErrTimeout = errors.New("channel: timeout")
	// ErrIndeterminate is returned when a write was sent and its answer did not come before its deadline, its
	// cancellation or the end of the channel, or the server failed at it: it may or may not be applied. [Actor.Reload] tells.
	ErrIndeterminate = errors.New("channel: outcome unknown")
)

// Errors of ended actors and channels.
var (
	// ErrLockLost is returned when another session took the actor over. It is final for this Actor: open again.
	ErrLockLost = errors.New("channel: lock lost")
	// ErrActorClosed is returned when a method is called after Close of the Actor.
	ErrActorClosed = errors.New("channel: actor closed")
	// ErrClosed is returned when the channel was closed before or during the call.
	ErrClosed = errors.New("channel: closed")
)

// errProtocol marks what a correct server never sends. The connection is dropped and made anew.
var errProtocol = errors.New("channel: server violates the protocol")

// codes are the stable codes of this package's errors, the most telling first: an error may wrap several.
var codes = []struct {
	err  error
	code string
}{
	{ErrIndeterminate, "commit_indeterminate"},
	{ErrLockLost, "lock_lost"},
	{ErrActorClosed, "closed"},
	{ErrClosed, "channel_closed"},
	{context.Canceled, "aborted"},
	{ErrTimeout, "timeout"},
	{ErrUnauthorized, "unauthorized"},
	{ErrVersion, "version_mismatch"},
	{ErrInvalidURL, "invalid_url"},
	{ErrUnreachable, "unreachable"},
	{context.DeadlineExceeded, "timeout"},
}

// IsLockLost tells whether an error means that another session has the actor, for good. Its code may be another: that of a
// write whose answer never came is commit_indeterminate, whatever happened to the lock since.
func IsLockLost(err error) bool {
	return errors.Is(err, ErrLockLost) || serverCode(err) == protocol.CodeLockLost
}

// Code returns the stable code of an error of this package for programs: a server's code unchanged, "" for nil and
// "internal_error" for what is not known here.
func Code(err error) string {
	if err == nil {
		return ""
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	var server *protocol.Error
	if errors.As(err, &server) && server.Code != "" {
		return string(server.Code)
	}
	return string(protocol.CodeInternal)
}
