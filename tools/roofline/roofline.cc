// The least time that our kernels can take on GPUs, on paper (kernels/roofline): shapes of OLMoE, Mixtral, DeepSeek at
// decode (1, 8, 64 tokens) and prefill (4096), on A100, RTX 4090, H100, H200. Issue slots per MMA are those of the
// accepted machine code (tools/sass/ceilings.txt).
//
//   ./bazelw run //tools/roofline                       the tables: shares of data-sheet rates
//   ./bazelw run //tools/roofline -- --explain=TEXT     the arithmetic of the rows whose name contains TEXT
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "eaq/base/file.h"
#include "kernels/cuda/grouped_gemm_tiles.h"
#include "kernels/roofline/floor.h"
#include "tools/sass/ceilings.h"

namespace eaq {
namespace {

using kernels::cuda::GemmKind;
using kernels::cuda::GemmTileShape;
using kernels::roofline::Chip;
using kernels::roofline::Floor;
using kernels::roofline::Work;

struct Model {
  const char* name;
  int64_t hidden, width, experts, k;  // of one expert; k experts a token
  int64_t heads, kv_heads, head_dim;  // 0: attention of another kind (latent), left out
};
constexpr Model kModels[] = {
    {"OLMoE", 2048, 1024, 64, 8, 16, 16, 128},
    {"Mixtral", 4096, 14336, 8, 2, 32, 8, 128},
    {"DeepSeek-V2-Lite", 2048, 1408, 64, 6, 0, 0, 0},
    {"DeepSeek-V3", 7168, 2048, 256, 8, 0, 0, 0},
};

struct Format {
  const char* name;
  GemmKind kind;
};
constexpr Format kFormats[] = {
    {"W8A8", {8, 8, 0}},        {"W4A8", {4, 8, 0}},        {"W4A8 g128", {4, 8, 1}}, {"W4A8 g32", {4, 8, 4}},
    {"W4A4", {4, 4, 0}},        {"W6A16 g128", {6, 16, 1}}, {"W4A16", {4, 16, 0}},    {"W4A16 g128", {4, 16, 1}},
    {"W3A16 g128", {3, 16, 1}}, {"W2A16 g128", {2, 16, 1}},
};

constexpr int64_t kTokens[] = {1, 8, 64, 4096};

// Issue slots of a kernel's main loop, from the accepted ceilings.
class Slots {
 public:
  explicit Slots(sass::Ceilings ceilings) : ceilings_(std::move(ceilings)) {}
  double Of(int architecture, const std::string& kernel) const {
    const auto found = ceilings_.find({architecture, kernel});
    return found == ceilings_.end() ? 0 : found->second.slots_per_mma;
  }
  double OfGemm(int architecture, const GemmKind& k, const GemmTileShape& t) const {
    return Of(
        architecture,
        absl::StrFormat("grouped_gemm_w%da%d%s: GroupedGemmKernel<eaq::kernels::cuda::GemmConfig<%d, %d, %d, %d, %d, "
                        "%d, %d, %d, %d, %d> >",
                        k.weight_bits, k.activation_bits, k.grids > 1 ? "_small" : "", k.weight_bits, k.activation_bits,
                        k.grids, t.row_warps, t.token_warps, t.row_tiles, t.token_tiles, t.bricks, t.stages, t.blocks));
  }
  double OfWgmma(int cluster, bool swiglu) const {
    return Of(90, absl::StrFormat("grouped_wgmma: GroupedWgmmaKernel<%d, %s>", cluster, swiglu ? "true" : "false"));
  }

