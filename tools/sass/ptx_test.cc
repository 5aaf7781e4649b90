// Every wrapper of ptx.h and ptx_hopper.h: the PTX that nvcc makes of it, against the reviewed lines of ptx_golden.txt
// and ptx_hopper_golden.txt, and the opcode that ptxas makes of that for each architecture ("-": none of its own).
// Without a toolkit there is nothing to look at: skipped aloud.
//
// Registers are written as what they hold, so that the order of operands is part of the line: p1[4] was loaded from
// byte 4 of the kernel's parameter 1, >p3[8] goes to byte 8 of parameter 3, p1 is the parameter itself, selp(0, 16) one
// of two numbers. ptx_wrappers.cu says which is which.
#include <algorithm>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tools/sass/find_cubins.h"
#include "tools/sass/mix.h"

namespace eaq::sass {
namespace {

struct Header {
  std::string name;   // kernels/cuda/NAME.h, NAME_golden.txt, NAME_wrappers.cu
  std::string first;  // architecture, whose PTX is looked at
  int least;          // wrappers at least
};
const Header kHeaders[] = {{"ptx", "80", 20}, {"ptx_hopper", "90a", 18}};
// In the headers, without an instruction of their own.
constexpr const char* kNoInstruction[] = {"SharedAddress", "SwizzledRows", "Pin"};

std::string Read(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// What the registers of one kernel hold.
class Registers {
 public:
  explicit Registers(const std::vector<std::string>& body) {
    const std::regex param(R"(ld\.param\S*\s+(%\w+), \[\w+_param_(\d+)\];)");
    const std::regex copy(R"((?:cvta\.to\.global\.u64|mov\.\w+)\s+(%\w+), (%?\w+);)");
    const std::regex load(R"(ld\.global\S*\s+(%\w+), \[(%\w+)\+?(\d*)\];)");
    const std::regex store(R"(st\.global\S*\s+\[(%\w+)\+?(\d*)\], (%\w+);)");
    const std::regex select(R"(selp\.\w+\s+(%\w+), (\w+), (\w+), %\w+;)");
    const std::regex flip(R"(xor\.b32\s+(%\w+), (%\w+), (-?\d+);)");
    std::smatch m;
    for (const std::string& line : body) {
      if (std::regex_search(line, m, param)) {
        holds_[m[1]] = "p" + m[2].str();
      } else if (std::regex_search(line, m, select)) {
        holds_[m[1]] = "selp(" + m[2].str() + ", " + m[3].str() + ")";
      } else if (std::regex_search(line, m, flip)) {
        holds_[m[1]] = "(" + holds_[m[2]] + " ^ " + m[3].str() + ")";
      } else if (std::regex_search(line, m, copy)) {
        const auto from = holds_.find(m[2]);
        holds_[m[1]] = from != holds_.end() ? from->second : m[2].str();
      } else if (std::regex_search(line, m, load)) {
        holds_[m[1]] = Place(m[2], m[3]);
      } else if (std::regex_search(line, m, store)) {
        goes_[m[3]] = Place(m[1], m[2]);
      }
    }
  }

  // LINE with registers replaced by what they hold.
  std::string Explain(const std::string& line) const {
    std::string text;
    const std::regex name(R"(%\w+)");
    auto at = line.cbegin();
    for (std::sregex_iterator i(line.begin(), line.end(), name), end; i != end; ++i) {
      const std::string r = i->str();
      text.append(at, line.cbegin() + i->position());
      at = line.cbegin() + i->position() + i->length();
      const auto held = holds_.find(r);
      const auto gone = goes_.find(r);
      if (held != holds_.end()) text += held->second;
      if (gone != goes_.end()) text += ">" + gone->second;
      if (held == holds_.end() && gone == goes_.end()) text += "?";
    }
    return text.append(at, line.cend());
  }

 private:
  std::string Place(const std::string& base, const std::string& offset) const {
    const auto from = holds_.find(base);
    return (from != holds_.end() ? from->second : "?") + "[" + (offset.empty() ? "0" : offset) + "]";
  }
  std::map<std::string, std::string> holds_, goes_;
};

std::string Trim(const std::string& line) {
  const size_t first = line.find_first_not_of(" \t");
  return first == std::string::npos ? "" : line.substr(first);
}

// Kernel -> its assembly as written by ptx.h, explained; for LoadShared and StoreShared, which are plain C++, the
// access to shared memory.
std::map<std::string, std::string> Assembly(const std::string& ptx) {
  std::map<std::string, std::string> found;
  std::stringstream lines(ptx);
  std::string line, kernel;
  std::vector<std::string> body;
  const std::regex entry(R"(\.entry (\w+)\()");
  std::smatch m;
  auto finish = [&] {
    const Registers registers(body);
    bool inside = false;
    for (const std::string& text : body) {
      if (text.find("// begin inline asm") == 0) {
        inside = true;
      } else if (text.find("// end inline asm") == 0) {
        inside = false;
      } else if (inside || text.find("ld.shared") == 0 || text.find("st.shared") == 0) {
        found[kernel] += (found[kernel].empty() ? "" : " ") + registers.Explain(text);
      }
    }
    body.clear();
  };
  while (std::getline(lines, line)) {
    if (std::regex_search(line, m, entry)) kernel = m[1];
    if (line == "}") finish();
    body.push_back(Trim(line));
  }
  for (auto& [name, text] : found) {
    text = std::regex_replace(text, std::regex("\t+"), " ");
    text = std::regex_replace(text, std::regex(" +"), " ");
  }
  return found;
}

// ptx_golden.txt: "kernel: opcode" and, on the next line, the assembly.
struct Golden {
  std::string opcode, assembly;
};
std::map<std::string, Golden> ReadGolden(const Header& header) {
  std::map<std::string, Golden> golden;
  std::stringstream lines(Read("kernels/cuda/" + header.name + "_golden.txt"));
  std::string line, kernel;
  while (std::getline(lines, line)) {
    if (line.empty() || line[0] == '#') continue;
    if (line[0] == ' ') {
      golden[kernel].assembly = Trim(line);
    } else {
      kernel = line.substr(0, line.find(':'));
      golden[kernel].opcode = Trim(line.substr(line.find(':') + 1));
    }
  }
  return golden;
}

TEST(PtxTest, EveryWrapperHasAGoldenLine) {
  for (const Header& header : kHeaders) {
    const std::map<std::string, Golden> golden = ReadGolden(header);
    const std::string text = Read("kernels/cuda/" + header.name + ".h");
    const std::regex wrapper(R"(EAQ_PTX \w+ (\w+)\()");
    int wrappers = 0;
    for (std::sregex_iterator i(text.begin(), text.end(), wrapper), end; i != end; ++i) {
      const std::string name = (*i)[1];
      if (std::count(std::begin(kNoInstruction), std::end(kNoInstruction), name) > 0) continue;
      EXPECT_EQ(golden.count(name), 1u) << name << ": put a kernel into " << header.name
                                        << "_wrappers.cu and its line into " << header.name << "_golden.txt";
      ++wrappers;
    }
    EXPECT_GE(wrappers, header.least) << header.name;
  }
}

TEST(PtxTest, AssemblyIsAsReviewed) {
  if (std::string(EAQ_CUDA_VERSION).empty()) GTEST_SKIP() << "no CUDA toolkit: nothing makes PTX";
  for (const Header& header : kHeaders) {
    const std::string wrappers = header.name + "_wrappers";
    const std::map<std::string, std::string> made =
        Assembly(Read("kernels/cuda/_nvcc/" + wrappers + "/" + wrappers + ".compute_" + header.first + ".ptx"));
    std::string all;
    for (const auto& [name, text] : made) all += name + ":\n  " + text + "\n";
    for (const auto& [name, golden] : ReadGolden(header)) {
      ASSERT_EQ(made.count(name), 1u) << name << " is missing in " << wrappers << ".cu\n" << all;
      EXPECT_EQ(made.at(name), golden.assembly) << name;
    }
    EXPECT_EQ(made.size(), ReadGolden(header).size()) << all;
  }
}

TEST(PtxTest, MachineCodeIsOneNativeInstruction) {
  if (std::string(EAQ_CUDA_VERSION).empty()) GTEST_SKIP() << "no CUDA toolkit: nothing makes machine code";
  for (const Header& header : kHeaders) {
    const auto found = FindCubins("kernels/cuda/_nvcc/" + header.name + "_wrappers");
    ASSERT_TRUE(found.ok()) << found.status();
    ASSERT_FALSE(found->empty());
    const std::map<std::string, Golden> golden = ReadGolden(header);
    for (const Found& file : *found) {
      const int architecture = file.cubin.architecture;
      for (const Kernel& kernel : file.cubin.kernels) {
        ASSERT_EQ(golden.count(kernel.name), 1u) << kernel.name;
        const Mix mix = Analyse(kernel, architecture);
        if (kernel.name == "MmaS4" && architecture >= 90) {
          // Why ptx.h forbids it there. Should a later ptxas know better, kernels may use it again.
          EXPECT_GE(mix.histogram.count("CALL"), 1u) << architecture;
          continue;
        }
        const std::string& opcode = golden.at(kernel.name).opcode;
        if (opcode == "-") continue;
        EXPECT_EQ(mix.histogram.count(opcode), 1u) << "sm_" << architecture << " " << kernel.name << ": " << opcode;
        EXPECT_EQ(mix.mmas, IsMma(opcode) ? 1 : 0) << "sm_" << architecture << " " << kernel.name;
        EXPECT_EQ(mix.calls, 0) << "sm_" << architecture << " " << kernel.name;
      }
    }
  }
}

}  // namespace
}  // namespace eaq::sass
