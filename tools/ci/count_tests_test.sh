#!/bin/sh
# count_tests.sh against both kinds of test.xml, shards, a crash and a target that never ran.
set -u
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
count=$PWD/tools/ci/count_tests.sh
failures=0
expect() {  # expect "P F S" LABEL...
  want=$1; shift
  got=$(printf '%s\n' "$@" | "$count" "$logs" 2>/dev/null)
  if [ "$got" = "$want" ]; then echo "ok: $* is $want"; else
    echo "FAILED: $*: \"$got\", expected \"$want\""; failures=$((failures + 1))
  fi
}
mkdir -p "$logs/eaq/base/gtest" "$logs/tools/shell" "$logs/tools/crash" "$logs/root" "$logs/a/sharded/shard_1_of_2" \
  "$logs/a/sharded/shard_2_of_2" "$logs/a/sharded/shard_3_of_4" "$logs/a/whole/shard_1_of_2"
cat >"$logs/eaq/base/gtest/test.xml" <<'XML'
<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="4" failures="1" disabled="1" errors="0" time="0.1" name="AllTests">
  <testsuite name="S" tests="4" failures="1" disabled="1" skipped="1" errors="0" time="0.1">
    <testcase name="Good" status="run" result="completed" time="0" classname="S" />
    <testcase name="Bad" status="run" result="completed" time="0" classname="S">
      <failure message="x.cc:1&#x0A;not the word &lt;error" type=""><![CDATA[x.cc:1
first]]></failure>
      <failure message="second" type=""><![CDATA[second]]></failure>
    </testcase>
    <testcase name="Skips" status="run" result="skipped" time="0" classname="S">
      <skipped message="x.cc:2&#x0A;no data here"><![CDATA[no data]]></skipped>
    </testcase>
    <testcase name="DISABLED_Off" status="notrun" result="suppressed" time="0" classname="S" />
  </testsuite>
</testsuites>
XML
shell() { printf '<testsuites><testsuite name="s" tests="1" failures="0" errors="%s"><testcase name="s" status="run" duration="1" time="1">%s</testcase><system-out>text with a failure in it</system-out></testsuite></testsuites>\n' "$1" "$2"; }
shell 0 '' >"$logs/tools/shell/test.xml"
shell 1 '<error message="exited with error code 139"></error>' >"$logs/tools/crash/test.xml"
shell 0 '' >"$logs/root/test.xml"
shell 0 '' >"$logs/a/sharded/shard_1_of_2/test.xml"
shell 0 '' >"$logs/a/sharded/shard_2_of_2/test.xml"
# What other runs left: no shards and four of them before two; shards before none.
for old in sharded/test.xml sharded/shard_3_of_4/test.xml whole/shard_1_of_2/test.xml; do
  shell 1 '<error message="exited with error code 139"></error>' >"$logs/a/$old"
  touch -d '1 hour ago' "$logs/a/$old"
done
shell 0 '' >"$logs/a/whole/test.xml"

expect "1 1 2" //eaq/base:gtest
expect "1 0 0" //tools:shell
expect "0 1 0" //tools:crash
expect "1 0 0" //:root
expect "2 0 0" //a:sharded
expect "1 0 0" //a:whole
expect "0 1 0" //tools:never_ran
expect "4 2 2" //eaq/base:gtest //tools:shell //tools:crash //a:sharded
expect "0 0 0" ""
[ "$failures" = 0 ] || exit 1
