#include "eaq/text/zip.h"

#include <zlib.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "eaq/base/status_macros.h"

namespace eaq {
namespace {

constexpr uint32_t kEndMark = 0x06054b50, kDirectoryMark = 0x02014b50, kLocalMark = 0x04034b50;
constexpr size_t kEndSize = 22, kDirectorySize = 46, kLocalSize = 30;

// Little-endian numbers; the caller has checked that they lie inside.
uint32_t U16(absl::string_view bytes, size_t at) {
  return static_cast<uint8_t>(bytes[at]) | static_cast<uint32_t>(static_cast<uint8_t>(bytes[at + 1])) << 8;
}
uint32_t U32(absl::string_view bytes, size_t at) { return U16(bytes, at) | U16(bytes, at + 2) << 16; }

absl::Status Damaged(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("zip: damaged or cut off: ", what));
}

// SIZE bytes out of the raw deflate stream PACKED.
absl::StatusOr<std::string> Inflate(absl::string_view packed, size_t size, absl::string_view name) {
  z_stream stream = {};
  if (inflateInit2(&stream, -15) != Z_OK) return absl::InternalError("zlib: inflateInit2 failed");
  std::string out(size, '\0');
  char spare;  // inflate wants somewhere to write, also for an empty file
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(size == 0 ? &spare : &out[0]);
  stream.avail_out = static_cast<uInt>(std::max<size_t>(size, 1));
  const int code = inflate(&stream, Z_FINISH);
  const bool whole = code == Z_STREAM_END && stream.total_out == size && stream.avail_in == 0;
  inflateEnd(&stream);
  if (!whole) return Damaged(absl::StrCat(name, " does not unpack to its ", size, " bytes"));
  return out;
}

// Where the record at the end of the archive lies; it is followed by a comment of at most 65535 bytes.
absl::StatusOr<size_t> FindEnd(absl::string_view bytes) {
  if (bytes.size() < kEndSize) return Damaged(absl::StrCat("only ", bytes.size(), " bytes"));
  const size_t last = bytes.size() - kEndSize;
  for (size_t back = 0; back <= std::min<size_t>(last, 0xFFFF); ++back) {
    const size_t at = last - back;
    if (U32(bytes, at) == kEndMark && U16(bytes, at + 20) == back) return at;
  }
  return Damaged("no end record; is this a zip archive?");
}

}  // namespace

absl::StatusOr<std::vector<ZipEntry>> ReadZip(absl::string_view bytes,
                                              absl::FunctionRef<bool(absl::string_view)> wanted, int64_t limit) {
  EAQ_ASSIGN_OR_RETURN(const size_t end, FindEnd(bytes));
  const uint32_t count = U16(bytes, end + 10);
  size_t at = U32(bytes, end + 16);
  if (count == 0xFFFF || at == 0xFFFFFFFF) return absl::UnimplementedError("zip: zip64 archives are not read here");
  if (U16(bytes, end + 4) != 0) return absl::UnimplementedError("zip: archives of several volumes are not read here");
  std::vector<ZipEntry> entries;
  int64_t total = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (at > end || end - at < kDirectorySize || U32(bytes, at) != kDirectoryMark) {
      return Damaged(absl::StrCat("directory entry ", i, " of ", count));
    }
    const uint32_t flags = U16(bytes, at + 8), method = U16(bytes, at + 10), crc = U32(bytes, at + 16);
    const size_t packed_size = U32(bytes, at + 20), size = U32(bytes, at + 24), name_size = U16(bytes, at + 28);
    const size_t local = U32(bytes, at + 42);
    if (end - at - kDirectorySize < name_size) return Damaged(absl::StrCat("directory entry ", i, " of ", count));
    const absl::string_view name = bytes.substr(at + kDirectorySize, name_size);
    at += kDirectorySize + name_size + U16(bytes, at + 30) + U16(bytes, at + 32);
    if (!wanted(name)) continue;
    if (flags & 1) return absl::UnimplementedError(absl::StrCat("zip: ", name, " is encrypted"));
    if (method != 0 && method != 8) {
      return absl::UnimplementedError(
          absl::StrCat("zip: ", name, " is packed by method ", method, "; expected 0 (stored) or 8 (deflate)"));
    }
    total += static_cast<int64_t>(size);
    if (total > limit) {
      return absl::InvalidArgumentError(absl::StrCat("zip: unpacks to more than the limit of ", limit, " bytes"));
    }
    if (local > end || end - local < kLocalSize || U32(bytes, local) != kLocalMark) {
      return Damaged(absl::StrCat("the header of ", name));
    }
    const size_t data = local + kLocalSize + U16(bytes, local + 26) + U16(bytes, local + 28);
    // Deflate packs at most 1032 to 1: a larger claim would only cost memory.
    if (data > end || end - data < packed_size || (method == 0 && packed_size != size) || size / 1040 > packed_size) {
      return Damaged(absl::StrCat("the content of ", name));
    }
    const absl::string_view packed = bytes.substr(data, packed_size);
    ZipEntry entry;
    entry.name = std::string(name);
    if (method == 0) {
      entry.bytes = std::string(packed);
    } else {
      EAQ_ASSIGN_OR_RETURN(entry.bytes, Inflate(packed, size, name));
    }
    const uLong found =
        crc32(0, reinterpret_cast<const Bytef*>(entry.bytes.data()), static_cast<uInt>(entry.bytes.size()));
    if (found != crc) return Damaged(absl::StrCat(name, " has another checksum than the archive says"));
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace eaq
