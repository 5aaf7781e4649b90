#include "kernels/cuda/exact_math.h"
#include "kernels/cuda/grid_math.h"
#include "kernels/cuda/round_block.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kBlock = static_cast<int>(kMaxRoundBlock);
constexpr int kHeld = kBlock / 32;  // positions a lane

__global__ void __launch_bounds__(kThreads) RoundBlockKernel(RoundProblem p, int64_t begin, int size) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (kThreads / 32) + threadIdx.x / 32;
  if (row >= p.rows) return;  // whole warps
  const int lane = threadIdx.x % 32, max_code = (1 << p.bits) - 1;
  double* const work = p.work + row * p.ldw + begin;
  double* const errors = p.errors + row * kBlock;
  uint8_t* const codes = p.codes + row * p.cols;

  double w[kHeld];
  WeightGrid grids[kHeld];
  int columns[kHeld];
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    const int i = k * 32 + lane;
    const bool there = i < size;
    w[k] = there ? work[i] : 0.0;
    const int64_t group = there && p.group_of != nullptr ? p.group_of[begin + i] : 0;
    grids[k] = p.grids[row * p.grid_stride + group];
    columns[k] = there && p.column_of != nullptr ? p.column_of[begin + i] : static_cast<int>(begin) + i;
  }

#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    for (int l = 0; l < 32; ++l) {
      const int i = k * 32 + l;
      if (i >= size) break;  // the whole warp
      const double* u = p.u + (begin + i) * p.ldu + begin;
      // Every lane rounds the value of lane l.
      const double value = __shfl_sync(0xffffffffu, w[k], l);
      WeightGrid grid;
      grid.scale = __shfl_sync(0xffffffffu, grids[k].scale, l);
      grid.zero = __shfl_sync(0xffffffffu, grids[k].zero, l);
      const int code = NearestCode(static_cast<float>(value), grid, max_code);
      const double error = Sub(value, static_cast<double>(ValueOfCode(code, grid))) / u[i];
      if (lane == l) {
        codes[columns[k]] = static_cast<uint8_t>(code);
        errors[i] = error;
      }
#pragma unroll
      for (int j = k; j < kHeld; ++j) {
        const int at = j * 32 + lane;
        if (at > i && at < size) w[j] = Sub(w[j], Mul(error, u[at]));
      }
    }
  }
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    if (k * 32 + lane < size) work[k * 32 + lane] = w[k];
  }
}

constexpr int kTile = 64;   // rows and columns a block; 4 x 4 a thread
constexpr int kDepth = 16;  // positions of the block at a time

__global__ void __launch_bounds__(kThreads) UpdateRestKernel(RoundProblem p, int64_t begin, int size) {
  EAQ_SHARED(double, e_tile, kDepth*(kTile + 1));
  EAQ_SHARED(double, u_tile, kDepth* kTile);
  const int64_t first_column = begin + size + static_cast<int64_t>(blockIdx.x) * kTile;
  const int64_t first_row = static_cast<int64_t>(blockIdx.y) * kTile;
  const int x = threadIdx.x % 16, y = threadIdx.x / 16;
  double sums[4][4] = {};
  for (int depth = 0; depth < size; depth += kDepth) {
    for (int i = threadIdx.x; i < kDepth * kTile; i += kThreads) {
      const int d = i % kDepth, r = i / kDepth;  // E by rows
      const bool there = depth + d < size && first_row + r < p.rows;
      e_tile[d * (kTile + 1) + r] = there ? p.errors[(first_row + r) * kBlock + depth + d] : 0.0;
    }
    for (int i = threadIdx.x; i < kDepth * kTile; i += kThreads) {
      const int d = i / kTile, c = i % kTile;
      const bool there = depth + d < size && first_column + c < p.cols;
      u_tile[i] = there ? p.u[(begin + depth + d) * p.ldu + first_column + c] : 0.0;
    }
    __syncthreads();
    for (int d = 0; d < kDepth; ++d) {
      double e[4], u[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        e[i] = e_tile[d * (kTile + 1) + y + 16 * i];
        u[i] = u_tile[d * kTile + x + 16 * i];
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[i][j] = fma(e[i], u[j], sums[i][j]);
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int64_t row = first_row + y + 16 * i, column = first_column + x + 16 * j;
      if (row < p.rows && column < p.cols) {
        double* to = p.work + row * p.ldw + column;
        *to = Sub(*to, sums[i][j]);
      }
    }
  }
}

bool Bad(const RoundProblem& p, int64_t begin, int64_t end) {
  return p.bits < 2 || p.bits > 8 || p.rows < 0 || p.cols < 0 || p.ldw < p.cols || p.ldu < p.cols ||
         p.grid_stride < 0 || begin < 0 || end < begin || end > p.cols || end - begin > kMaxRoundBlock;
}

}  // namespace

int RoundBlock(const RoundProblem& problem, int64_t begin, int64_t end, void* stream) {
  if (Bad(problem, begin, end)) return 1;
  const int64_t blocks = (problem.rows + kThreads / 32 - 1) / (kThreads / 32);
  if (blocks > 0x7fffffff) return 1;
  if (blocks == 0 || begin == end) return 0;
  EAQ_LAUNCH(RoundBlockKernel, static_cast<unsigned>(blocks), kThreads, 0, stream, problem, begin,
             static_cast<int>(end - begin));
  return EAQ_LAUNCH_ERROR();
}

int UpdateRest(const RoundProblem& problem, int64_t begin, int64_t end, void* stream) {
  if (Bad(problem, begin, end)) return 1;
  const int64_t rest = problem.cols - end, row_tiles = (problem.rows + kTile - 1) / kTile;
  if (row_tiles > 65535) return 1;
  if (rest == 0 || row_tiles == 0 || begin == end) return 0;
  const dim3 grid(static_cast<unsigned>((rest + kTile - 1) / kTile), static_cast<unsigned>(row_tiles), 1);
  EAQ_LAUNCH(UpdateRestKernel, grid, kThreads, 0, stream, problem, begin, static_cast<int>(end - begin));
  return EAQ_LAUNCH_ERROR();
}

}  // namespace eaq::kernels::cuda
