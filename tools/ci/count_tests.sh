#!/bin/sh
# count_tests.sh TESTLOGS <LABELS: prints "PASSED FAILED SKIPPED", counting test cases, for the targets named on stdin.
# TESTLOGS is bazel's folder of that name: TESTLOGS/package/target/test.xml, or shard_I_of_N/test.xml below it. Bazel
# leaves there what runs with other numbers of shards wrote: the newest file says which are meant. A target without any
# test.xml did not run (it did not build, or was stopped): one failed case.
#
# Both writers of test.xml are read: GoogleTest (result="skipped", <failure>) and bazel's own for other tests, and for
# tests that crashed (<error>).
set -u
logs=${1:?usage: count_tests.sh TESTLOGS <labels}
passed=0 failed=0 skipped=0
while IFS= read -r label; do
  [ -n "$label" ] || continue
  target=${label#@}
  target=${target#//}
  folder="$logs/$(printf '%s' "$target" | sed -e 's|^:||' -e 's|:|/|')"
  newest=$(ls -t "$folder"/test.xml "$folder"/shard_*/test.xml 2>/dev/null | head -n 1)
  case $newest in
    */shard_*) shards=${newest##*_of_}; xmls=$(ls "$folder"/shard_*_of_"${shards%/test.xml}"/test.xml) ;;
    *) xmls=$newest ;;
  esac
  if [ -z "$xmls" ]; then
    echo "count_tests: $label has no result" >&2
    failed=$((failed + 1))
    continue
  fi
  # shellcheck disable=SC2086
  counts=$(cat $xmls | sed 's/<\(testcase\|failure\|error\|skipped\|\/testcase\)/\n<\1/g' | awk '
    function finish() {
      if (!open) return
      if (bad) ++failed; else if (skip) ++skipped; else ++passed
      open = 0
    }
    /^<testcase/ {
      finish()
      open = 1
      bad = 0
      skip = /result="skipped"/ || /status="notrun"/
    }
    /^<(failure|error)[ >\/]/ { if (open) bad = 1; else ++failed }
    /^<skipped/ { skip = 1 }
    END { finish(); print passed + 0, failed + 0, skipped + 0 }')
  # shellcheck disable=SC2086
  set -- $counts
  passed=$((passed + $1)) failed=$((failed + $2)) skipped=$((skipped + $3))
  [ "$2" = 0 ] || echo "count_tests: $label: $2 failed" >&2
done
echo "$passed $failed $skipped"
