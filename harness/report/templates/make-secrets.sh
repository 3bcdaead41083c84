#!/bin/sh
# make-secrets: writes .env from .env.example, with a fresh random value (64 hexadecimal digits) for every empty one.
# Never overwrites. Exit: 0 written, 64 there is one already.
set -eu
cd "$(dirname "$0")"
if [ -e .env ]; then
  echo "make-secrets: .env is there already, and what was made with its secrets would be lost without them: left alone" >&2
  exit 64
fi
umask 077
while IFS= read -r line; do
  case $line in
    '#'*) ;;
    *=) line="$line$(od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n')" ;;
  esac
  printf '%s\n' "$line"
done < .env.example > .env.unfinished
mv .env.unfinished .env
echo "make-secrets: .env is written; only you can read it"
