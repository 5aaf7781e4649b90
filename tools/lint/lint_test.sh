#!/bin/sh
# Builds a small tree, clean at first, then breaks one rule at a time: every check must see its own break.
set -u
lint=$PWD/tools/lint/lint.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
export EAQ_LINT_ROOT="$tree"
failures=0

clean_tree() {
  rm -rf "$tree"
  mkdir -p "$tree/tools/lint" "$tree/eaq/base" "$tree/eaq/tensor" "$tree/kernels/cpu" "$tree/docs" "$tree/third_party"
  cp -L tools/lint/rooms.txt tools/lint/doors.txt "$tree/tools/lint/"
  cp -L .clang-format "$tree/"
  for room in eaq/base eaq/tensor kernels kernels/cpu docs third_party tools; do echo "# room" >"$tree/$room/README.md"; done
  printf '#ifndef EAQ_BASE_A_H_\n#define EAQ_BASE_A_H_\n\n#include <string>\n\nstd::string A();\n\n#endif  // EAQ_BASE_A_H_\n' \
    >"$tree/eaq/base/a.h"
  printf '#include "eaq/base/a.h"\n\nstd::string A() { return ""; }\n' >"$tree/eaq/base/a.cc"
  printf '#include "eaq/base/a.h"\n' >"$tree/eaq/tensor/b.cc"
}

# expect clean|dirty CHECK DESCRIPTION [TEXT]: the check's verdict, and TEXT in what it prints.
expect() {
  out=$("$lint" "$2" 2>&1)
  code=$?
  case $1 in clean) want=0 ;; *) want=1 ;; esac
  if [ "$code" != "$want" ]; then
    echo "FAILED: $2, $3: exit $code, expected $want"; echo "$out"; failures=$((failures + 1))
  elif [ -n "${4:-}" ] && ! printf '%s\n' "$out" | grep -qF -- "$4"; then
    echo "FAILED: $2, $3: \"$4\" is not in"; echo "$out"; failures=$((failures + 1))
  else
    echo "ok: $2, $3"
  fi
  clean_tree
}

clean_tree
for check in format rooms doors headers size readme links; do expect clean "$check" "clean tree"; done

printf 'int  x ;\n' >>"$tree/eaq/base/a.cc"
expect dirty format "crooked line" "eaq/base/a.cc:"

printf '#include "eaq/tensor/b.h"\n' >>"$tree/eaq/base/a.cc"
expect dirty rooms "an arrow upward" "eaq/base must not include eaq/tensor/b.h"
printf '#include "eaq/base/a.h"\n' >"$tree/kernels/cpu/k.cc"
expect dirty rooms "kernels is a leaf" "kernels must not include eaq/base/a.h"
printf '#include "absl/strings/str_cat.h"\n' >"$tree/kernels/cpu/k.cc"
expect dirty rooms "kernels without absl" "must not include absl/strings/str_cat.h"
printf '#include "a.h"\n' >>"$tree/eaq/base/a.cc"
expect dirty rooms "include from the same folder" "from the workspace root"
printf '#include "eaq/tensor/b.h"\n' >"$tree/eaq/base/a_test.cc"
expect clean rooms "a test may look around"

printf '#include <immintrin.h>\n' >>"$tree/eaq/base/a.cc"
expect dirty doors "intrinsics outside kernels" 'door "simd"'
printf '#include <immintrin.h>\n' >"$tree/kernels/cpu/k.cc"
expect clean doors "intrinsics in kernels"
printf '#include "absl/flags/flag.h"\n' >>"$tree/eaq/base/a.cc"
expect dirty doors "flags in the library" 'door "flags"'
printf '#include <eigen3/Eigen/Dense>\n' >"$tree/eaq/base/d.cc"
expect dirty doors "Eigen beside its header" 'door "eigen"'
rm "$tree/eaq/base/d.cc"
printf 'void F() { fopen("x", "r"); }\n' >>"$tree/eaq/base/a.cc"
expect dirty doors "a file opened beside the door" 'eaq/base/a.cc:4: door "disk"'
printf '// fopen("x") is not called here\nvoid F() { file.open("x"); Reopen("x"); }\n' >>"$tree/eaq/base/a.cc"
expect clean doors "words that only look like it"

printf '#ifndef EAQ_BASE_C_H_\n#define EAQ_BASE_C_H_\ninline std::string C() { return ""; }\n#endif\n' >"$tree/eaq/base/c.h"
expect dirty headers "a header that needs another before it" "eaq/base/c.h:1: does not compile alone"
printf '#include <string>\n#include "eaq/base/a.h"\n' >"$tree/eaq/base/a.cc"
expect dirty headers "own header not first" "must include eaq/base/a.h first"
sed -i 's/EAQ_BASE_A_H_/A_H/' "$tree/eaq/base/a.h"
expect dirty headers "wrong guard" "include guard must be EAQ_BASE_A_H_"

yes '// line' | head -n 601 >"$tree/eaq/base/long.cc"
expect dirty size "601 lines" "601 lines; at most 600"
yes '// line' | head -n 600 >"$tree/eaq/base/long.cc"
expect clean size "600 lines"

rm "$tree/eaq/tensor/README.md"
expect dirty readme "no README" "eaq/tensor:1: no README.md"
yes 'line' | head -n 31 >"$tree/docs/README.md"
expect dirty readme "31 lines" "docs/README.md:31"

printf 'see [a](eaq/base/a.h), [web](https://example.org/x), [part](#part)\n' >"$tree/README.md"
expect clean links "links that lead somewhere"
printf 'first\nsee [a](eaq/base/none.h)\n' >"$tree/README.md"
expect dirty links "a link to nothing" "README.md:2: link to eaq/base/none.h"

[ "$failures" = 0 ] || { echo "$failures failed"; exit 1; }
