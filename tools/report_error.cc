#include <iostream>

#include "tools/commands.h"

namespace eaq {

int ReportError(absl::string_view command, const absl::Status& status, bool usage) {
  std::cerr << "eaq " << command << ": " << status.message() << "\n";
  return usage ? 2 : 1;
}

}  // namespace eaq
