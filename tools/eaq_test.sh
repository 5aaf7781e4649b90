#!/bin/sh
# Every subcommand: --help is exit 0 on stdout, an unknown flag and a missing model are errors with one message.
set -u
eaq=$1
failed=0
check() {  # check WHAT EXPECTED FOUND
  if [ "$2" = "$3" ]; then echo "ok   $1"; else echo "FAIL $1: expected $2, found $3"; failed=1; fi
}
"$eaq" --help >"$TEST_TMPDIR/out" 2>"$TEST_TMPDIR/err"
check "eaq --help" 0 $?
commands=$(sed -n 's/^  eaq \([a-z]*\) .*/\1/p' "$TEST_TMPDIR/out")
"$eaq" inspekt >"$TEST_TMPDIR/out" 2>"$TEST_TMPDIR/err"
check "eaq inspekt" 2 $?
check "did you mean" 1 "$(grep -c 'did you mean inspect' "$TEST_TMPDIR/err")"
for command in $commands; do
  "$eaq" "$command" --help >"$TEST_TMPDIR/out" 2>"$TEST_TMPDIR/err"
  check "eaq $command --help" 0 $?
  check "eaq $command --help is quiet on stderr" 0 "$(wc -c <"$TEST_TMPDIR/err")"
  flags=$(sed -n 's/^  --\([a-z_]*\) .*/\1/p' "$TEST_TMPDIR/out")
  check "eaq $command --help lists flags" 1 "$([ -n "$flags" ] && echo 1)"
  "$eaq" "$command" --no_such_flag=1 >"$TEST_TMPDIR/out" 2>"$TEST_TMPDIR/err" </dev/null
  check "eaq $command --no_such_flag" 2 $?
  for flag in $flags; do  # one letter too many
    "$eaq" "$command" "--${flag}q=1" >"$TEST_TMPDIR/out" 2>"$TEST_TMPDIR/err" </dev/null
    check "eaq $command --${flag}q=1" 2 $?
    check "eaq $command --${flag}q=1 is answered by --$flag" 1 "$(grep -c "did you mean --$flag?" "$TEST_TMPDIR/err")"
    check "eaq $command --${flag}q=1 prints nothing on stdout" 0 "$(wc -c <"$TEST_TMPDIR/out")"
  done
done
for command in inspect perplexity generate tokenize train; do
  "$eaq" "$command" >"$TEST_TMPDIR/out" 2>"$TEST_TMPDIR/err" </dev/null
  check "eaq $command without the flags it needs" 2 $?
  check "eaq $command names what it needs" 1 "$(grep -c -e '--[a-z]*=.* needed' "$TEST_TMPDIR/err")"
done
for bad in --window=1 --window=ten --window= --max_windows=-1 --threads=-1 --json=maybe window=256; do
  "$eaq" perplexity --model=/nowhere --text=/nowhere/text $bad >"$TEST_TMPDIR/out" 2>"$TEST_TMPDIR/err"
  check "eaq perplexity $bad" 2 $?
done
"$eaq" generate --model=/nowhere --prompt=a --backend=gpu >"$TEST_TMPDIR/out" 2>"$TEST_TMPDIR/err"
check "eaq generate --backend=gpu" 2 $?
check "the backends are named" 1 "$(grep -c 'expected cpu, emulation or cuda' "$TEST_TMPDIR/err")"
"$eaq" perplexity --model=/nowhere --text=/nowhere/text >"$TEST_TMPDIR/out" 2>"$TEST_TMPDIR/err"
check "eaq perplexity on a missing model" 1 $?
check "one line names the path" 1 "$(grep -c /nowhere "$TEST_TMPDIR/err")"
check "nothing on stdout" 0 "$(wc -c <"$TEST_TMPDIR/out")"
exit $failed
