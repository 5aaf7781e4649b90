// The functions of this very program, by the symbol table of its own file.
#ifndef TOOLS_SASS_OWN_FUNCTIONS_H_
#define TOOLS_SASS_OWN_FUNCTIONS_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"

namespace eaq::sass {

// Where a function lies, and its mangled name. Of several names the last. A stripped program is an error.
absl::StatusOr<std::map<const void*, std::string>> OwnFunctions();

}  // namespace eaq::sass

#endif  // TOOLS_SASS_OWN_FUNCTIONS_H_
