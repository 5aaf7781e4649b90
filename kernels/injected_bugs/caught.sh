#!/bin/sh
# caught.sh BUG RIGHT SAYS [FLAGS...]: passes when the program RIGHT ends well and BUG does not, with SAYS (an extended
# regular expression) in what it says.
set -u
bug=$1 right=$2 says=$3
shift 3
"$right" "$@" || { echo "the kernel as it is fails ($right $*)"; exit 1; }
said=$("$bug" "$@" 2>&1)
code=$?
echo "with the bug: exit code $code; it says:"
printf '%s\n' "$said" | head -n 20
[ $code -ne 0 ] || { echo "nobody caught the bug"; exit 1; }
printf '%s\n' "$said" | grep -qE -e "$says" || { echo "expected: $says"; exit 1; }
