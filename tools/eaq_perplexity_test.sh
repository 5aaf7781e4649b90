#!/bin/sh
# The contract of `eaq perplexity --json`, on a tiny model made here: one JSON object with tokens, windows, nll,
# perplexity, tokens_per_second; windows do not overlap, no BOS, a window's first token is not predicted, the tail is
# left out; any number of threads, the same digits.
#   eaq_perplexity_test.sh EAQ TINY_MODEL
set -u
eaq=$1 tiny_model=$2
failed=0
check() {  # check WHAT EXPECTED FOUND
  if [ "$2" = "$3" ]; then echo "ok   $1"; else echo "FAIL $1: expected $2, found $3"; failed=1; fi
}
near() {  # near WHAT EXPECTED FOUND RELATIVE
  check "$1: $2 ~ $3" 1 "$(awk -v a="$2" -v b="$3" -v r="$4" \
    'BEGIN { d = a - b; if (d < 0) d = -d; print (a > 0 && b > 0 && d <= r * a) ? 1 : 0 }')"
}
field() { sed -n "s/.*\"$1\":\([-+.0-9eE]*\)[,}].*/\1/p" "$TEST_TMPDIR/out"; }
model=$TEST_TMPDIR/model text=$TEST_TMPDIR/text

# 1000 bytes, which are 1000 tokens: 3 windows of 256 and a tail of 232; 15 windows of 64 and a tail of 40.
awk 'BEGIN { for (i = 0; i < 1000; ++i) printf "%c", 97 + (i * i + 7 * i) % 26 }' >"$text"
for window in 256 64 2 1000; do
  expected=$("$tiny_model" "$model" "$text" $window) || { echo "FAIL tiny_model"; exit 1; }
  set -- $expected
  "$eaq" perplexity --model="$model" --text="$text" --window=$window --json >"$TEST_TMPDIR/out" 2>"$TEST_TMPDIR/err"
  check "window $window: exit code" 0 $?
  check "window $window: quiet on stderr" 0 "$(wc -c <"$TEST_TMPDIR/err")"
  check "window $window: one line" 1 "$(wc -l <"$TEST_TMPDIR/out")"
  check "window $window: one object" 1 "$(grep -c '^{[^{}]*}$' "$TEST_TMPDIR/out")"
  check "window $window: the fields" "nll perplexity tokens tokens_per_second windows" \
    "$(tr ',{' '\n\n' <"$TEST_TMPDIR/out" | sed -n 's/^"\([a-z_]*\)":.*/\1/p' | sort | tr '\n' ' ' | sed 's/ $//')"
  check "window $window: windows" $((1000 / window)) "$(field windows)"
  check "window $window: predicted tokens" $((1000 / window * (window - 1))) "$(field tokens)"
  check "window $window: the slow way agrees on the tokens" "$1 $2" "$(field tokens) $(field windows)"
  near "window $window: nll" "$3" "$(field nll)" 1e-5
  near "window $window: perplexity is exp(nll)" "$(awk -v n="$(field nll)" 'BEGIN { printf "%.17g", exp(n) }')" \
    "$(field perplexity)" 1e-12
  check "window $window: a speed" 1 "$(awk -v s="$(field tokens_per_second)" 'BEGIN { print (s > 0) }')"
done

# 256 is the default, and threads change no digit.
digits() { sed 's/"tokens_per_second":[^,}]*//' "$TEST_TMPDIR/out"; }
"$eaq" perplexity --model="$model" --text="$text" --window=256 --threads=1 --json >"$TEST_TMPDIR/out"
one=$(digits)
"$eaq" perplexity --model="$model" --text="$text" --threads=3 --json >"$TEST_TMPDIR/out"
check "the same for 3 threads and the default window" "$one" "$(digits)"

# The tail counts for nothing: another tail, the same result.
{ head -c 768 "$text"; printf '%0255d' 0; } >"$text.tail"
"$eaq" perplexity --model="$model" --text="$text.tail" --json >"$TEST_TMPDIR/out"
check "another tail" "$one" "$(digits)"
"$eaq" perplexity --model="$model" --text="$text" --max_windows=2 --json >"$TEST_TMPDIR/out"
check "--max_windows=2" "2 510" "$(field windows) $(field tokens)"

head -c 255 "$text" >"$text.short"
"$eaq" perplexity --model="$model" --text="$text.short" --json >"$TEST_TMPDIR/out" 2>"$TEST_TMPDIR/err"
check "less than a window" 1 $?
check "less than a window: the message counts" 1 "$(grep -c '255 tokens .* one window of 256' "$TEST_TMPDIR/err")"
check "less than a window: nothing on stdout" 0 "$(wc -c <"$TEST_TMPDIR/out")"
exit $failed
