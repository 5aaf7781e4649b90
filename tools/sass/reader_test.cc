// The reader of machine code on code written here, instruction by instruction; on real cubins it was compared with
// nvdisasm (README.md).
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tools/sass/ceilings.h"
#include "tools/sass/cubin.h"
#include "tools/sass/mix.h"
#include "tools/sass/opcode.h"

namespace eaq::sass {
namespace {

constexpr uint64_t kIntegerMma = 0x237, kFloatMma = 0x23c, kLoadMatrix = 0x83b, kCall = 0x944, kExit = 0x94d,
                   kNop = 0x918, kStoreLocal = 0x387, kAdd = 0x221;

Instruction Plain(uint64_t code) { return {code, 0}; }

// A branch over OFFSET instructions from the next one.
Instruction Branch(int offset, int architecture) {
  const int64_t words = int64_t{offset} * 4;
  const auto field = static_cast<uint64_t>(architecture < 90 ? words : words >> 8) & ((uint64_t{1} << 48) - 1);
  Instruction branch = {0x947 | field << 34, field >> 30};
  if (architecture >= 90) branch.low |= static_cast<uint64_t>(words & 0xff) << 16;
  return branch;
}

Kernel WithCode(std::vector<Instruction> code) {
  Kernel kernel;
  kernel.name = "Kernel";
  kernel.registers = 40;
  kernel.shared_bytes = 128;
  kernel.code = std::move(code);
  return kernel;
}

Kernel TwoLoops(int architecture) {
  return WithCode({
      Plain(kLoadMatrix),        // 0  outer loop
      Plain(kIntegerMma),        // 1    inner loop
      Plain(kIntegerMma),        // 2
      Plain(kAdd),               // 3
      Branch(-4, architecture),  // 4    -> 1
      Plain(kAdd),               // 5
      Branch(-7, architecture),  // 6  -> 0
      Plain(kAdd),               // 7    second loop
      Plain(kCall),              // 8
      Branch(-3, architecture),  // 9    -> 7
      Plain(kExit),              // 10
      Branch(-1, architecture),  // 11   to itself: the end
      Plain(kNop),               // 12
  });
}

TEST(MixTest, FindsInnermostLoopsOnEveryArchitecture) {
  for (const int architecture : {80, 86, 89, 90, 100}) {
    const Mix mix = Analyse(TwoLoops(architecture), architecture);
    ASSERT_EQ(mix.loops.size(), 2u) << architecture;
    EXPECT_EQ(mix.loops[0].first, 1);
    EXPECT_EQ(mix.loops[0].last, 4);
    EXPECT_EQ(mix.loops[0].slots, 4);
    EXPECT_EQ(mix.loops[0].mmas, 2);
    EXPECT_EQ(mix.loops[0].SlotsPerMma(), 2);
    EXPECT_EQ(mix.loops[1].first, 7);
    EXPECT_EQ(mix.loops[1].calls, 1);
    EXPECT_EQ(mix.MainLoop(), &mix.loops[0]);
    EXPECT_EQ(mix.slots, 12);  // not the NOP
    EXPECT_EQ(mix.histogram.at("IMMA"), 2);
    EXPECT_EQ(mix.histogram.at("BRA"), 4);
  }
}

// @P0 CALL.REL.NOINC to the instruction after the loop's last leaves the loop; to anywhere else it is a call.
TEST(MixTest, ACallToBehindTheLoopLeavesIt) {
  for (const int64_t words : {4, 8}) {  // over one instruction, the BRA; over two
    Kernel kernel = TwoLoops(80);
    kernel.code[3] = {uint64_t{0x944} | static_cast<uint64_t>(words) << 34, 0};
    const Mix mix = Analyse(kernel, 80);
    EXPECT_EQ(mix.loops[0].calls, words == 4 ? 0 : 1);
    EXPECT_EQ(Forbidden("lib", {80, {kernel}}).size(), words == 4 ? 0u : 1u);
  }
}

TEST(MixTest, ALoopOfMmasMayHaveOtherLoopsInside) {
  const Kernel kernel = WithCode({
      Plain(kAdd),         // 0  loop over tiles
      Plain(kIntegerMma),  // 1    loop of MMAs
      Plain(kAdd),         // 2      loop of copies
      Branch(-2, 80),      // 3      -> 2
      Branch(-4, 80),      // 4    -> 1
      Branch(-6, 80),      // 5  -> 0
      Plain(kExit),        // 6
  });
  const Mix mix = Analyse(kernel, 80);
  ASSERT_EQ(mix.loops.size(), 2u);
  EXPECT_EQ(mix.MainLoop(), &mix.loops[0]);
  EXPECT_EQ(mix.loops[0].first, 1);
  EXPECT_EQ(mix.loops[0].slots, 4);
  EXPECT_FALSE(mix.loops[0].innermost);
  EXPECT_EQ(mix.loops[1].first, 2);
  EXPECT_TRUE(mix.loops[1].innermost);
}

TEST(OpcodeTest, Names) {
  EXPECT_EQ(Name(Plain(kFloatMma)), "HMMA");
  EXPECT_EQ(Name({0xfae | uint64_t{0x7123} << 12, 5}), "LDGSTS");  // the upper bits are operands
  EXPECT_EQ(Name(Plain(0xfff)), "fff");
  EXPECT_TRUE(IsMma("IMMA") && IsMma("HGMMA"));
  EXPECT_FALSE(IsMma("FFMA") || IsMma("LDSM"));
  EXPECT_EQ(BranchOffset(Plain(kAdd), 80), 0);
}

TEST(CubinTest, ShortNames) {
  EXPECT_EQ(ShortName("_ZN3eaq7kernels4cuda46_GLOBAL__N__2108cb6b_13_fake_quant_cu_7acb734723FakeQuantPerTokenKernel"
                      "EPfllif"),
            "FakeQuantPerTokenKernel");
  EXPECT_EQ(ShortName("_ZN3eaq1KILi4EiEEvPT0_"), "K<4, int>");
  EXPECT_EQ(ShortName("plain_c"), "plain_c");
}

TEST(CubinTest, RefusesWhatIsNone) {
  EXPECT_FALSE(ReadCubin("").ok());
  EXPECT_FALSE(ReadCubin("hello, world").ok());
  std::string file(
      "\x7f"
      "ELF\x02\x01",
      6);
  file.resize(64);  // a header whose tables are missing
  EXPECT_FALSE(ReadCubin(file).ok());
  const uint64_t far = uint64_t{1} << 40;
  std::memcpy(&file[0x28], &far, 8);
  file[0x3c] = 3;
  EXPECT_FALSE(ReadCubin(file).ok());
}

Ceilings CostsOf(const Kernel& kernel) {
  Ceilings costs;
  AddCosts("lib", {80, {kernel}}, costs);
  return costs;
}

TEST(CeilingsTest, PrintedAndParsedAgain) {
  const Ceilings costs = CostsOf(TwoLoops(80));
  const absl::StatusOr<Ceilings> parsed = Parse(Print(costs));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(Print(*parsed), Print(costs));
  EXPECT_TRUE(Compare(costs, *parsed).empty());
  const Cost& cost = parsed->at({80, "lib: Kernel"});
  EXPECT_EQ(cost.registers, 40);
  EXPECT_EQ(cost.shared_bytes, 128);
  EXPECT_EQ(cost.calls, 1);
  EXPECT_EQ(cost.mmas, 2);
  EXPECT_EQ(cost.slots_per_mma, 2);
  EXPECT_FALSE(Parse("80 1 2 3").ok());
  EXPECT_FALSE(Parse("80 x 0 0 0 - lib: K").ok());
}

TEST(CeilingsTest, WorseNewAndGoneAreNamed) {
  const Ceilings accepted = CostsOf(TwoLoops(80));
  auto first = [&](const Ceilings& costs) {
    const std::vector<std::string> lines = Compare(costs, accepted);
    return lines.empty() ? "" : lines[0];
  };
  Kernel kernel = TwoLoops(80);
  kernel.registers = 39;
  EXPECT_EQ(first(CostsOf(kernel)), "");
  kernel.registers = 41;
  EXPECT_EQ(first(CostsOf(kernel)), "sm_80 lib: Kernel: registers 41, accepted 40");
  kernel.registers = 40;
  kernel.shared_bytes = 256;
  EXPECT_EQ(first(CostsOf(kernel)), "sm_80 lib: Kernel: shared bytes 256, accepted 128");
  kernel = TwoLoops(80);
  kernel.code[7] = Plain(kCall);
  EXPECT_EQ(first(CostsOf(kernel)), "sm_80 lib: Kernel: calls in loops 2, accepted 1");
  kernel = TwoLoops(80);
  kernel.code[2] = Plain(kAdd);
  EXPECT_NE(first(CostsOf(kernel)).find("slots per MMA 4, accepted 2"), std::string::npos);
  kernel.code[1] = Plain(kAdd);
  EXPECT_EQ(first(CostsOf(kernel)), "sm_80 lib: Kernel: no MMA in any loop any more");
  kernel = TwoLoops(80);
  kernel.name = "Other";
  const std::vector<std::string> lines = Compare(CostsOf(kernel), accepted);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0], "sm_80 lib: Other: not in the table");
  EXPECT_EQ(lines[1], "sm_80 lib: Kernel: in the table, but there is no such kernel");
}

TEST(CeilingsTest, SpillsAndCallsAmongMmasAreNeverAccepted) {
  EXPECT_TRUE(Forbidden("lib", {80, {TwoLoops(80)}}).empty());
  Kernel kernel = TwoLoops(80);
  kernel.code[3] = Plain(kCall);
  EXPECT_EQ(Forbidden("lib", {80, {kernel}}).size(), 1u);
  kernel = TwoLoops(80);
  kernel.code[5] = Plain(kStoreLocal);
  EXPECT_EQ(Forbidden("lib", {80, {kernel}}).size(), 1u);
}

}  // namespace
}  // namespace eaq::sass
