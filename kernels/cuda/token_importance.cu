#include "kernels/cuda/exact_math.h"
#include "kernels/cuda/token_importance.h"
#include "kernels/cuda/warp_reduce.h"
#include "kernels/emulation/cuda_emulation.h"

namespace eaq::kernels::cuda {
namespace {

constexpr int kInvalidValue = 1;  // cudaErrorInvalidValue
constexpr int kWarps = 4;
constexpr float kLowest = -1e38f;

struct Arguments {
  AttentionBatch batch;
  const float* q;
  int64_t ldq;
  const float* k;
  int64_t ldk;
  const float* hidden;
  int64_t ldh, width;
  const int32_t* counts;
  ImportanceWorkspace workspace;
  int32_t* keep;
};

// A sequence, and this warp's place in it.
struct Place {
  int64_t first_query, first_key;
  int queries, at;
  bool whole;  // its queries are its keys
};

__device__ inline Place PlaceOf(const AttentionBatch& b, int sequence, int tile) {
  Place p;
  p.first_query = b.query_begin[sequence];
  p.queries = static_cast<int>(b.query_begin[sequence + 1] - p.first_query);
  p.first_key = b.key_begin[sequence];
  p.whole = b.key_count[sequence] == p.queries;
  p.at = tile * kWarps + static_cast<int>(threadIdx.x / 32);
  return p;
}

__device__ inline float Score(const Arguments& a, const float* q, const float* k) {
  float sum = 0;
  for (int d = 0; d < static_cast<int>(a.batch.head_dim); d += 4) {
    const float4 x = *reinterpret_cast<const float4*>(q + d), y = *reinterpret_cast<const float4*>(k + d);
    sum = fmaf(x.x, y.x, sum);
    sum = fmaf(x.y, y.y, sum);
    sum = fmaf(x.z, y.z, sum);
    sum = fmaf(x.w, y.w, sum);
  }
  return Mul(sum, a.batch.scale);
}

__device__ inline const float* QueryAt(const Arguments& a, const Place& p, int i, int head) {
  return a.q + (p.first_query + i) * a.ldq + head * a.batch.head_dim;
}
__device__ inline const float* KeyAt(const Arguments& a, const Place& p, int j, int head) {
  return a.k + (p.first_key + j) * a.ldk + head / (a.batch.heads / a.batch.kv_heads) * a.batch.head_dim;
}

// Grid (heads, tiles of queries, sequences): the largest score of a query, and 1 / the sum of its exponentials.
__global__ void __launch_bounds__(kWarps * 32) SoftmaxKernel(Arguments a) {
  const int head = blockIdx.x, lane = threadIdx.x % 32, window = static_cast<int>(a.batch.window);
  const Place p = PlaceOf(a.batch, blockIdx.z, blockIdx.y);
  if (!p.whole || p.at >= p.queries) return;  // the whole warp
  const int begin = window > 0 && p.at + 1 > window ? p.at + 1 - window : 0;
  const float* const query = QueryAt(a, p, p.at, head);
  float largest = kLowest, sum = 0;
  for (int j = begin + lane; j <= p.at; j += 32) {
    const float score = Score(a, query, KeyAt(a, p, j, head));
    if (score > largest) {
      sum *= FastExp(largest - score);
      largest = score;
    }
    sum += FastExp(score - largest);
  }
  const float top = WarpMax(largest);
  sum = WarpSum(largest == kLowest ? 0.0f : sum * FastExp(largest - top));
  if (lane != 0) return;
  float* const to = a.workspace.softmax + ((p.first_query + p.at) * a.batch.heads + head) * 2;
  to[0] = top;
  to[1] = 1.0f / sum;
}

// Grid (tiles of keys, sequences).
__global__ void __launch_bounds__(kWarps * 32) ImportanceKernel(Arguments a) {
  const int lane = threadIdx.x % 32, heads = static_cast<int>(a.batch.heads);
  const Place p = PlaceOf(a.batch, blockIdx.y, blockIdx.x);
  if (p.at >= p.queries) return;  // the whole warp
  double received = 0, norm = 0;
  if (p.whole) {
    const int left = p.queries - p.at;
    const int seen_by = a.batch.window > 0 && a.batch.window < left ? static_cast<int>(a.batch.window) : left;
    for (int head = 0; head < heads; ++head) {
      const float* const key = KeyAt(a, p, p.at, head);
      for (int i = p.at + lane; i < p.at + seen_by; i += 32) {
        const float* const softmax = a.workspace.softmax + ((p.first_query + i) * heads + head) * 2;
        const float score = Score(a, QueryAt(a, p, i, head), key);
        received += static_cast<double>(Mul(FastExp(score - softmax[0]), softmax[1]));
      }
    }
    received = WarpSum(received) / (static_cast<double>(heads) * seen_by);
    const float* const row = a.hidden + (p.first_query + p.at) * a.ldh;
    for (int64_t c = lane; c < a.width; c += 32) norm += static_cast<double>(fabsf(row[c]));
    norm = WarpSum(norm);
  }
  if (lane == 0) a.workspace.importance[p.first_query + p.at] = received * norm;
}

// Grid (tiles of tokens, sequences): a token is kept if fewer than counts[sequence] come before it.
__global__ void __launch_bounds__(kWarps * 32) KeepKernel(Arguments a) {
  const int lane = threadIdx.x % 32;
  const Place p = PlaceOf(a.batch, blockIdx.y, blockIdx.x);
  if (p.at >= p.queries) return;  // the whole warp
  const double* const importance = a.workspace.importance + p.first_query;
  const double own = importance[p.at];
  int before = 0;
  for (int i = lane; i < p.queries; i += 32) {
    const double other = importance[i];
    before += other > own || (other == own && i < p.at) ? 1 : 0;
  }
  before = WarpSum(before);
  if (lane == 0) a.keep[p.first_query + p.at] = before < a.counts[blockIdx.y] ? 1 : 0;
}

}  // namespace

int ProtectTokens(const AttentionBatch& batch, const float* q, int64_t ldq, const float* k, int64_t ldk,
                  const float* hidden, int64_t ldh, int64_t width, const int32_t* counts,
                  const ImportanceWorkspace& workspace, int32_t* keep, void* stream) {
  const int64_t tiles = (batch.max_queries + kWarps - 1) / kWarps;
  if (!ValidAttention(batch) || !ValidRows(q, ldq, batch.heads * batch.head_dim, 16) ||
      !ValidRows(k, ldk, batch.kv_heads * batch.head_dim, 16) || width < 1 || ldh < width || tiles > 65535) {
    return kInvalidValue;
  }
  if (batch.sequences == 0 || batch.max_queries == 0) return 0;
  const Arguments a{batch, q, ldq, k, ldk, hidden, ldh, width, counts, workspace, keep};
  const auto blocks = static_cast<unsigned>(tiles), sequences = static_cast<unsigned>(batch.sequences);
  EAQ_LAUNCH(SoftmaxKernel, dim3(static_cast<unsigned>(batch.heads), blocks, sequences), kWarps * 32, 0, stream, a);
  EAQ_LAUNCH(ImportanceKernel, dim3(blocks, sequences), kWarps * 32, 0, stream, a);
  EAQ_LAUNCH(KeepKernel, dim3(blocks, sequences), kWarps * 32, 0, stream, a);
  return EAQ_LAUNCH_ERROR();
}

}  // namespace eaq::kernels::cuda
