// The machine's instructions by name. Since Volta an instruction has 16 bytes; its lowest 12 bits say what it does, of
// which bits 9 to 11 say where the second operand comes from. NVIDIA publishes no table: the names were found by
// compiling kernels of one instruction and by comparing with nvdisasm (README.md says how that was checked).
#ifndef TOOLS_SASS_OPCODE_H_
#define TOOLS_SASS_OPCODE_H_

#include <cstdint>
#include <string>

namespace eaq::sass {

struct Instruction {
  uint64_t low, high;
  unsigned Code() const { return static_cast<unsigned>(low & 0xfff); }
};

// "IMMA", "LDG"; three hexadecimal digits for a code that the table lacks.
std::string Name(const Instruction& instruction);

bool IsMma(const std::string& name);  // HMMA, IMMA, QMMA, DMMA, and the warp groups' HGMMA, IGMMA, QGMMA

// Bytes from the next instruction to the target of a branch, or relative call, with a fixed target; 0 for any other
// instruction.
int64_t BranchOffset(const Instruction& instruction, int architecture);

}  // namespace eaq::sass

#endif  // TOOLS_SASS_OPCODE_H_
