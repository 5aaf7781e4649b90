#!/bin/bash
# Ablations, forms and several models through the whole sweep, with fake trials: what runs, and what the report's files
# hold. Usage: forms_test.sh FAKE_SWEEP
set -u
sweep=$(readlink -f "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
unset BUILD_WORKSPACE_DIRECTORY BUILD_WORKING_DIRECTORY
failures=0
check() { if [ "$2" = "$3" ]; then echo "ok: $1"; else echo "FAILED: $1: expected '$2', found '$3'"; failures=$((failures + 1)); fi; }
run() { "$sweep" a.textproto --ledger=l.db --out=o --no_timings --quiet "$@" 2>err; }
cat >a.textproto <<S
name: "a" title: "Parts"
model { name: "m" path: "m" } model { name: "n" path: "n" }
scheme { name: "W4" weights { bits: 4 } }
evaluation { domain { name: "x" } windows: 8 window: 16 }
calibration { domain { name: "x" } } seed: [0, 1]
recipe { set { name: "base" calibration { none {} } solve { nearest {} } router { quantize {} } } }
recipe { set { name: "whole" calibration { random {} } transform { smoothquant {} } solve { nearest { clip {} } } } }
ablation { of: "whole" relative_to: "base" add_one_in: true leave_one_out: true pairs: true
  part { name: "smoothing" field: "transform" } part { name: "clip" field: "solve" } }
form: [AS_PUBLISHED, EQUAL]
equal { solve { nearest { clip { steps: 50 } } } }
S
run >text
check "it runs" 0 $?
# Per model: full precision; as published base 1, whole 2, 3 parts alone and 3 left out, 2 seeds each; equal: clip is
# no part any more, so base 1, whole 2, smoothing and router alone 2 each: 1 + 15 + 7.
check "every trial once" 46 "$(sqlite3 l.db "select count(*) from attempt where outcome = 'ok'")"
check "a part per model and form" "Parts, m, as published
Parts, m, equal
Parts, n, as published
Parts, n, equal" "$(grep '^Parts, ' text)"
check "ablations" 4 "$(grep -c '^Ablation W4: whole relative to base' text)"
check "interactions" 8 "$(grep -c ' × ' text)"
check "what was made equal is said" 2 "$(grep -c 'Part clip: made equal in this form' text)"
check "arms are no rows" 0 "$(grep -c '^[*≈ ] *base + smoothing' text)"
check "other scopes are kept apart" 4 "$(grep -c '^Fairness gate: W4: not ranked together: base (.*router at 8 bits.*) | whole (' text)"
check "files" "a.csv a.figures a.html a.tex a_ablation.csv a_cost.csv a_summary.csv" "$(cd o/report && echo *)"
check "forms in the CSV" "as published equal" "$(cut -d, -f32 o/report/a.csv | tail -n +2 | sort -u | xargs)"
# Per model: as published 1 whole, 3 alone, 3 without, 3 pairs, 1 rest; equal 1, 2, 2, 1.
check "effects in the CSV" $((1 + 2 * (11 + 6))) "$(wc -l <o/report/a_ablation.csv)"
check "one page" 1 "$(grep -c '</html>' o/report/a.html)"
check "with all parts" 4 "$(grep -c '<h1 class="part"' o/report/a.html)"
check "waterfalls" 4 "$(grep -c 'id="p[0-3]-ablation0-t"' o/report/a.html)"
check "tables for LaTeX" 8 "$(grep -c 'begin{table}' o/report/a.tex)"
check "costs, one per model" 2 "$(grep -c 'what sharing saves' o/report/a.html)"

echo 'comparison { rank_despite: SCOPE }' >>a.textproto
run >text
check "ranked because the spec asks" 4 "$(grep -c 'in spite of different scope, because the spec says' text)"
check "nothing ran again" 46 "$(sqlite3 l.db "select count(*) from attempt where outcome = 'ok'")"
run --format=json >json
sqlite3 :memory: "select json_array_length(readfile('json'))" >count
check "JSON: an array of the parts" 4 "$(cat count)"

sed -i 's/of: "whole"/of: "hole"/' a.textproto
run >text
check "an unknown recipe is bad usage" 2 $?
grep -q 'a.textproto:8:12: no recipe here is called "hole"; did you mean "whole"?' err
check "and is pointed at" 0 $?

[ "$failures" = 0 ] && echo "all passed"
exit "$failures"
