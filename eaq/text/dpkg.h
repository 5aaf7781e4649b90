// What dpkg knows about an installed package, read from its database files (no process is started).
//
//   EAQ_ASSIGN_OR_RETURN(InstalledPackage package, FindInstalledPackage("dict-foldoc"));
//   for (const std::string& path : *ListPackageFiles(package)) ...
#ifndef EAQ_TEXT_DPKG_H_
#define EAQ_TEXT_DPKG_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace eaq {

struct InstalledPackage {
  std::string name;
  std::string version;       // "20230119-1"
  std::string architecture;  // "all", "amd64"
};

// NotFound, with the apt-get line that installs it, when the package is not installed (or the system has no dpkg).
// `database` is dpkg's folder; tests give their own.
absl::StatusOr<InstalledPackage> FindInstalledPackage(absl::string_view name,
                                                      const std::string& database = "/var/lib/dpkg");

// Paths of all files and folders of the package, sorted.
absl::StatusOr<std::vector<std::string>> ListPackageFiles(const InstalledPackage& package,
                                                          const std::string& database = "/var/lib/dpkg");

}  // namespace eaq

#endif  // EAQ_TEXT_DPKG_H_
