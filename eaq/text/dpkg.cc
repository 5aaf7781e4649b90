#include "eaq/text/dpkg.h"

#include <algorithm>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "eaq/base/file.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

absl::Status NotInstalled(absl::string_view name, absl::string_view detail) {
  return absl::NotFoundError(absl::StrCat("the Debian package ", name, " is not installed", detail,
                                          "; install it with: sudo apt-get install -y --no-install-recommends ", name));
}

}  // namespace

absl::StatusOr<InstalledPackage> FindInstalledPackage(absl::string_view name, const std::string& database) {
  const absl::StatusOr<std::shared_ptr<const MappedFile>> file = MappedFile::Open(JoinPath(database, "status"));
  if (!file.ok()) {
    return NotInstalled(name, absl::StrCat(" (dpkg's database cannot be read: ", file.status().message(), ")"));
  }
  const absl::string_view all = (*file)->bytes();
  const std::string key = absl::StrCat("Package: ", name, "\n");
  for (size_t at = all.find(key); at != absl::string_view::npos; at = all.find(key, at + 1)) {
    if (at != 0 && all[at - 1] != '\n') continue;
    const absl::string_view stanza = all.substr(at, all.find("\n\n", at) - at);
    InstalledPackage package;
    package.name = std::string(name);
    bool installed = false;
    for (absl::string_view line : absl::StrSplit(stanza, '\n')) {
      if (absl::ConsumePrefix(&line, "Status: ")) installed = absl::EndsWith(line, " installed");
      if (absl::ConsumePrefix(&line, "Version: ")) package.version = std::string(line);
      if (absl::ConsumePrefix(&line, "Architecture: ")) package.architecture = std::string(line);
    }
    if (installed) return package;
  }
  return NotInstalled(name, "");
}

absl::StatusOr<std::vector<std::string>> ListPackageFiles(const InstalledPackage& package,
                                                          const std::string& database) {
  const std::string base = JoinPath(JoinPath(database, "info"), package.name);
  absl::StatusOr<std::string> list = ReadFile(absl::StrCat(base, ".list"));
  if (!list.ok()) list = ReadFile(absl::StrCat(base, ":", package.architecture, ".list"));
  EAQ_RETURN_IF_ERROR(Annotate(list.status(), absl::StrCat("list of files of the package ", package.name)));
  std::vector<std::string> paths = absl::StrSplit(*list, '\n', absl::SkipEmpty());
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace eaq
