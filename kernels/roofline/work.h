// What one call of a kernel does, as a formula of its shape: the upper half of Work is what
// kernels/emulation/counters.h counts when the kernel runs (roofline_test holds them equal), the lower half is what a
// schedule needs to know.
#ifndef KERNELS_ROOFLINE_WORK_H_
#define KERNELS_ROOFLINE_WORK_H_

#include <cstdint>
#include <vector>

#include "kernels/cuda/grouped_gemm_tiles.h"
#include "kernels/cuda/grouped_wgmma_tiles.h"
#include "kernels/cuda/persistent_grid.h"

namespace eaq::kernels::roofline {

struct Work {
  int64_t launches = 0, blocks = 0;
  int64_t mma_bf16 = 0, mma_s8 = 0, mma_s4 = 0;
  int64_t ldmatrix = 0, ldmatrix_wavefronts = 0;       // of a warp; cycles of shared memory
  int64_t shared_accesses = 0, shared_wavefronts = 0;  // plain ones that are counted (ptx::LoadShared)
  int64_t copied_bytes = 0;                            // by cp.async, from the second cache or memory
  int64_t global_accesses_16 = 0;                      // of a thread
  int64_t wgmma = 0, wgmma_columns = 0;                // of a warpgroup, 64 x N x 32; the sum of N
  int64_t bulk_bytes = 0, bulk_landed_bytes = 0;       // read for a cluster, and written to its shared memories

  double memory_bytes = 0;   // every operand and result once: the least that memory moves
  double macs = 0;           // multiply-adds that the result needs, without padding
  int64_t items = 0;         // equal pieces of work that blocks (clusters) take by turns; 0: too uneven to count
  int cluster = 1;           // blocks that share an item
  int threads = 1;           // of a block
  int resident = 1;          // blocks of a multiprocessor that registers are limited for
  int64_t shared_bytes = 0;  // of a block
  int64_t flight_bytes = 0;  // of a block: loads that are on their way while it computes
  int dependent_loads = 0;   // one after the other, before the first product and after the last

  int64_t mmas() const { return mma_bf16 + mma_s8 + mma_s4 + 4 * wgmma; }  // of a warp
};

// Experts' loads: `tokens` tokens choose k different experts of `experts` at random, from a fixed stream.
std::vector<int> UniformLoads(int64_t tokens, int64_t experts, int64_t k);

struct GemmProblem {
  cuda::GemmKind kind;
  bool weight_zeros = true;
  int64_t rows = 0, cols = 0;  // of the packed matrix
  std::vector<int> loads;      // slots of each expert
  int64_t x_rows = 0;          // distinct rows of x
  int64_t outputs = 0;         // columns of y
  int y_bytes = 4;             // of one result
  int token_tile = 8;
  int multiprocessors = 1;
  int architecture = 90;  // of kernels/architecture.h; int4 by two int8 products from 90 on
};
// The tile that GroupedGemm takes.
cuda::GemmTileShape TileOf(const GemmProblem& p);
// For which its grid is sized.
cuda::Machine MachineOf(const GemmProblem& p);
Work GroupedGemmWork(const GemmProblem& p);
// Whether GroupedGemm takes grouped_wgmma.h for it, and that kernel's work.
bool TakesWgmma(const GemmProblem& p);
Work GroupedWgmmaWork(const GemmProblem& p);

// Causal attention without window. Prefill: `queries` = keys; decode: one query a sequence.
struct AttentionProblem {
  int64_t sequences = 1, queries = 1, keys = 1, heads = 1, kv_heads = 1, head_dim = 128;
  int out_bytes = 2;
};
Work AttentionWork(const AttentionProblem& p);        // attention.h, bf16
Work AttentionDecodeWork(const AttentionProblem& p);  // attention_decode.h, bf16; both launches

// Second moments (hessian.h): x [tokens, columns], six products of exact bf16 planes on the lower triangle.
Work HessianWork(int64_t tokens, int64_t columns);

// One pass over memory: what quantize_rows, combine, norm and their like do.
Work StreamWork(double bytes, int64_t blocks);

}  // namespace eaq::kernels::roofline

#endif  // KERNELS_ROOFLINE_WORK_H_
