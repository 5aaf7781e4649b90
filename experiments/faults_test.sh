#!/bin/bash
# The sweep under faults, with fake trials: kill -9 and resume, two at once, signals, workers that fail in every way, the
# binary replaced while it runs. Usage: faults_test.sh FAKE_SWEEP [kills]
set -u
sweep=$(readlink -f "$1")
kills=${2:-4}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
unset BUILD_WORKSPACE_DIRECTORY BUILD_WORKING_DIRECTORY
failures=0
check() { if [ "$2" = "$3" ]; then echo "ok: $1"; else echo "FAILED: $1: expected '$2', found '$3'"; failures=$((failures + 1)); fi; }
head='model { name: "m" path: "m" } scheme { name: "W4" weights { bits: [4, 3] } }
evaluation { domain: [{ name: "x" }, { name: "y" }] windows: 8 window: 16 }
calibration { domain { name: "x" } } seed: [0, 1, 2]'
cat >a.textproto <<S
name: "a" $head
recipe { set { name: "slow" calibration { random {} } solve { gptq { damping: [0.01, 0.1] } } } }
S
ok_attempts() { sqlite3 "$1" "select count(*) from attempt where outcome = '$2'"; }

"$sweep" a.textproto --ledger=ref.db --out=ref --no_timings --quiet >expected 2>/dev/null
check "a whole run" 0 $?
check "13 results" 13 "$(ok_attempts ref.db ok)"

export FAKE_SLEEP_MS=60
for i in $(seq "$kills"); do
  "$sweep" a.textproto --ledger=k.db --out=k --no_timings --quiet >/dev/null 2>&1 &
  pid=$!
  sleep "0.$((RANDOM % 4))$((RANDOM % 10))"
  kill -9 $pid 2>/dev/null
  wait $pid 2>/dev/null
done
"$sweep" a.textproto --ledger=k.db --out=k --no_timings --quiet >resumed 2>/dev/null
check "resumed after $kills kills" 0 $?
cmp -s expected resumed
check "the same table, byte for byte" 0 $?
check "no trial twice" 13 "$(ok_attempts k.db ok)"

for point in after_claim after_trial worker_start before_record after_commit; do
  EAQ_CRASH_AT=$point "$sweep" a.textproto --ledger=c.db --out=c --no_timings --quiet >/dev/null 2>&1
done
FAKE_SLEEP_MS=0 "$sweep" a.textproto --ledger=c.db --out=c --no_timings --quiet >resumed 2>/dev/null
cmp -s expected resumed
check "the same table after a crash at every named point" 0 $?

"$sweep" a.textproto --ledger=two.db --out=two --no_timings --quiet >one 2>/dev/null &
"$sweep" a.textproto --ledger=two.db --out=two --no_timings --quiet >two.txt 2>/dev/null
wait
cmp -s expected one && cmp -s expected two.txt
check "two at once: both tables" 0 $?
check "two at once: no duplicate" 13 "$(ok_attempts two.db ok)"

cp "$sweep" program
FAKE_SLEEP_MS=100 ./program a.textproto --ledger=b.db --out=b --no_timings --quiet >replaced 2>/dev/null &
pid=$!
sleep 0.3
rm program
printf '#!/bin/sh\nexit 9\n' >program
chmod +x program
wait $pid
check "the binary replaced while it runs" 0 $?
cmp -s expected replaced
check "... and the same table" 0 $?

for signal in INT TERM; do
  # A background job of a script ignores SIGINT: env gives it back its default.
  FAKE_SLEEP_MS=200 env --default-signal=INT "$sweep" a.textproto --ledger=$signal.db --out=s >/dev/null 2>err &
  pid=$!
  sleep 0.5
  kill -$signal $pid
  wait $pid
  code=$?
  check "SIG$signal: exit 128+n" $((128 + $(kill -l $signal))) $code
  grep -q "to go on:" err
  check "SIG$signal: says how to go on" 0 $?
done
unset FAKE_SLEEP_MS

cat >e.textproto <<S
name: "e" $head
$(n=0; for r in ok fail crash exit0 memory noisy hang; do echo "recipe { set { name: '$r' calibration { none {} } solve { gptq { damping: 0.0$((++n)) } } } }"; done)
skip { scheme: "W4 bits=3" }
S
"$sweep" e.textproto --ledger=e.db --out=e --timeout=1 >/dev/null 2>err
check "failures do not stop the others: exit 1" 1 $?
check "failed" 4 "$(ok_attempts e.db failed)"
check "oom" 1 "$(ok_attempts e.db oom)"
check "timeout" 1 "$(ok_attempts e.db timeout)"
check "ok" 2 "$(ok_attempts e.db ok)"
check "every failure says how to run it again" 6 "$(grep -c -- '--retry=all --only=' err)"
"$sweep" e.textproto --ledger=e.db --out=e >/dev/null 2>&1
check "failed ones are not run again unasked" 4 "$(ok_attempts e.db failed)"

"$sweep" --help >/dev/null; check "--help" 0 $?
"$sweep" --jbos=1 2>err; check "unknown flag" 2 $?
grep -q 'did you mean "--jobs"' err; check "did you mean" 0 $?
"$sweep" no_such_file 2>/dev/null; check "no such spec" 2 $?
sed 's/path: "m"/path: "missing"/' a.textproto >m.textproto
"$sweep" m.textproto --ledger=m.db --out=m 2>/dev/null; check "no such model" 3 $?
echo "this is no ledger, whatever its name says" >foreign.db
"$sweep" a.textproto --ledger=foreign.db --out=f 2>/dev/null; check "foreign ledger" 4 $?
"$sweep" --plan a.textproto --ledger=ref.db --out=ref | grep -q '13 trials, 13 done, 0 to run'; check "--plan" 0 $?
"$sweep" --check a.textproto --ledger=x.db --out=x --quiet | grep -q '0 failed'; check "--check" 0 $?

[ "$failures" = 0 ] && echo "all passed"
exit "$failures"
