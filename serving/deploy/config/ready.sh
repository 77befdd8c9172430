#!/bin/bash
# ready.sh MODEL [PORT]: succeed while the server has a version of the model AVAILABLE.
#
# The gRPC health service says SERVING whatever becomes of the models, and the status page is 200 for a model whose
# versions have all ended: only the states on that page tell. The image has no curl, so bash speaks HTTP.
model=${1:?ready.sh MODEL [PORT]}
port=${2:-8501}

exec 3<> "/dev/tcp/127.0.0.1/$port" || exit 1
printf 'GET /v1/models/%s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$model" >&3
while IFS= read -r -t 2 line <&3 || [[ -n $line ]]; do
  [[ $line =~ \"state\":[[:space:]]*\"AVAILABLE\" ]] && exit 0
done
exit 1
