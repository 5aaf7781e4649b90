#include "tools/sass/elf.h"

#include "absl/status/status.h"
#include "absl/strings/match.h"

namespace eaq::sass {
namespace {

constexpr uint32_t kNoBits = 8;

std::string StringAt(absl::string_view table, uint64_t at) {
  if (at >= table.size()) return "";
  const absl::string_view rest = table.substr(at);
  return std::string(rest.substr(0, rest.find('\0')));
}

}  // namespace

absl::StatusOr<std::vector<Section>> ReadSections(absl::string_view file) {
  const absl::Status broken = absl::InvalidArgumentError("not a 64-bit ELF file, or cut off");
  if (!absl::StartsWith(file,
                        "\x7f"
                        "ELF\x02\x01"))
    return broken;
  uint64_t headers = 0;
  uint16_t entry = 0, count = 0, names = 0;
  if (!ReadNumber(file, 0x28, headers) || !ReadNumber(file, 0x3a, entry) || !ReadNumber(file, 0x3c, count) ||
      !ReadNumber(file, 0x3e, names)) {
    return broken;
  }
  std::vector<Section> sections(count);
  std::vector<uint32_t> name_at(count);
  for (int i = 0; i < count; ++i) {
    const uint64_t at = headers + uint64_t{entry} * i;
    uint64_t offset = 0;
    Section& s = sections[i];
    if (!ReadNumber(file, at, name_at[i]) || !ReadNumber(file, at + 4, s.type) ||
        !ReadNumber(file, at + 0x18, offset) || !ReadNumber(file, at + 0x20, s.size) ||
        !ReadNumber(file, at + 0x2c, s.info)) {
      return broken;
    }
    if (s.type == kNoBits || s.size == 0) continue;
    if (offset > file.size() || file.size() - offset < s.size) return broken;
    s.bytes = file.substr(offset, s.size);
  }
  if (names >= count) return broken;
  for (int i = 0; i < count; ++i) sections[i].name = StringAt(sections[names].bytes, name_at[i]);
  return sections;
}

const Section* FindSection(const std::vector<Section>& sections, const std::string& name) {
  for (const Section& s : sections)
    if (s.name == name) return &s;
  return nullptr;
}

absl::StatusOr<std::vector<Symbol>> ReadSymbols(const std::vector<Section>& sections) {
  constexpr uint64_t kEntry = 24;
  constexpr uint8_t kFunction = 2, kTypes = 0xf;
  const Section* table = FindSection(sections, ".symtab");
  const Section* strings = FindSection(sections, ".strtab");
  if (table == nullptr || strings == nullptr) return absl::NotFoundError("an ELF file without symbols");
  std::vector<Symbol> symbols;
  uint32_t name_at = 0;
  uint8_t info = 0;
  uint64_t value = 0;
  for (uint64_t at = 0; ReadNumber(table->bytes, at, name_at); at += kEntry) {
    if (!ReadNumber(table->bytes, at + 4, info) || !ReadNumber(table->bytes, at + 8, value)) {
      return absl::InvalidArgumentError("an ELF file whose symbols are cut off");
    }
    symbols.push_back({StringAt(strings->bytes, name_at), (info & kTypes) == kFunction, value});
  }
  return symbols;
}

}  // namespace eaq::sass
