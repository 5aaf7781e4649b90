// Decompression of bzip2 files: all streams of a file, one after the other.
#ifndef EAQ_TEXT_BZIP2_H_
#define EAQ_TEXT_BZIP2_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace eaq {

// InvalidArgument when BYTES is no whole bzip2 file or unpacks to more than `limit` bytes.
absl::StatusOr<std::string> Bunzip2(absl::string_view bytes, int64_t limit = int64_t{1} << 30);

}  // namespace eaq

#endif  // EAQ_TEXT_BZIP2_H_
