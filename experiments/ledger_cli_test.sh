#!/bin/sh
# //experiments:ledger as a user meets it: help, verbs, exit codes, hostile paths. $1: the program, $2: a frozen ledger,
# $3: the program with trials that take no time.
ledger=$1
folder=$(mktemp -d "${TEST_TMPDIR:-/tmp}/cli_XXXXXX")
cp "$2" "$folder/a.db" && cp "$2" "$folder/b.db" && chmod u+w "$folder"/*.db
failures=0

# expect CODE PATTERN ARGUMENTS...: runs the program; checks its exit code and that its output matches PATTERN.
expect() {
  code=$1 pattern=$2
  shift 2
  output=$("$ledger" "$@" 2>&1 </dev/null)
  found=$?
  if [ "$found" -ne "$code" ] || ! printf '%s' "$output" | grep -q -e "$pattern"; then
    echo "FAILED: ledger $* gave exit code $found, expected $code, and this output, expected to match '$pattern':"
    echo "$output"
    failures=$((failures + 1))
  fi
}

expect 0 'Exit codes' --help
expect 0 'Usage' help
for verb in ls show diff compare export merge backup doctor; do expect 0 "ledger $verb" $verb --help; done
expect 2 'did you mean "doctor"' docter
expect 2 'did you mean "ledger"' ls --leger=x
expect 2 'expected text or json' ls --format=xml
expect 2 'takes TRIAL, found 0' show
expect 2 'needs a value' ls --ledger
expect 2 'expected ok, failed' ls --status=bad
expect 3 'no ledger here' ls --ledger="$folder/none.db"
expect 3 'a folder' ls --ledger="$folder"

expect 0 'gptq' ls --ledger="$folder/a.db"
expect 0 '4 trials, 3 with a result' ls --ledger="$folder/a.db"
expect 0 '"status": "oom"' ls --ledger="$folder/a.db" --format=json --status=oom
"$ledger" ls --ledger="$folder/a.db" --status=ok >"$folder/list" 2>/dev/null
first=$(sed -n 2p "$folder/list" | cut -c1-12)
second=$(sed -n 3p "$folder/list" | cut -c1-12)
expect 0 'nll\[code\]' show "$first" --ledger="$folder/a.db"
expect 0 'left at 16 bits: embedding' show "$first" --ledger="$folder/a.db"
expect 0 '"stages"' show "$first" --ledger="$folder/a.db" --format=json
expect 2 'no trial starts with' show 0000000000 --ledger="$folder/a.db"
expect 2 'hexadecimal' show "'; DROP TABLE trial" --ledger="$folder/a.db"
expect 0 'calibration.seed: 0 -> 1' diff "$first" "$second" --ledger="$folder/a.db"
expect 0 'nll\[code\] *3 *4 *+1' diff "$first" "$second" --ledger="$folder/a.db"
expect 0 '"same_result": true' diff "$first" "$first" --ledger="$folder/a.db" --format=json
expect 0 'trial,model,recipe' export --ledger="$folder/a.db"
expect 0 'wrote' export --ledger="$folder/a.db" --out="$folder/out.csv"
expect 0 'sound' doctor --ledger="$folder/a.db"
expect 0 'wrote' backup "$folder/c.db" --ledger="$folder/a.db"
expect 2 'something here already' backup "$folder/c.db" --ledger="$folder/a.db"
expect 0 'added 0 trials' merge "$folder/b.db" --ledger="$folder/a.db"
expect 0 'added 4 trials, 3 results' merge "$folder/b.db" "$folder/c.db" --ledger="$folder/new folder/all.db"
expect 2 'no ledger here' merge "$folder/none.db" --ledger="$folder/a.db"

expect 0 'gptq .*4.21' compare --ledger="$folder/a.db"
expect 0 'wrote' compare --ledger="$folder/a.db" --out="$folder/table.html"
grep -q '<table' "$folder/table.html" || { echo 'FAILED: no table in the page'; failures=$((failures + 1)); }
expect 2 'no finished trial' compare --recipe=none --ledger="$folder/a.db"

ledger=$3
expect 0 '3 of 3 trials gave the same bits' verify all --threads=1 --ledger="$folder/a.db"
expect 0 '"same": true' verify "$first" --format=json --ledger="$folder/a.db"
failed=$("$1" ls --ledger="$folder/a.db" --status=oom 2>/dev/null | sed -n 2p | cut -c1-12)
expect 2 'no result to verify' verify "$failed" --ledger="$folder/a.db"
EAQ_FAKE_DIFFERENCE=1
export EAQ_FAKE_DIFFERENCE
expect 1 'metric nll code: 3 then' verify "$first" --ledger="$folder/a.db"
expect 1 '0 of 3 trials' verify all --ledger="$folder/a.db"
unset EAQ_FAKE_DIFFERENCE
ledger=$1

printf 'garbage garbage' >"$folder/garbage.db"
expect 4 'not a ledger' ls --ledger="$folder/garbage.db"
head -c 9000 "$2" >"$folder/half.db"
expect 4 'damaged' ls --ledger="$folder/half.db"
: >"$folder/empty.db"
expect 4 'empty file' doctor --ledger="$folder/empty.db"

if [ $failures -ne 0 ]; then exit 1; fi
rm -rf "$folder"
