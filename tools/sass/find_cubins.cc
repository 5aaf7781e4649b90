#include "tools/sass/find_cubins.h"

#include "absl/strings/match.h"
#include "eaq/base/file.h"
#include "eaq/base/status_macros.h"

namespace eaq::sass {
namespace {

absl::Status Search(const std::string& path, std::vector<Found>& found) {
  if (IsDirectory(path)) {
    EAQ_ASSIGN_OR_RETURN(std::vector<std::string> names, ListDirectory(path));
    for (const std::string& name : names) EAQ_RETURN_IF_ERROR(Search(JoinPath(path, name), found));
    return absl::OkStatus();
  }
  if (!absl::EndsWith(path, ".cubin")) return absl::OkStatus();
  EAQ_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  absl::StatusOr<Cubin> cubin = ReadCubin(bytes);
  EAQ_RETURN_IF_ERROR(Annotate(cubin.status(), path));
  const std::string name = Basename(path);
  found.push_back({name.substr(0, name.find('.')), path, *std::move(cubin)});
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<Found>> FindCubins(const std::string& path) {
  std::vector<Found> found;
  EAQ_RETURN_IF_ERROR(Search(path, found));
  return found;
}

}  // namespace eaq::sass
