#!/bin/bash
# Succeeds if the service in this container is ready. Needs nothing but bash, since the image holds nothing else.
# The port is that of HOLDFAST_ADMIN__LISTEN if it is set, else the service's default, which the image sets.
set -euo pipefail

listen=${HOLDFAST_ADMIN__LISTEN:-}
port=${listen##*:}
port=${port:-$DEFAULT_ADMIN_PORT}

exec 3<>"/dev/tcp/127.0.0.1/$port"
printf 'GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
IFS= read -r -t 2 status <&3
[[ $status == 'HTTP/1.1 200 '* ]] && exit 0

# What it waits for is the rest of the answer; the engine keeps it with the state of the container.
cat <&3
exit 1
