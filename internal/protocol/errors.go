package protocol

import "fmt"

// Code is a stable error code. Codes of the original interface keep their names.
type Code string

// Error codes that a server answers. docs/protocol.md says what a client should do about each.
const (
	CodeBadRequest               Code = "bad_request"                 // malformed frame or argument
	CodeUnsupported              Code = "unsupported"                 // unknown operation
	CodeUnauthorized             Code = "unauthorized"                // no token, or a wrong one
	CodeReadOnly                 Code = "read_only"                   // the token may not write
	CodeVersionMismatch          Code = "version_mismatch"            // the two sides speak different versions
	CodeInvalidActor             Code = "invalid_actor"               // the actor id is empty, too long or malformed
	CodeActorLocked              Code = "actor_locked"                // another session holds the actor
	CodeActorNotOpen             Code = "actor_not_open"              // the request needs an open first
	CodeTooManyActors            Code = "too_many_actors"             // the connection's limit of open actors
	CodeLockLost                 Code = "lock_lost"                   // the generation is stale
	CodeOutOfOrder               Code = "commit_out_of_order"         // the expected commit is not the last one
	CodeBatchTooLarge            Code = "batch_too_large"             // too many keys in one request
	CodeKeyTooLarge              Code = "key_too_large"               // a key over the limit
	CodeValueTooLarge            Code = "value_too_large"             // a value over the limit
	CodePayloadTooLarge          Code = "payload_too_large"           // a request or commit over the limit
	CodeKeysValuesLengthMismatch Code = "keys_values_length_mismatch" // not one value a key
	CodeStorageQuotaExceeded     Code = "storage_quota_exceeded"      // the actor's quota would be exceeded
	CodeStorageFull              Code = "storage_full"                // the server's disk is full
	CodeBackpressure             Code = "backpressure"                // the actor's queue is full
	CodeDraining                 Code = "draining"                    // the server opens no more actors
	CodeInternal                 Code = "internal_error"              // the server failed; its log says why
)

// Error is an error as it travels: a stable code and a message for people.
type Error struct {
	Code    Code   `cbor:"1,keyasint"`
	Message string `cbor:"2,keyasint"`
}

// Error implements error.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Errorf makes an Error.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
