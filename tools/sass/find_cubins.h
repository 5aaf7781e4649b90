// The cubins below a folder: what `bazel build --output_groups=cubins` made, or a test's runfiles.
#ifndef TOOLS_SASS_FIND_CUBINS_H_
#define TOOLS_SASS_FIND_CUBINS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/sass/cubin.h"

namespace eaq::sass {

struct Found {
  std::string library;  // the stem of the .cu file: "fake_quant" of .../fake_quant.sm_80.cubin
  std::string path;
  Cubin cubin;
};

// PATH: a cubin, or a folder, searched to the bottom; sorted by path.
absl::StatusOr<std::vector<Found>> FindCubins(const std::string& path);

}  // namespace eaq::sass

#endif  // TOOLS_SASS_FIND_CUBINS_H_
