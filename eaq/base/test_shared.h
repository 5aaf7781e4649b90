// Finds the team's shared folder (golden files, real data) for tests: $EAQ_SHARED, else ../shared beside the
// workspace. Tests that need it skip aloud where it is missing:
//
//   EAQ_SHARED_OR_SKIP(folder, "golden/models/olmoe_a");
#ifndef EAQ_BASE_TEST_SHARED_H_
#define EAQ_BASE_TEST_SHARED_H_

#include <cstdlib>
#include <string>

#include "eaq/base/file.h"
#include "gtest/gtest.h"

namespace eaq {

// The path of RELATIVE below the shared folder, or "" when it is not there.
inline std::string SharedPath(const std::string& relative) {
  if (const char* root = std::getenv("EAQ_SHARED")) {
    const std::string path = JoinPath(root, relative);
    if (FileExists(path)) return path;
  }
  const absl::StatusOr<std::string> workspace = FindInRepository("WORKSPACE");
  if (workspace.ok()) {
    const std::string path = JoinPath(JoinPath(Dirname(*workspace), "../shared"), relative);
    if (FileExists(path)) return path;
  }
  return "";
}

}  // namespace eaq

#define EAQ_SHARED_OR_SKIP(variable, relative)                     \
  const std::string variable = ::eaq::SharedPath(relative);        \
  if (variable.empty())                                            \
  GTEST_SKIP() << "SKIPPED: the team's shared file " << (relative) \
               << " is not here; set EAQ_SHARED to the folder that holds it"

#endif  // EAQ_BASE_TEST_SHARED_H_
