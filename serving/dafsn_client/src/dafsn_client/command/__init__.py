"""The command `dafsn-client`."""
