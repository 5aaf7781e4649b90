#!/bin/sh
# lint.sh CHECK: one check over the whole repository. Prints "path:line: what is wrong" for every finding; exit 1
# when there is one. Run by //tools/lint:CHECK_test, or by hand: tools/lint/lint.sh format
#
#   format   C++ as clang-format and .clang-format want it
#   rooms    includes follow the arrows of rooms.txt
#   doors    flags, SIMD, disk, terminal, clock, randomness only where doors.txt allows
#   headers  every header compiles alone, and has its include guard
#   size     no hand-written file over 600 lines
#   readme   every room has a README.md of at most 30 lines
#   links    every relative link of a .md file leads somewhere
#
# EAQ_LINT_ROOT: another tree to check (the lint's own test uses it).
set -u
export LC_ALL=C

check=${1:?usage: lint.sh format|rooms|doors|headers|size|readme|links}
if [ -n "${EAQ_LINT_ROOT:-}" ]; then
  root=$EAQ_LINT_ROOT
elif [ -e tools/lint/lint.sh ] && [ -e WORKSPACE ]; then
  root=$(dirname "$(readlink -f WORKSPACE)")  # under bazel test WORKSPACE is a link to the source tree
else
  root=$(cd "$(dirname "$0")/../.." && pwd -P)
fi
cd "$root" || exit 2
findings=$(mktemp) || exit 2
trap 'rm -rf "$findings" "$findings".*' EXIT

# Files that people wrote: known to git, or new and not ignored.
files() {
  if ! git ls-files -co --exclude-standard 2>/dev/null; then
    find . \( -name .git -o -name 'bazel-*' \) -prune -o -type f -print | sed 's|^\./||'
  fi | sort -u | while IFS= read -r f; do [ -f "$f" ] && printf '%s\n' "$f"; done
}
cpp() { files | grep -E '\.(h|cc|cu|cuh)$'; }

