#!/bin/sh
# Makes .env with fresh secrets for compose.yaml. An .env that is there is left alone: its passwords are in the volumes.
set -eu
cd "$(dirname "$0")/.."
if [ -e .env ]; then
    echo ".env is there already; it was not changed"
    exit
fi
umask 077
new=.env.new.$$
trap 'rm -f "$new"' EXIT
{
    echo "# The port that the gateway listens on, and the address that users see."
    echo "PORT=8000"
    echo "EZSTAT_URL=http://localhost:8000"
    echo
    for name in EZSTAT_SECRET POSTGRES_PASSWORD NATS_PASSWORD REDIS_PASSWORD; do
        echo "$name=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')"
    done
} >"$new"
mv -n "$new" .env
echo "made .env: keep it as safe as the data, and with every backup"