 private:
  sass::Ceilings ceilings_;
};

struct Row {
  std::string name;
  Work work;
  double slots = 0;
};

// One product of a mixture's layer; gate_up: gate and up with SwiGLU, in bfloat16 for what 16-bit activations read
// next.
Row Product(const Model& m, const Format& f, int64_t tokens, bool gate_up, const Chip& chip, const Slots& slots) {
  kernels::roofline::GemmProblem p;
  p.kind = f.kind;
  p.rows = gate_up ? 2 * m.width : m.hidden;
  p.cols = gate_up ? m.hidden : m.width;
  p.loads = kernels::roofline::UniformLoads(tokens, m.experts, m.k);
  p.x_rows = gate_up ? tokens : tokens * m.k;
  p.outputs = gate_up ? m.width : m.hidden;
  p.y_bytes = gate_up && f.kind.activation_bits == 16 ? 2 : 4;
  p.token_tile = kernels::cuda::TokenTile(tokens * m.k, m.experts);
  p.multiprocessors = chip.multiprocessors;
  p.architecture = chip.architecture;
  const std::string name = absl::StrCat(m.name, " ", f.name, " ", tokens, gate_up ? " gate+up" : " down");
  if (kernels::roofline::TakesWgmma(p)) {
    Work work = kernels::roofline::GroupedWgmmaWork(p);
    const double of_wgmma = slots.OfWgmma(work.cluster, gate_up);
    return {name, std::move(work), of_wgmma};
  }
  return {name, kernels::roofline::GroupedGemmWork(p), slots.OfGemm(chip.architecture, f.kind, TileOf(p))};
}

std::vector<Row> Others(const Chip& chip, const Slots& slots) {
  std::vector<Row> rows;
  for (const Model& m : kModels) {
    if (m.heads > 0) {
      rows.push_back({absl::StrCat(m.name, " attention prefill 4 x 4096"),
                      kernels::roofline::AttentionWork({4, 4096, 4096, m.heads, m.kv_heads, m.head_dim, 2}),
                      slots.Of(chip.architecture, "attention: AttentionKernel<128, eaq::kernels::cuda::Bf16>")});
      rows.push_back({absl::StrCat(m.name, " attention decode 16 x 4096"),
                      kernels::roofline::AttentionDecodeWork({16, 1, 4096, m.heads, m.kv_heads, m.head_dim, 2})});
    }
    // Around a layer's products at 4096 tokens: each input read once, each result written once.
    const int64_t slots_of = 4096 * m.k;
    rows.push_back({absl::StrCat(m.name, " quantize hidden states to int8, 4096"),
                    kernels::roofline::StreamWork(slots_of * m.width * 5.0, slots_of)});
    rows.push_back(
        {absl::StrCat(m.name, " combine, 4096"),
         kernels::roofline::StreamWork(4.0 * m.hidden * (slots_of + 4096), 4096 * ((m.hidden + 1023) / 1024))});
    rows.push_back({absl::StrCat(m.name, " second moments of 4096 rows"),
                    kernels::roofline::HessianWork(4096, m.hidden),
                    slots.Of(chip.architecture, "hessian: HessianKernel<true>")});
  }
  return rows;
}

void Print(const Row& row, const Chip& chip, const std::string& explain) {
  const Floor f = FloorOf(row.work, chip, row.slots);
  if (!explain.empty()) {
    const std::string name = absl::StrCat(chip.name, " ", row.name);
    if (absl::StrContains(name, explain)) {
      absl::PrintF("%s\n%s", name, Explain(row.work, chip, row.slots));
    }
    return;
  }
  absl::PrintF(
      "%-44s %10.1f %5.0f %5.0f %5.0f %5.0f  %-6s %8.1f %8.1f %8.1f %8.1f %8.1f %6.1f %6.2f %5.2f %4.0f/%-4.0f\n",
      row.name, f.seconds * 1e6, 100 * f.memory_share, 100 * f.mma_share, 100 * f.busy_memory_share,
      100 * f.busy_mma_share, f.bound, f.memory * 1e6, f.l2 * 1e6, f.mma * 1e6, f.issue * 1e6, f.shared * 1e6,
      f.start * 1e6, f.waves, row.slots, f.flight / 1024, f.flight_needed / 1024);
}

int Run(int argc, char** argv) {
  std::string explain;
  for (int i = 1; i < argc; ++i) {
    if (absl::StartsWith(argv[i], "--explain=")) {
      explain = std::string(argv[i]).substr(10);
    } else {
      absl::FPrintF(stderr, "usage: roofline [--explain=TEXT]\n");
      return 2;
    }
  }
  const absl::StatusOr<std::string> path = FindInRepository("tools/sass/ceilings.txt");
  const absl::StatusOr<std::string> text = path.ok() ? ReadFile(*path) : path.status();
  const absl::StatusOr<sass::Ceilings> ceilings = text.ok() ? sass::Parse(*text) : text.status();
  if (!ceilings.ok()) {
    absl::FPrintF(stderr, "roofline: %s\n", ceilings.status().message());
    return 1;
  }
  const Slots slots(*ceilings);
  for (const Chip& chip : kernels::roofline::Chips()) {
    if (explain.empty()) {
      absl::PrintF("\n%s: %d SMs at %.2f GHz, %.0f GB/s\n", chip.name, chip.multiprocessors, chip.clock * 1e-9,
                   chip.memory * 1e-9);
      absl::PrintF("%-44s %10s %5s %5s %11s  %-6s %8s %8s %8s %8s %8s %6s %6s %5s %9s\n", "", "floor us", "mem%",
                   "MMA%", "less start", "bound", "memory", "L2", "MMA", "issue", "shared", "start", "waves", "slots",
                   "KiB flight");
    }
    for (const Model& m : kModels) {
      for (const Format& f : kFormats) {
        for (const int64_t tokens : kTokens) {
          for (const bool gate_up : {true, false}) Print(Product(m, f, tokens, gate_up, chip, slots), chip, explain);
        }
      }
    }
    for (const Row& row : Others(chip, slots)) Print(row, chip, explain);
  }
  return 0;
}

}  // namespace
}  // namespace eaq

int main(int argc, char** argv) { return eaq::Run(argc, argv); }
