#!/bin/bash
# ssl_config.sh KEY CERTIFICATE [CLIENT_CA]: print the SSLConfig that holds these PEM files.
# With an authority of clients, mutual TLS: callers without its signature are refused.
set -euo pipefail

field() {
  local line text=
  while IFS= read -r line || [[ -n $line ]]; do
    text+="${line%$'\r'}\\n"
  done < "$2"
  [[ $text == *-----BEGIN* ]] || { echo "ssl_config.sh: $2 is no PEM file" >&2; exit 1; }
  printf '%s: "%s"\n' "$1" "$text"
}

if (($# < 2 || $# > 3)); then
  echo "usage: ssl_config.sh KEY CERTIFICATE [CLIENT_CA] > config/ssl.config" >&2
  exit 2
fi
field server_key "$1"
field server_cert "$2"
if (($# == 3)); then
  field custom_ca "$3"
  echo "client_verify: true"
fi
