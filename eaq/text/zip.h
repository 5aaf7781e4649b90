// Files in a zip archive, as data sets are often distributed: stored or deflated entries, without encryption, split
// volumes or zip64. (PKWARE, APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12, 4.3.16)
//
//   EAQ_ASSIGN_OR_RETURN(const std::vector<ZipEntry> entries, ReadZip(bytes, [](absl::string_view name) {
//                          return absl::EndsWith(name, ".jsonl"); }));
#ifndef EAQ_TEXT_ZIP_H_
#define EAQ_TEXT_ZIP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace eaq {

struct ZipEntry {
  std::string name;  // path inside of the archive, '/' between folders
  std::string bytes;
};

// The entries whose name WANTED accepts, unpacked, in the order of the archive's directory. InvalidArgument when BYTES
// are no whole archive, a checksum is wrong, or the entries unpack to more than LIMIT bytes together; Unimplemented,
// with the entry's name, for a method or a feature that is not read here.
absl::StatusOr<std::vector<ZipEntry>> ReadZip(absl::string_view bytes,
                                              absl::FunctionRef<bool(absl::string_view)> wanted,
                                              int64_t limit = int64_t{1} << 30);

}  // namespace eaq

#endif  // EAQ_TEXT_ZIP_H_
