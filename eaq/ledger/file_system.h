// Whether a ledger may live at a path: WAL needs memory shared by all who open the file, which network file systems
// do not give.
#ifndef EAQ_LEDGER_FILE_SYSTEM_H_
#define EAQ_LEDGER_FILE_SYSTEM_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace eaq {

// "NFS", "Lustre", ... for the f_type of statfs(2); "" for local file systems.
std::string NetworkFileSystemName(int64_t magic);

// FailedPrecondition when PATH (or, if it does not exist, its folder) lies on a network file system, or is there and
// is no regular file.
absl::Status CheckLedgerPath(const std::string& path);

}  // namespace eaq

#endif  // EAQ_LEDGER_FILE_SYSTEM_H_
