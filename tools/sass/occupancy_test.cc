// How many blocks of every kernel of //kernels/cuda run at once, for every architecture that we build for, launched as
// the kernels' checks do: against tools/sass/occupancy.txt, against what the kernels are compiled for
// (__launch_bounds__ of the grouped product) and against what kernels/roofline assumes.
#include "tools/sass/occupancy.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "eaq/base/file.h"
#include "gtest/gtest.h"
#include "kernels/architecture.h"
#include "kernels/roofline/floor.h"
#include "kernels/roofline/work.h"
#include "tools/sass/flight.h"
#include "tools/sass/launches.h"
#include "tools/sass/own_functions.h"

namespace eaq::sass {
namespace {

using kernels::cuda::GemmKind;
using kernels::cuda::GemmTileShape;
using kernels::roofline::Chip;
using kernels::roofline::Chips;
using kernels::roofline::FloorOf;
using kernels::roofline::OccupancyOf;
using kernels::roofline::Work;

// The version of nvcc whose figures the table holds.
constexpr char kTableVersion[] = "13.0";
constexpr char kAccept[] =
    "\nTo accept (say why in the change):\n"
    "  ./bazelw build //kernels/cuda:cubins\n"
    "  ./bazelw run //tools/sass:occupancy -- --accepted $PWD/bazel-bin/kernels/cuda > /tmp/occupancy.txt\n"
    "  grep -v ptx_ /tmp/occupancy.txt > tools/sass/occupancy.txt";

std::string Lines(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += "\n  " + line;
  return text;
}

// ---- the table itself, on kernels made up here

Found Library(int registers, int64_t static_bytes) {
  Kernel kernel;
  kernel.name = "Kernel<1, 2>";
  kernel.registers = registers;
  kernel.shared_bytes = static_bytes;
  return {"lib", "lib.cubin", {90, {kernel}}};
}

std::vector<Resident> ResidentsOf(const Found& found, const Launches& launches) {
  const absl::StatusOr<std::vector<Resident>> residents = Residents({found}, launches);
  EXPECT_TRUE(residents.ok()) << residents.status();
  return *residents;
}

TEST(OccupancyTableTest, ThreadsAndBytesOfLaunchesMeetRegistersOfMachineCode) {
  const std::vector<Resident> residents = ResidentsOf(Library(96, 1000), {{"Kernel<1, 2>", {{128, 30000}, {256, 0}}}});
  ASSERT_EQ(residents.size(), 2u);
  EXPECT_EQ(residents[0].occupancy.blocks, 5);  // 5 warps of 3072 registers in each quarter
  EXPECT_EQ(residents[1].occupancy.blocks, 2);
  EXPECT_EQ(residents[0].static_bytes, 1000);
  EXPECT_EQ(residents[0].dynamic_bytes, 30000);
  EXPECT_NE(PrintResidents(residents).find(" 5    20   31%  registers        -  lib: Kernel<1, 2>"), std::string::npos)
      << PrintResidents(residents);
  Found unknown = Library(1, 1);
  unknown.cubin.architecture = 75;
  EXPECT_FALSE(Residents({unknown}, {}).ok());
}

TEST(OccupancyTableTest, PrintedAndParsedAgain) {
  const std::string text = PrintOccupancy(ToAccepted(ResidentsOf(Library(96, 0), {{"Kernel<1, 2>", {{128, 30000}}}})));
  EXPECT_NE(text.find("      128   30000    -   -   -   5  lib: Kernel<1, 2>\n"), std::string::npos) << text;
  const absl::StatusOr<AcceptedOccupancy> parsed = ParseOccupancy(text);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(PrintOccupancy(*parsed), text);
  EXPECT_FALSE(ParseOccupancy("128 0 1 1 1 1").ok());
  EXPECT_FALSE(ParseOccupancy("128 0 1 x 1 1 lib: K").ok());
  EXPECT_FALSE(ParseOccupancy("128 0 1 1 1 1 lib: K\n128 0 1 1 1 2 lib: K").ok());
}

TEST(OccupancyTableTest, FewerBlocksNewGoneAndNeverLaunchedAreNamed) {
  const Launches launches = {{"Kernel<1, 2>", {{128, 0}}}};
  const AcceptedOccupancy accepted = ToAccepted(ResidentsOf(Library(96, 0), launches));
  auto lines = [&](const Found& found, const Launches& now) {
    return CompareOccupancy(ResidentsOf(found, now), accepted);
  };
  EXPECT_TRUE(lines(Library(96, 0), launches).empty());
  EXPECT_TRUE(lines(Library(32, 0), launches).empty());  // more blocks
  std::vector<std::string> found = lines(Library(104, 0), launches);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0],
            "sm_90 lib: Kernel<1, 2> with 128 threads: 4 blocks, accepted 5; limited by registers (104 registers, "
            "0 + 0 bytes of shared memory)");
  found = lines(Library(96, 0), {{"Kernel<1, 2>", {{128, 64}}}});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_NE(found[0].find("64 bytes of dynamic shared memory, accepted 0"), std::string::npos);
  found = lines(Library(96, 0), {});
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0], "sm_90 lib: Kernel<1, 2>: no check launches it (kernels/selftest)");
  EXPECT_NE(found[1].find("there is no such launch"), std::string::npos);
  found = lines(Library(96, 0), {{"Kernel<1, 2>", {{128, 0}, {64, 0}}}});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0], "sm_90 lib: Kernel<1, 2> with 64 threads: not in the table");
  found = lines(Library(255, 0), {{"Kernel<1, 2>", {{512, 0}, {128, 0}}}});
  EXPECT_EQ(found.back(), "sm_90 lib: Kernel<1, 2> with 512 threads: not in the table");
  EXPECT_NE(Lines(found).find("refuses the launch, by registers"), std::string::npos) << Lines(found);
}

