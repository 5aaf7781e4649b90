#!/bin/sh
# inject.sh SOURCE FROM TO: prints SOURCE with the one FROM in it replaced by TO. Fails unless FROM stands there once.
set -eu
FROM=$2 TO=$3 exec awk '
  { at = index($0, ENVIRON["FROM"]) }
  at { ++found; $0 = substr($0, 1, at - 1) ENVIRON["TO"] substr($0, at + length(ENVIRON["FROM"])) }
  { print }
  END {
    if (found == 1) exit 0
    printf "%s: \"%s\" stands there %d times; expected once (kernels/injected_bugs/BUILD)\n", FILENAME, ENVIRON["FROM"], found >"/dev/stderr"
    exit 1
  }' "$1"
