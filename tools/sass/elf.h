// ELF64 files, little endian: cubins, and this program itself.
#ifndef TOOLS_SASS_ELF_H_
#define TOOLS_SASS_ELF_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace eaq::sass {

struct Section {
  std::string name;
  uint32_t type, info;
  absl::string_view bytes;  // of the file
  uint64_t size;
};

struct Symbol {
  std::string name;
  bool function;
  uint64_t value;
};

absl::StatusOr<std::vector<Section>> ReadSections(absl::string_view file);
// Null: there is none of that name.
const Section* FindSection(const std::vector<Section>& sections, const std::string& name);
// .symtab, in its order.
absl::StatusOr<std::vector<Symbol>> ReadSymbols(const std::vector<Section>& sections);

// The number that stands AT; false behind the end.
template <typename T>
bool ReadNumber(absl::string_view bytes, uint64_t at, T& value) {
  if (at > bytes.size() || bytes.size() - at < sizeof(T)) return false;
  std::memcpy(&value, bytes.data() + at, sizeof(T));
  return true;
}

}  // namespace eaq::sass

#endif  // TOOLS_SASS_ELF_H_
