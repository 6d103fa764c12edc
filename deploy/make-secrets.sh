#!/bin/sh
# Puts the secrets that compose.yaml needs into .env. Those that are there stay as they are: the volumes know them.
set -eu
cd "$(dirname "$0")/.."
umask 077
new=.env.new.$$
trap 'rm -f "$new"' EXIT
if [ -e .env ]; then
    sed '$a\' .env  # ends with a line's end, whatever the editor did
else
    echo "# The port that the gateway listens on, and the address that users see."
    echo "PORT=8000"
    echo "EZSTAT_URL=http://localhost:8000"
    echo
fi >"$new"
for name in EZSTAT_SECRET POSTGRES_PASSWORD REDIS_PASSWORD \
    NATS_PASSWORD NATS_ACCOUNTS_PASSWORD NATS_INGEST_PASSWORD NATS_WEB_PASSWORD; do
    grep -q "^$name=" "$new" && continue
    echo "$name=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')" >>"$new"
    echo "made $name"
done
mv "$new" .env
echo ".env holds every secret: keep it as safe as the data, and with every backup"
