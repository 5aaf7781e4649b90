#!/bin/sh
# bazelw with stand-ins for dpkg-query, apt-get, sudo, id and bazel in front of the PATH: no package is touched.
set -u
unset EAQ_SHARED EAQ_NO_INSTALL EAQ_BAZEL
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
mkdir -p "$work/repo/tools" "$work/repo/eaq/base" "$work/bin" "$work/elsewhere"
cp -L bazelw "$work/repo/bazelw"
cp -L tools/packages.txt "$work/repo/tools/packages.txt"
chmod +x "$work/repo/bazelw"

stub() { printf '#!/bin/sh\n%s\n' "$2" >"$work/bin/$1"; chmod +x "$work/bin/$1"; }
# The stand-in for dpkg-query knows the packages of $work/installed, as the real one does, unknown ones on stderr.
stub dpkg-query 'shift 2; bad=0; for p in "$@"; do
  if grep -qx -- "$p" "$WORK/installed"; then echo "installed $p"; else echo "no packages found matching $p" >&2; bad=1; fi
done; echo call >>"$WORK/queries"; exit $bad'
stub apt-get 'echo "apt-get $*" >>"$WORK/log"
if [ "$1" = update ]; then touch "$WORK/updated"; exit 0; fi
if [ -f "$WORK/needs_update" ] && [ ! -f "$WORK/updated" ]; then exit 100; fi
[ ! -f "$WORK/broken" ]'
stub sudo 'echo sudo >>"$WORK/log"; exec "$@"'
stub id 'cat "$WORK/uid"'
stub bazel 'echo "bazel $*"; echo "in $(pwd -P)"; exit "${BAZEL_EXIT:-0}"'
wanted=$(sed -e 's/#.*//' -e 's/[[:space:]].*//' -e '/^$/d' tools/packages.txt)

# fresh [PACKAGE...]: everything installed but these.
fresh() {
  rm -f "$work"/log "$work"/queries "$work"/updated "$work"/needs_update "$work"/broken
  echo 0 >"$work/uid"
  for package in $wanted; do
    gone=
    for missing in "$@"; do [ "$missing" = "$package" ] && gone=1; done
    [ -n "$gone" ] || echo "$package"
  done >"$work/installed"
  : >"$work/log"
}
run() {  # run FOLDER ENVIRONMENT... -- ARGUMENTS: sets $code, $out, $err
  folder=$1; shift
  settings=
  while [ "$1" != -- ]; do settings="$settings $1"; shift; done
  shift
  # shellcheck disable=SC2086
  out=$(cd "$folder" && env WORK="$work" PATH="$work/bin:/usr/bin:/bin" EAQ_BAZEL="$work/bin/bazel" $settings \
    "$work/repo/bazelw" "$@" 2>"$work/err")
  code=$?
  err=$(cat "$work/err")
}
check() {  # check DESCRIPTION CONDITION...
  what=$1; shift
  if "$@"; then echo "ok: $what"; else
    failures=$((failures + 1))
    echo "FAILED: $what"; echo "exit $code"; echo "out: $out"; echo "err: $err"; echo "log: $(cat "$work/log")"
  fi
}
has() { case "$1" in *"$2"*) return 0 ;; esac; return 1; }
lacks() { ! has "$1" "$2"; }

fresh
run "$work/repo" -- test //... --config=x
check "all there: bazel gets the arguments" has "$out" "bazel test //... --config=x"
check "all there: nothing said" [ -z "$err" ]
check "all there: apt-get is not called" [ ! -s "$work/log" ]
check "one dpkg-query call" [ "$(wc -l <"$work/queries")" = 1 ]

run "$work/repo/eaq/base" -- build :file
check "from a folder below: bazel stands there" has "$out" "in $(readlink -f "$work")/repo/eaq/base"
run "$work/elsewhere" -- build //x
check "from outside: bazel stands in the repository" has "$out" "in $(readlink -f "$work")/repo"
run "$work/repo" BAZEL_EXIT=7 -- build //x
check "bazel's exit code is the script's" [ "$code" = 7 ]

fresh libabsl-dev dict-foldoc
run "$work/repo" -- build //x
check "missing packages are named" has "$err" "missing packages: libabsl-dev dict-foldoc"
check "and installed" has "$(cat "$work/log")" "apt-get install -y -q --no-install-recommends libabsl-dev dict-foldoc"
check "root needs no sudo" lacks "$(cat "$work/log")" "sudo"
check "the lists are not read needlessly" lacks "$(cat "$work/log")" "update"
check "then bazel runs" has "$out" "bazel build //x"
check "stdout is bazel's alone" lacks "$out" "apt-get"

fresh libabsl-dev
echo 1000 >"$work/uid"
run "$work/repo" -- build //x
check "others go through sudo" has "$(cat "$work/log")" "sudo"

fresh libabsl-dev
touch "$work/needs_update"
run "$work/repo" -- build //x
check "old package lists are read anew" has "$(cat "$work/log")" "apt-get update"
check "and the install tried again" [ "$(grep -c install "$work/log")" = 2 ]
check "then bazel runs" has "$out" "bazel build //x"

fresh libabsl-dev
touch "$work/broken"
run "$work/repo" -- build //x
check "a failed install ends with 3" [ "$code" = 3 ]
check "bazel does not run then" lacks "$out" "bazel"

fresh g++ libabsl-dev
run "$work/repo" EAQ_NO_INSTALL=1 -- build //x
check "EAQ_NO_INSTALL: exit 3" [ "$code" = 3 ]
check "EAQ_NO_INSTALL: the apt line" has "$err" "apt-get install -y --no-install-recommends g++ libabsl-dev"
check "EAQ_NO_INSTALL: nothing installed" [ ! -s "$work/log" ]
fresh
run "$work/repo" EAQ_NO_INSTALL=1 -- build //x
check "EAQ_NO_INSTALL with all there: bazel runs" has "$out" "bazel build //x"

# No Debian: a PATH with the few tools that the script uses, and no dpkg-query.
fresh
mkdir "$work/plain"
for tool in sh sed dirname cat env id; do ln -s "$(command -v $tool)" "$work/plain/$tool"; done
out=$(cd "$work/repo" && PATH="$work/plain" ./bazelw build //x 2>"$work/err"); code=$?; err=$(cat "$work/err")
check "no Debian: exit 4" [ "$code" = 4 ]
check "no Debian: says so" has "$err" "no Debian or Ubuntu"

# The shared folder beside the repository is handed on.
fresh
mkdir "$work/shared"
stub bazel 'echo "shared=$EAQ_SHARED"'
run "$work/repo" -- test
check "EAQ_SHARED is set where there is one" has "$out" "shared=$(readlink -f "$work")/shared"
run "$work/repo" EAQ_SHARED=/mine -- test
check "but never overwritten" has "$out" "shared=/mine"

# Every line of the list has a name and a reason.
check "every package has a reason" [ -z "$(sed -e 's/^#.*//' -e '/^$/d' tools/packages.txt | grep -vE '^[a-z0-9.+-]+ +[^ ]')" ]

[ "$failures" = 0 ] || { echo "$failures failed"; exit 1; }
