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
  "$eaq" "$command" --no_such_flag=1 >"$TEST_TMPDIR/out" 2>"$TEST_TMPDIR/err" </dev/null
  check "eaq $command --no_such_flag" 2 $?
done
for command in inspect perplexity generate; do
  "$eaq" "$command" --model=/nowhere --text=/nowhere/text --prompt=x >"$TEST_TMPDIR/out" 2>"$TEST_TMPDIR/err" </dev/null
  check "eaq $command without its other flags fails" 1 "$([ $? -ne 0 ] && echo 1)"
done
"$eaq" perplexity --model=/nowhere --text=/nowhere/text >"$TEST_TMPDIR/out" 2>"$TEST_TMPDIR/err"
check "eaq perplexity on a missing model" 1 $?
check "one line names the path" 1 "$(grep -c /nowhere "$TEST_TMPDIR/err")"
check "nothing on stdout" 0 "$(wc -c <"$TEST_TMPDIR/out")"
exit $failed
