#include "tools/sass/cubin.h"

#include <cxxabi.h>

#include <cstdlib>
#include <cstring>
#include <map>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tools/sass/elf.h"

namespace eaq::sass {
namespace {

constexpr int kReservedSharedBytes = 1024;  // by the system, from sm_90 on, in the size of .nv.shared.*

// .nv.info: attributes {format, id, 2 bytes of size or value}, format 4 with `size` bytes behind. Of those with a
// symbol and a number: symbol -> number.
std::map<uint32_t, uint32_t> Attributes(absl::string_view info, uint8_t wanted) {
  constexpr uint8_t kSized = 4;
  std::map<uint32_t, uint32_t> values;
  uint64_t at = 0;
  uint8_t format = 0, id = 0;
  uint16_t size = 0;
  while (ReadNumber(info, at, format) && ReadNumber(info, at + 1, id) && ReadNumber(info, at + 2, size)) {
    at += 4;
    if (format != kSized) continue;
    uint32_t symbol = 0, value = 0;
    if (id == wanted && size == 8 && ReadNumber(info, at, symbol) && ReadNumber(info, at + 4, value))
      values[symbol] = value;
    at += size;
  }
  return values;
}

}  // namespace

std::string ShortName(const std::string& symbol) {
  int status = 0;
  char* text = abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status);
  std::string name = status == 0 ? text : symbol;
  std::free(text);
  // A template's name begins with its result, "void "; parameters follow the last "(" of depth 0 in <>.
  int depth = 0;
  size_t begin = 0, end = name.size();
  for (size_t i = 0; i < name.size(); ++i) {
    const bool anonymous = name.compare(i, 21, "(anonymous namespace)") == 0;
    if (anonymous) {
      i += 20;
    } else if (name[i] == '<') {
      ++depth;
    } else if (name[i] == '>') {
      --depth;
    } else if (depth > 0) {
      continue;
    } else if (name[i] == '(') {
      end = i;
      break;
    } else if (name[i] == ' ' || name[i] == ':') {
      begin = i + 1;
    }
  }
  return name.substr(begin, end - begin);
}

absl::StatusOr<Cubin> ReadCubin(absl::string_view file) {
  constexpr uint8_t kRegisterCount = 0x2f, kFrameSize = 0x11;
  absl::StatusOr<std::vector<Section>> sections = ReadSections(file);
  if (!sections.ok()) return sections.status();
  Cubin cubin;
  uint32_t flags = 0;
  if (!ReadNumber(file, 0x30, flags)) return absl::InvalidArgumentError("no ELF header");
  // Byte 1 of the flags in today's layout (ABI version 8), byte 0 before.
  cubin.architecture = static_cast<int>(static_cast<uint8_t>(file[8]) >= 8 ? flags >> 8 & 0xff : flags & 0xff);

  const absl::StatusOr<std::vector<Symbol>> table = ReadSymbols(*sections);
  if (!table.ok()) return table.status();
  std::map<std::string, uint32_t> symbols;
  for (uint32_t i = 0; i < table->size(); ++i) symbols[(*table)[i].name] = i;
  const Section* info = FindSection(*sections, ".nv.info");
  if (info == nullptr) return absl::InvalidArgumentError("a cubin without attributes");
  std::map<uint32_t, uint32_t> registers = Attributes(info->bytes, kRegisterCount);
  std::map<uint32_t, uint32_t> frames = Attributes(info->bytes, kFrameSize);

  for (const Section& section : *sections) {
    if (!absl::StartsWith(section.name, ".text.")) continue;
    Kernel kernel;
    kernel.symbol = section.name.substr(6);
    kernel.name = ShortName(kernel.symbol);
    const auto symbol = symbols.find(kernel.symbol);
    if (symbol == symbols.end() || registers.count(symbol->second) == 0) {
      return absl::InvalidArgumentError(absl::StrCat("no number of registers for ", kernel.symbol));
    }
    kernel.registers = static_cast<int>(registers[symbol->second]);
    kernel.frame_bytes = frames[symbol->second];
    if (const Section* shared = FindSection(*sections, absl::StrCat(".nv.shared.", kernel.symbol))) {
      kernel.shared_bytes = static_cast<int64_t>(shared->size);
      if (cubin.architecture >= 90 && kernel.shared_bytes >= kReservedSharedBytes) {
        kernel.shared_bytes -= kReservedSharedBytes;
      }
    }
    kernel.code.resize(section.bytes.size() / sizeof(Instruction));
    std::memcpy(kernel.code.data(), section.bytes.data(), kernel.code.size() * sizeof(Instruction));
    cubin.kernels.push_back(std::move(kernel));
  }
  return cubin;
}

}  // namespace eaq::sass
