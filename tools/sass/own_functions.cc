#include "tools/sass/own_functions.h"

#include <link.h>

#include <vector>

#include "eaq/base/file.h"
#include "eaq/base/status_macros.h"
#include "tools/sass/elf.h"

namespace eaq::sass {
namespace {

// What is added to the file's addresses. The program itself comes first.
uint64_t LoadAddress() {
  uint64_t address = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* result) {
        *static_cast<uint64_t*>(result) = info->dlpi_addr;
        return 1;
      },
      &address);
  return address;
}

}  // namespace

absl::StatusOr<std::map<const void*, std::string>> OwnFunctions() {
  constexpr char kSelf[] = "/proc/self/exe";
  EAQ_ASSIGN_OR_RETURN(const std::string file, ReadFile(kSelf));
  const absl::StatusOr<std::vector<Section>> sections = ReadSections(file);
  EAQ_RETURN_IF_ERROR(Annotate(sections.status(), kSelf));
  const absl::StatusOr<std::vector<Symbol>> symbols = ReadSymbols(*sections);
  EAQ_RETURN_IF_ERROR(Annotate(symbols.status(), kSelf));
  const uint64_t load = LoadAddress();
  std::map<const void*, std::string> functions;
  for (const Symbol& symbol : *symbols) {
    if (symbol.function) functions[reinterpret_cast<const void*>(load + symbol.value)] = symbol.name;
  }
  return functions;
}

}  // namespace eaq::sass