TEST(FlightTest, ByHand) {
  const std::string config = "eaq::kernels::cuda::GemmConfig<4, 16, 0, 4, 1, 1, 1, 2, 4, 4>";
  const std::vector<GemmTile> tiles = GemmTilesOf("GroupedGemmKernel<" + config + " >");
  ASSERT_EQ(tiles.size(), 1u);
  EXPECT_EQ(tiles[0].shape.rows(), 64);
  EXPECT_EQ(tiles[0].shape.stages, 4);
  // A stage: 64 rows of 256 codes of 4 bits, 8 tokens of 256 numbers of 16.
  constexpr int64_t kStage = 64 * 256 / 2 + 8 * 256 * 2;
  EXPECT_EQ(FlightBytes("GroupedGemmKernel<" + config + " >", 3), 3 * kStage * 3);
  EXPECT_EQ(FlightBytes("GroupedGemmKernel<" + config + " >", 9), 3 * kStage * 4);  // the launch starts four
  EXPECT_EQ(FlightBytes("NormKernel<4>", 9), std::nullopt);
  EXPECT_EQ(static_cast<int>(FlightNeeded(Chips()[0])), 11327);  // A100: 2039 GB/s, 108 SMs, 600 ns
}

int NoKernel() { return 0; }

TEST(OwnFunctionsTest, AFunctionHasItsName) {
  const auto functions = OwnFunctions();
  ASSERT_TRUE(functions.ok()) << functions.status();
  const auto found = functions->find(reinterpret_cast<const void*>(&NoKernel));
  ASSERT_NE(found, functions->end());
  EXPECT_EQ(ShortName(found->second), "NoKernel");
}

// ---- the kernels of //kernels/cuda

class KernelOccupancyTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (std::string(EAQ_CUDA_VERSION).empty()) return;
    const absl::StatusOr<std::vector<Found>> found = FindCubins("kernels/cuda");
    ASSERT_TRUE(found.ok()) << found.status();
    ASSERT_FALSE(found->empty());
    const absl::StatusOr<Launches> launches = LaunchesOfChecks();
    ASSERT_TRUE(launches.ok()) << launches.status();
    const absl::StatusOr<std::vector<Resident>> residents = Residents(*found, *launches);
    ASSERT_TRUE(residents.ok()) << residents.status();
    launches_ = new Launches(*launches);
    residents_ = new std::vector<Resident>(*residents);
  }
  void SetUp() override {
    if (std::string(EAQ_CUDA_VERSION).empty()) GTEST_SKIP() << "no CUDA toolkit: there is no machine code to look at";
    ASSERT_NE(residents_, nullptr);
  }

  // A kernel of roofline's model has the room that its floor assumes, on every chip that runs it.
  static void ExpectRoom(const std::string& name, const Work& work) {
    int compared = 0;
    for (const Chip& chip : Chips()) {
      for (const Resident& r : *residents_) {
        if (r.architecture != chip.architecture || r.name() != name || r.threads == 0) continue;
        ++compared;
        EXPECT_EQ(r.threads, work.threads) << chip.name << " " << name;
        EXPECT_GE(r.occupancy.blocks, FloorOf(work, chip, 0).resident)
            << chip.name << " " << name << ": " << r.occupancy.limit;
      }
    }
    EXPECT_GT(compared, 0) << name;
  }

  static const Launches* launches_;
  static const std::vector<Resident>* residents_;
};
const Launches* KernelOccupancyTest::launches_ = nullptr;
const std::vector<Resident>* KernelOccupancyTest::residents_ = nullptr;

TEST_F(KernelOccupancyTest, NoFewerBlocksThanAccepted) {
  if (std::string(EAQ_CUDA_VERSION) != kTableVersion) {
    GTEST_SKIP() << "nvcc " << EAQ_CUDA_VERSION << ": the table is of " << kTableVersion;
  }
  const absl::StatusOr<std::string> text = ReadFile("tools/sass/occupancy.txt");
  ASSERT_TRUE(text.ok()) << text.status();
  const absl::StatusOr<AcceptedOccupancy> accepted = ParseOccupancy(*text);
  ASSERT_TRUE(accepted.ok()) << accepted.status();
  const std::vector<std::string> lines = CompareOccupancy(*residents_, *accepted);
  EXPECT_TRUE(lines.empty()) << Lines(lines) << kAccept;
}

TEST_F(KernelOccupancyTest, EveryLaunchedKernelHasMachineCode) {
  for (const auto& [kernel, shapes] : *launches_) {
    bool found = false;
    for (const Resident& r : *residents_) found |= r.kernel == kernel;
    EXPECT_TRUE(found) << kernel;
  }
}

// __launch_bounds__ of the grouped product promises `blocks`: registers leave room for them everywhere; where fewer
// run, it is shared memory that lacks.
TEST_F(KernelOccupancyTest, GroupedGemmHasTheBlocksThatItIsCompiledFor) {
  int compared = 0;
  for (const Resident& r : *residents_) {
    const std::vector<GemmTile> tiles = GemmTilesOf(r.kernel);
    if (tiles.empty()) continue;
    ++compared;
    const std::string what = "sm_" + std::to_string(r.architecture) + " " + r.name();
    const GemmTileShape& shape = tiles[0].shape;
    EXPECT_EQ(r.threads, shape.threads()) << what;
    const auto by_registers = OccupancyOf({r.threads, r.registers, 0}, *kernels::FindArchitecture(r.architecture));
    EXPECT_GE(by_registers.blocks, shape.blocks) << what;
    if (r.occupancy.blocks < shape.blocks) {
      EXPECT_STREQ(r.occupancy.limit, "shared") << what;
    }
    int64_t bytes = 0;
    for (const GemmTile& tile : tiles) bytes = std::max<int64_t>(bytes, SharedBytes(tile.kind, tile.shape));
    EXPECT_EQ(r.dynamic_bytes, bytes) << what;
  }
  EXPECT_GT(compared, 100);
}

