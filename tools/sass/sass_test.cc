// The machine code that nvcc made of every kernel of //kernels/cuda, for every architecture that we build for: no local
// memory, no calls in loops with MMAs, and nothing worse than tools/sass/ceilings.txt accepts.
#include <string>
#include <vector>

#include "eaq/base/file.h"
#include "gtest/gtest.h"
#include "tools/sass/ceilings.h"
#include "tools/sass/find_cubins.h"

namespace eaq::sass {
namespace {

// The version of nvcc whose figures the table holds.
constexpr char kTableVersion[] = "13.0";
constexpr char kAccept[] =
    "\nTo accept (say why in the change):\n"
    "  ./bazelw build //kernels/cuda:cubins\n"
    "  ./bazelw run //tools/sass:sass_mix -- --ceilings $PWD/bazel-bin/kernels/cuda > /tmp/ceilings.txt\n"
    "  grep -v ptx_wrappers /tmp/ceilings.txt > tools/sass/ceilings.txt";

class SassTest : public testing::Test {
 protected:
  void SetUp() override {
    if (std::string(EAQ_CUDA_VERSION).empty()) GTEST_SKIP() << "no CUDA toolkit: there is no machine code to look at";
    absl::StatusOr<std::vector<Found>> found = FindCubins("kernels/cuda");
    ASSERT_TRUE(found.ok()) << found.status();
    found_ = *std::move(found);
    ASSERT_FALSE(found_.empty());
  }
  std::vector<Found> found_;
};

std::string Lines(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += "\n  " + line;
  return text;
}

TEST_F(SassTest, NoLocalMemoryAndNoCallsAmongMmas) {
  for (const Found& found : found_) {
    const std::vector<std::string> lines = Forbidden(found.library, found.cubin);
    EXPECT_TRUE(lines.empty()) << Lines(lines);
  }
}

TEST_F(SassTest, NothingIsWorseThanAccepted) {
  if (std::string(EAQ_CUDA_VERSION) != kTableVersion) {
    GTEST_SKIP() << "nvcc " << EAQ_CUDA_VERSION << ": the table is of " << kTableVersion;
  }
  const absl::StatusOr<std::string> text = ReadFile("tools/sass/ceilings.txt");
  ASSERT_TRUE(text.ok()) << text.status();
  const absl::StatusOr<Ceilings> accepted = Parse(*text);
  ASSERT_TRUE(accepted.ok()) << accepted.status();
  Ceilings costs;
  for (const Found& found : found_) AddCosts(found.library, found.cubin, costs);
  const std::vector<std::string> lines = Compare(costs, *accepted);
  EXPECT_TRUE(lines.empty()) << Lines(lines) << kAccept;
}

}  // namespace
}  // namespace eaq::sass
