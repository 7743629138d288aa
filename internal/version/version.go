// Package version names the release: the command, the library and the npm packages of one checkout share it.
package version

// Version is equal to the version of package.json, which `make lint` checks.
const Version = "0.1.0"
