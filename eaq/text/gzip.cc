#include "eaq/text/gzip.h"

#include <zlib.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace eaq {

absl::StatusOr<std::string> Gunzip(absl::string_view bytes, int64_t limit) {
  z_stream stream = {};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) return absl::InternalError("zlib: inflateInit2 failed");
  std::string out;
  std::string chunk(1 << 18, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  size_t left = bytes.size();  // not yet handed to zlib, whose counter has 32 bits
  int code = Z_OK;
  absl::Status status;
  while (true) {
    if (stream.avail_in == 0 && left > 0) {
      stream.avail_in = static_cast<uInt>(std::min<size_t>(left, 1u << 30));
      left -= stream.avail_in;
    }
    stream.next_out = reinterpret_cast<Bytef*>(chunk.data());
    stream.avail_out = static_cast<uInt>(chunk.size());
    code = inflate(&stream, Z_NO_FLUSH);
    out.append(chunk.data(), chunk.size() - stream.avail_out);
    if (static_cast<int64_t>(out.size()) > limit) {
      status = absl::InvalidArgumentError(absl::StrCat("gzip: unpacks to more than the limit of ", limit, " bytes"));
      break;
    }
    if (code == Z_STREAM_END) {
      if (stream.avail_in == 0 && left == 0) break;
      if (inflateReset(&stream) == Z_OK) continue;  // the next member
    }
    if (code != Z_OK || (stream.avail_in == 0 && left == 0 && stream.avail_out != 0)) {
      status =
          absl::InvalidArgumentError(absl::StrCat("gzip: damaged or cut off at byte ", stream.total_in, " of ",
                                                  bytes.size(), stream.msg ? ": " : "", stream.msg ? stream.msg : ""));
      break;
    }
  }
  inflateEnd(&stream);
  if (!status.ok()) return status;
  return out;
}

}  // namespace eaq
