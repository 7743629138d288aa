// Command pagewire runs the server of the KV channel.
package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/pagewire/pagewire/internal/protocol"
	"github.com/pagewire/pagewire/internal/version"
)

func main() {
	if err := rootCommand().Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "pagewire:", err)
		os.Exit(1)
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "pagewire",
		Short:         "A SQLite database for every actor, without a local disk",
		Long:          "Pagewire gives every actor its own SQLite database, whose pages live in a key-value store behind this server.",
		SilenceErrors: true, // main prints them
		SilenceUsage:  true,
	}
	root.AddCommand(serveCommand(), versionCommand())
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintf(cmd.OutOrStdout(), "pagewire %s (protocol %d, %s, %s/%s)\n",
				version.Version, protocol.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}
