// Decompression of gzip files (RFC 1952), dictzip included: all members of a file, one after the other.
#ifndef EAQ_TEXT_GZIP_H_
#define EAQ_TEXT_GZIP_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace eaq {

// InvalidArgument when BYTES is no whole gzip file or unpacks to more than `limit` bytes.
absl::StatusOr<std::string> Gunzip(absl::string_view bytes, int64_t limit = int64_t{1} << 30);

}  // namespace eaq

#endif  // EAQ_TEXT_GZIP_H_