// The formulas of kernels/roofline, for every kernel of a single width: its floor counts on the blocks that there are.
TEST_F(KernelOccupancyTest, RooflineCountsOnTheGroupedGemmBlocksThatThereAre) {
  int compared = 0;
  for (const Resident& r : *residents_) {
    const std::vector<GemmTile> tiles = GemmTilesOf(r.kernel);
    if (tiles.size() != 1) continue;
    const auto fields = [](const GemmTileShape& t) {
      return std::make_tuple(t.row_warps, t.token_warps, t.row_tiles, t.token_tiles, t.bricks, t.stages, t.blocks);
    };
    for (const Chip& chip : Chips()) {
      if (chip.architecture != r.architecture) continue;
      bool is_chosen = false;
      for (const int token_tile : {8, 16, 32, 128}) {
        for (const int64_t rows : {int64_t{64}, int64_t{1} << 20}) {  // few tiles, and one for every multiprocessor
          kernels::roofline::GemmProblem p;
          p.kind = tiles[0].kind;
          p.rows = p.outputs = rows;
          p.cols = 1024;
          p.loads = {token_tile};
          p.x_rows = token_tile;
          p.token_tile = token_tile;
          p.multiprocessors = chip.multiprocessors;
          p.architecture = chip.architecture;
          if (fields(TileOf(p)) != fields(tiles[0].shape)) continue;
          is_chosen = true;
          const Work work = GroupedGemmWork(p);
          const int resident = std::min(r.occupancy.blocks, tiles[0].shape.blocks);
          EXPECT_EQ(FloorOf(work, chip, 0).resident, resident)
              << chip.name << " " << r.name() << ": " << r.occupancy.limit;
          EXPECT_LE(work.blocks, int64_t{chip.multiprocessors} * resident)
              << chip.name << " " << r.name() << ": blocks that wait for others";
          if (rows > 64) {
            EXPECT_EQ(work.blocks, int64_t{chip.multiprocessors} * resident)
                << chip.name << " " << r.name() << ": places left empty";
          }
        }
      }
      EXPECT_TRUE(is_chosen) << r.name() << ": ChooseTile never takes this tile";
      ++compared;
    }
  }
  EXPECT_GT(compared, 100);
}

TEST_F(KernelOccupancyTest, RooflineCountsOnTheOtherBlocksThatThereAre) {
  namespace roofline = kernels::roofline;
  for (const int64_t dim : {32, 64, 128}) {
    const std::string d = std::to_string(dim);
    ExpectRoom("attention: AttentionKernel<" + d + ", eaq::kernels::cuda::Bf16>",
               roofline::AttentionWork({1, 256, 256, 4, 4, dim, 2}));
    for (const int group : {1, 2, 4}) {
      ExpectRoom(
          "attention_decode: DecodeSplitKernel<eaq::kernels::cuda::Bf16, " + d + ", " + std::to_string(group) + ">",
          roofline::AttentionDecodeWork({1, 1, 256, group, 1, dim, 2}));
    }
  }
  ExpectRoom("hessian: HessianKernel<true>", roofline::HessianWork(4096, 1024));
  ExpectRoom("combine: CombineKernel<true>", roofline::StreamWork(1e6, 1000));
  roofline::GemmProblem p;
  p.kind = {8, 8, 0};
  p.rows = p.outputs = p.cols = 1024;
  p.loads = {128};
  p.x_rows = 128;
  for (const int slots : {128, 300}) {
    p.loads = {slots};
    const Work work = roofline::GroupedWgmmaWork(p);
    ExpectRoom("grouped_wgmma: GroupedWgmmaKernel<" + std::to_string(work.cluster) + ", true>", work);
  }
}

// Little's law: at decode, where the memory is the limit, enough bytes are on their way to keep it busy.
TEST_F(KernelOccupancyTest, DecodeHasEnoughBytesInFlight) {
  int compared = 0;
  for (const Resident& r : *residents_) {
    const std::vector<GemmTile> tiles = GemmTilesOf(r.kernel);
    if (tiles.empty() || !tiles[0].decode()) continue;
    for (const Chip& chip : Chips()) {
      if (chip.architecture != r.architecture) continue;
      ++compared;
      EXPECT_GE(static_cast<double>(*FlightBytes(r.kernel, r.occupancy.blocks)), FlightNeeded(chip))
          << chip.name << " " << r.name() << ", " << r.occupancy.blocks << " blocks";
    }
  }
  EXPECT_GT(compared, 100);
}

}  // namespace
}  // namespace eaq::sass
