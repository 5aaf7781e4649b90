#!/bin/bash
# Real trials under kill -9, two sweeps on one ledger, other numbers of jobs, a cold and a warm cache: the same table,
# byte for byte, every trial recorded once, and every trial gives the same bits again.
# Usage: sweep_survives_test.sh SWEEP LEDGER SPEC [kills] [trials] [seconds]
# A kill comes after 0 to `seconds` seconds. By hand with 20 kills of the default experiment: see docs/results.md
set -u
sweep=$(readlink -f "$1")
ledger=$(readlink -f "$2")
spec=$(readlink -f "$3")
kills=${4:-3}
trials=${5:-11}  # of small.textproto: full precision; 2 schemes x (rtn, and 2 methods x 2 seeds)
seconds=${6:-3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset BUILD_WORKSPACE_DIRECTORY
failures=0
check() { if [ "$2" = "$3" ]; then echo "ok: $1"; else echo "FAILED: $1: expected '$2', found '$3'"; failures=$((failures + 1)); fi; }
run() { "$sweep" "$spec" --ledger="$work/$1.db" --out="$work/$2" --no_timings --quiet "${@:3}" 2>>"$work/err"; }
recorded() { sqlite3 "$work/$1.db" "select count(*) from attempt where outcome = 'ok'"; }

run whole whole >"$work/expected"
check "a whole run" 0 $?
check "every trial has a result" $trials "$(recorded whole)"
cat "$work/expected"

saved=
for i in $(seq "$kills"); do
  run killed killed >/dev/null &
  pid=$!
  sleep "$((RANDOM % seconds)).$((RANDOM % 10))$((RANDOM % 10))"
  saved="$saved $(recorded killed 2>/dev/null)"
  # run is a function in a subshell: the sweep is its child.
  pkill -9 -P $pid 2>/dev/null
  wait $pid 2>/dev/null
done
echo "after $kills kills: $(recorded killed) of $trials trials were saved"
echo "saved before each kill:$saved"
run killed killed >"$work/resumed"
check "resumed after $kills kills" 0 $?
cmp "$work/expected" "$work/resumed"
check "the same table, byte for byte" 0 $?
check "no trial lost, none twice" $trials "$(recorded killed)"

run two two >"$work/one" &
run two two >"$work/other"
wait
cmp "$work/expected" "$work/one" && cmp "$work/expected" "$work/other"
check "two sweeps at once: both tables" 0 $?
check "two sweeps at once: no trial twice" $trials "$(recorded two)"

run one whole --jobs=1 >"$work/warm"  # one worker with all threads, and the cache of the first run
cmp "$work/expected" "$work/warm"
check "one job with two threads and a warm cache: the same table" 0 $?

"$ledger" verify all --ledger="$work/whole.db" --threads=1 >"$work/verified" 2>>"$work/err"
check "ledger verify all" 0 $?
cat "$work/verified"
check "all verified" "$trials of $trials trials gave the same bits" "$(tail -n 1 "$work/verified")"

[ "$failures" = 0 ] && echo "all passed" || tail -n 20 "$work/err"
exit "$failures"
