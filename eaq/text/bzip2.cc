#include "eaq/text/bzip2.h"

#include <bzlib.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace eaq {

absl::StatusOr<std::string> Bunzip2(absl::string_view bytes, int64_t limit) {
  std::string out;
  std::string chunk(1 << 18, '\0');
  size_t at = 0;  // where the next stream begins
  do {
    bz_stream stream = {};
    if (BZ2_bzDecompressInit(&stream, /*verbosity=*/0, /*small=*/0) != BZ_OK) {
      return absl::InternalError("bzip2: BZ2_bzDecompressInit failed");
    }
    stream.next_in = const_cast<char*>(bytes.data() + at);  // not written through
    size_t left = bytes.size() - at;                        // not yet handed over: the library's counter has 32 bits
    int code = BZ_OK;
    bool too_long = false;
    while (code == BZ_OK && !too_long) {
      if (stream.avail_in == 0 && left > 0) {
        stream.avail_in = static_cast<unsigned>(std::min<size_t>(left, 1u << 30));
        left -= stream.avail_in;
      }
      stream.next_out = chunk.data();
      stream.avail_out = static_cast<unsigned>(chunk.size());
      code = BZ2_bzDecompress(&stream);
      const size_t made = chunk.size() - stream.avail_out;
      out.append(chunk.data(), made);
      too_long = static_cast<int64_t>(out.size()) > limit;
      if (code == BZ_OK && made == 0 && stream.avail_in == 0 && left == 0) break;  // cut off
    }
    at = bytes.size() - left - stream.avail_in;
    BZ2_bzDecompressEnd(&stream);
    if (too_long) {
      return absl::InvalidArgumentError(absl::StrCat("bzip2: unpacks to more than the limit of ", limit, " bytes"));
    }
    if (code != BZ_STREAM_END) {
      return absl::InvalidArgumentError(
          absl::StrCat("bzip2: damaged or cut off at byte ", at, " of ", bytes.size(), " (code ", code, ")"));
    }
  } while (at < bytes.size());
  return out;
}

}  // namespace eaq