case $check in
  format)
    cpp | tr '\n' '\0' | xargs -0 -r -n 16 -P 2 clang-format --dry-run -Werror 2>&1 |
      awk -F: '/: error: / && !seen[$1]++ { print $1 ":" $2 ": not as clang-format wants it (clang-format -i " $1 ")" }' \
        >"$findings"
    ;;

  rooms)
    # Every line '#include "path"', with its file and line, against the table.
    cpp | tr '\n' '\0' | xargs -0 -r grep -nHE '^[[:space:]]*#[[:space:]]*include[[:space:]]+"' |
      awk -v table=tools/lint/rooms.txt '
        function room_of(path,   r, best) {
          best = ""
          for (r in allowed) if (index(path, r "/") == 1 && length(r) > length(best)) best = r
          return best
        }
        BEGIN {
          while ((getline line < table) > 0) {
            sub(/#.*/, "", line)
            colon = index(line, ":")
            if (colon) allowed[substr(line, 1, colon - 1)] = substr(line, colon + 1)
          }
        }
        {
          split($0, part, ":")
          file = part[1]
          where = file ":" part[2]
          if (!match($0, /"[^"]*"/)) next
          target = substr($0, RSTART + 1, RLENGTH - 2)
          from = room_of(file)
          to = room_of(target)
          if (from == "") { print where ": no room of tools/lint/rooms.txt holds this file"; next }
          if (to == "") {
            # from outside the house (absl/..., gtest/..., <name>.h of a package): kernels/ may use the standard library only
            if (target !~ /\// && target !~ /^cu/) print where ": " target ": includes are written from the workspace root"
            else if (from == "kernels" && target ~ /^(absl|google|nlohmann|gtest|gmock)\// && file !~ /_test\.cc$/)
              print where ": kernels/ is a leaf, it must not include " target
            next
          }
          if (to == from) next
          if ((file ~ /_test\.cc$/ || file ~ /\/test[a-z_]*\.h$/) && to != "experiments" && from != "kernels") next
          n = split(allowed[from], list, " ")
          ok = 0
          for (i = 1; i <= n; ++i)
            if (to == list[i] || target == list[i] || index(target, list[i] "/") == 1) ok = 1
          if (!ok) print where ": " from " must not include " target " (tools/lint/rooms.txt)"
        }' >"$findings"
    ;;

  doors)
    sed -e 's/[[:space:]]*#[[:space:]].*//' -e '/^#/d' -e '/^[[:space:]]*$/d' tools/lint/doors.txt >"$findings.doors"
    while IFS= read -r line; do
      name=$(printf '%s' "${line%%|*}" | tr -d ' ')
      allowed=${line##*|}
      pattern=${line#*|}
      pattern=$(printf '%s' "${pattern%|*}" | sed -e 's/^ *//' -e 's/ *$//')
      cpp | grep -vE '_test\.cc$|^tests/|/test[a-z_]*\.h$' >"$findings.files"
      for place in $allowed; do
        awk -v p="$place" 'index($0, p) != 1' "$findings.files" >"$findings.rest"
        mv "$findings.rest" "$findings.files"
      done
      tr '\n' '\0' <"$findings.files" | xargs -0 -r grep -nHE -- "$pattern" |
        awk -v name="$name" -v allowed="$allowed" '
          { text = $0; sub(/^[^:]*:[0-9]*:/, "", text); if (text ~ /^[[:space:]]*\/\//) next
            split($0, part, ":")
            print part[1] ":" part[2] ": door \"" name "\" is only for" allowed " (tools/lint/doors.txt):" text }' \
          >>"$findings"
    done <"$findings.doors"
    ;;

  headers)
    # A header that is the first include of its own x.cc (or x_test.cc) is compiled alone by every build: that include
    # must stay the first. The others are compiled here.
    mkdir "$findings.gen"
    files | grep '\.proto$' | while IFS= read -r proto; do
      protoc -I. --cpp_out="$findings.gen" "$proto" 2>>"$findings" || echo "$proto:1: protoc refuses it" >>"$findings"
    done
    cpp | grep '\.h$' | while IFS= read -r header; do
      guard=$(printf '%s_' "$header" | tr 'a-z/.-' 'A-Z___')
      grep -q "^#ifndef $guard\$" "$header" || echo "$header:1: include guard must be $guard"
      own=
      for source in "${header%.h}.cc" "${header%.h}_test.cc"; do
        [ -f "$source" ] || continue
        first=$(sed -n 's/^#include ["<]\([^">]*\)[">].*/\1/p' "$source" | head -n 1)
        if [ "$first" = "$header" ]; then own=yes; else echo "$source:1: must include $header first (found $first)"; fi
      done
      [ -n "$own" ] || printf '%s\n' "$header" >>"$findings.alone"
    done >>"$findings"
    if [ -f "$findings.alone" ]; then
      # shellcheck disable=SC2016  # $1, $2 are the inner shell's
      xargs -r -n 1 -P 2 sh -c '
        error=$(g++ -std=c++20 -march=x86-64-v3 -fsyntax-only -x c++ -w -I. -I"$1" "$2" 2>&1) ||
          printf "%s:1: does not compile alone: %s\n" "$2" "$(printf "%s" "$error" | grep -m1 error)"
      ' sh "$findings.gen" <"$findings.alone" >>"$findings"
    fi
    ;;

  size)
    files | grep -E '\.(h|cc|cu|cuh|bzl|sh|proto|sql|css|js)$|/BUILD$' | tr '\n' '\0' | xargs -0 -r wc -l |
      awk '$2 != "total" && $1 > 600 { print $2 ":1: " $1 " lines; at most 600" }' >"$findings"
    ;;

  readme)
    # A room: a folder of the table, one below eaq/methods/, third_party, docs.
    {
      sed -n 's/^\([a-z_/]*\):.*/\1/p' tools/lint/rooms.txt
      files | sed -nE 's#^(eaq/methods/[^/]+)/.*#\1#p'
      echo third_party
      echo docs
    } | sort -u | while IFS= read -r room; do
      files | grep -q "^$room/" || continue  # an empty folder is no room yet
      if [ ! -f "$room/README.md" ]; then
        echo "$room:1: no README.md (what lives here, where to start reading, what must not be imported)"
      else
        lines=$(wc -l <"$room/README.md")
        [ "$lines" -le 30 ] || echo "$room/README.md:31: $lines lines; at most 30"
      fi
    done >"$findings"
    ;;

  links)
    files | grep '\.md$' | while IFS= read -r page; do
      grep -noE '\]\([^)#: ]+[)#]' "$page" | sed -e 's/\](//' -e 's/.$//' | while IFS=: read -r line target; do
        [ -e "$(dirname "$page")/$target" ] || echo "$page:$line: link to $target, which is not there"
      done
    done >"$findings"
    ;;

  *)
    echo "lint.sh: no check \"$check\": format, rooms, doors, headers, size, readme, links" >&2
    exit 2
    ;;
esac

if [ -s "$findings" ]; then
  cat "$findings"
  echo "lint $check: $(grep -c . "$findings") findings"
  exit 1
fi
echo "lint $check: clean ($(files | wc -l) files)"
