// Where the numbers come from: commit, binary, machine. Never fails: what cannot be found is "unknown" or empty.
#ifndef EAQ_LEDGER_PROVENANCE_H_
#define EAQ_LEDGER_PROVENANCE_H_

#include <string>

#include "eaq/ledger/types.h"

namespace eaq {

// Looked up once per process (about 20 ms: one `git`, one hash of the program's own file) and remembered. The caller
// adds model_hash and corpora to its copy. WORKSPACE: the folder asked about its commit; "" for
// $BUILD_WORKSPACE_DIRECTORY, else the repository above the working directory.
const Provenance& CollectProvenance(const std::string& workspace = "");

// SHA-256 of the program's own image (/proc/self/exe: the one that runs, even if the path was rebuilt since).
std::string OwnBinaryHash();
std::string HostName();
std::string BootId();  // /proc/sys/kernel/random/boot_id; "" if unknown
// Start of process PID in clock ticks after boot, 0 when there is no such process (or only a zombie).
int64_t ProcessStart(int64_t pid);

}  // namespace eaq

#endif  // EAQ_LEDGER_PROVENANCE_H_
