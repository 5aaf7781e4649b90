// A cubin, nvcc's machine code for one architecture: an ELF file with a section .text.NAME for every kernel.
#ifndef TOOLS_SASS_CUBIN_H_
#define TOOLS_SASS_CUBIN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tools/sass/opcode.h"

namespace eaq::sass {

struct Kernel {
  std::string symbol;  // mangled
  std::string name;    // demangled, without parameters and the namespaces in front: "Kernel<int, 4>"
  int registers = 0;
  int64_t shared_bytes = 0;  // static; without the KiB that the system reserves from sm_90 on
  int64_t frame_bytes = 0;   // stack of a thread: spills and local arrays
  std::vector<Instruction> code;
};

struct Cubin {
  int architecture = 0;  // 80, 86, ...
  std::vector<Kernel> kernels;
};

absl::StatusOr<Cubin> ReadCubin(absl::string_view bytes);

// "Kernel<int, 4>" for the mangled name of eaq::...::Kernel<int, 4>(float*).
std::string ShortName(const std::string& symbol);

}  // namespace eaq::sass

#endif  // TOOLS_SASS_CUBIN_H_
