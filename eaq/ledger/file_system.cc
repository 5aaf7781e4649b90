#include "eaq/ledger/file_system.h"

#include <sys/stat.h>
#include <sys/vfs.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "eaq/base/file.h"

namespace eaq {

std::string NetworkFileSystemName(int64_t magic) {
  static const auto* const names = new std::map<uint32_t, std::string>{
      {0x6969, "NFS"},        {0x517b, "SMB"},        {0xff534d42, "CIFS"},  {0xfe534d42, "SMB2"},
      {0x0bd00bd0, "Lustre"}, {0x47504653, "GPFS"},   {0x01021997, "9p"},    {0x5346414f, "AFS"},
      {0x00c36400, "Ceph"},   {0x19830326, "BeeGFS"}, {0x7461636f, "OCFS2"}, {0x01161970, "GFS2"},
      {0x564c, "NCP"},        {0x73757245, "Coda"},   {0x6b414653, "AFS"},   {0xaad7aaea, "PanFS"},
  };
  const auto found = names->find(static_cast<uint32_t>(magic));
  return found == names->end() ? "" : found->second;
}

absl::Status CheckLedgerPath(const std::string& path) {
  struct stat info;
  const bool exists = stat(path.c_str(), &info) == 0;
  if (exists && S_ISDIR(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": a folder, expected a ledger file (did you mean ", JoinPath(path, "ledger.db"), "?)"));
  }
  if (exists && !S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": a device or pipe, expected a ledger file"));
  }
  struct statfs system;
  if (statfs((exists ? path : Dirname(path)).c_str(), &system) != 0) return absl::OkStatus();  // opening will tell
  const std::string name = NetworkFileSystemName(system.f_type);
  if (name.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      path, ": on a network file system (", name, "), where several processes cannot share a ledger safely. Give each ",
      "machine a ledger on a local disk (--ledger=/var/tmp/NAME.db) and bring them together with `ledger merge`"));
}

}  // namespace eaq
