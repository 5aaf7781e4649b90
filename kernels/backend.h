// The op interface of the hot loops: raw pointers, shapes and strides; nothing from outside kernels/ but the standard
// library. The functions are the CPU's (cpu/); `Backend` below is the same list for every machine. Every op has a naive
// double-precision twin of the same name in reference/reference.h, which the tests compare with.
//
// Rules that hold for every op: row-major; a stride counts elements from one row to the next; the result of a row
// depends on its own inputs alone, not on the thread, the time or (unless said) the rows beside it; nothing allocates
// except Attention. The dense product itself is in cpu/gemm.h.
#ifndef KERNELS_BACKEND_H_
#define KERNELS_BACKEND_H_

#include <cstdint>
#include <string>
#include <utility>

namespace eaq::kernels {

// y_i = x_i / sqrt(mean(x^2) + eps) * weight_i per row of [rows, n]. The mean of squares is summed in float64 over the
// float32 squares. y may be x.  (Zhang & Sennrich, "Root Mean Square Layer Normalization", 2019, eq. 4)
void RmsNorm(const float* x, int64_t ldx, const float* weight, double eps, float* y, int64_t ldy, int64_t rows,
             int64_t n);

// In place, half-split rotary embedding (Su et al., 2021; the "NeoX" pairing): for each of HEADS heads of a row,
//   y_i = x_i cos_i - x_{i+d/2} sin_i,  y_{i+d/2} = x_{i+d/2} cos_i + x_i sin_i,  i < d/2.
// cosines, sines: [rows, head_dim / 2], the angles of each row's position.
void RotaryHalfSplit(float* x, int64_t ldx, const float* cosines, const float* sines, int64_t rows, int64_t heads,
                     int64_t head_dim);

// p_i = exp(x_i - max x) / sum, per row of [rows, n]; n >= 1. y may be x. Relative error of a value below
// 4e-7 + (n + |x_i - max x|) * 2^-24: the terms of the sum and the rounding of the difference.
void SoftmaxRows(const float* x, int64_t ldx, float* y, int64_t ldy, int64_t rows, int64_t n);

// out_i = silu(gate_i) * up_i, silu(z) = z / (1 + exp(-z)), over N contiguous numbers. out may be gate or up.
void SiluMul(const float* gate, const float* up, float* out, int64_t n);

// y += a * x over N numbers.
void Axpy(float a, const float* x, float* y, int64_t n);

// The K largest of scores[n], falling; the lowest index wins a tie; NaN counts as the smallest. 1 <= k <= n.
void TopK(const float* scores, int64_t n, int64_t k, int32_t* indices);

// log(sum_i exp(x_i)) in float64: the normaliser of a log-probability.
double LogSumExp(const float* x, int64_t n);

// What two rows of logits say about each other, p and q their softmax, in float64.
struct Divergence {
  double log_sum_p = 0;  // LogSumExp of each
  double log_sum_q = 0;
  // KL(p || q) = sum_i p_i (log p_i - log q_i), nats; never below 0 by rounding; not finite for bad input.
  double kl = 0;
  bool agree = false;  // both have their largest logit, the first of equals, at the same place
};
Divergence Diverge(const float* p, const float* q, int64_t n);

// Causal attention of one sequence. Query row i has position first + i and sees the keys j with j <= first + i and,
// when window > 0, j > first + i - window. Query head h reads key/value head h / (heads / kv_heads).
//   out[i, h] = sum_j softmax_j(scale * q[i, h] . k[j, h']) v[j, h']
// q, out: [queries, heads * head_dim]; k, v: [first + queries, kv_heads * head_dim], keys already rotated. out must not
// overlap. Worked in blocks of query rows with dense products: memory grows with the keys, not with their square.
struct AttentionShape {
  int64_t queries = 0;
  int64_t first = 0;  // position of query row 0 = number of keys before it
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t window = 0;  // 0: all keys
  float scale = 1.0f;
};
void Attention(const AttentionShape& shape, const float* q, int64_t ldq, const float* k, int64_t ldk, const float* v,
               int64_t ldv, float* out, int64_t ldo);

// y[out] = W[out, in] x[in] for one row: memory-bound, so a plain loop beats a blocked product.
void MatVec(const float* w, const float* x, float* y, int64_t out, int64_t in);

// ---- The same ops by machine
//
// `Backend` is the one list of what a machine can do: kReference (double precision, naive), kCpu (the functions above),
// kEmulation (the kernels of kernels/cuda on emulated CUDA threads) and kCuda (the same kernels on a GPU).
// kernels/device/open.h opens one. Model code that runs on the CPU alone calls the functions above without this detour.

enum class BackendKind { kReference, kCpu, kEmulation, kCuda };
const char* Name(BackendKind kind);  // "reference", "cpu", "emulation", "cuda"

// What a call came to: nothing to say, or what went wrong in words (the op, its shape, the launch).
class [[nodiscard]] BackendStatus {
 public:
  BackendStatus() = default;
  static BackendStatus Failure(std::string text) {
    BackendStatus status;
    status.text_ = std::move(text);
    return status;
  }
  bool ok() const { return text_.empty(); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

class Device;  // kernels/device/device.h
namespace cuda {
struct AttentionBatch;            // kernels/cuda/attention.h
struct GridSearch;                // kernels/cuda/weight_quant.h
struct GroupedBf16Arguments;      // kernels/cuda/grouped_bf16.h
struct GroupedGemmArguments;      // kernels/cuda/grouped_gemm.h
struct ImportanceWorkspace;       // kernels/cuda/token_importance.h
struct KvCodes;                   // kernels/cuda/attention_kv.h
struct RouteOptions;              // kernels/cuda/route.h
struct RowQuantizer;              // kernels/cuda/quantize_rows.h
struct RowSets;                   // kernels/cuda/transform_rows.h
struct RowSource;                 // kernels/cuda/quantize_rows.h
struct RowTransform;              // kernels/cuda/transform_rows.h
struct RoundProblem;              // kernels/cuda/round_block.h
struct SortedTokens;              // kernels/cuda/sort_tokens.h
struct WeightGrid;                // kernels/cuda/weight_grid.h
enum class GemmFormat : int;      // kernels/cuda/grouped_gemm.h
enum class WeightGridKind : int;  // kernels/cuda/weight_grid.h
}  // namespace cuda

// Pointers are the machine's own memory: the host's for kReference, kCpu and kEmulation, the GPU's for kCuda. Ops run
// in the order of the calls; on a GPU a call returns before its work is done. Rows, strides and results are as the
// functions above or the header named say. An op that a machine has not says so (kReference and kCpu: those without a
// function above; their quantized products are eaq/quant's).
class Backend {
 public:
  virtual ~Backend() = default;
  virtual BackendKind kind() const = 0;
  // Where kernels run and their memory comes from; null: the host.
  virtual Device* device() { return nullptr; }

  virtual BackendStatus RmsNorm(const float* x, int64_t ldx, const float* weight, double eps, float* y, int64_t ldy,
                                int64_t rows, int64_t n) = 0;
  virtual BackendStatus RotaryHalfSplit(float* x, int64_t ldx, const float* cosines, const float* sines, int64_t rows,
                                        int64_t heads, int64_t head_dim) = 0;
  // Over rows: out may be gate or up.
  virtual BackendStatus SiluMul(const float* gate, int64_t ldg, const float* up, int64_t ldu, float* out, int64_t ldo,
                                int64_t rows, int64_t n) = 0;
  // Several sequences at once (cuda/attention.h).
  virtual BackendStatus Attention(const cuda::AttentionBatch& batch, const float* q, int64_t ldq, const float* k,
                                  int64_t ldk, const float* v, int64_t ldv, float* out, int64_t ldo) = 0;
  // With keys and values as codes, which QuantizeKv makes (cuda/attention_kv.h).
  virtual BackendStatus QuantizeKv(const float* x, int64_t ldx, int64_t rows, int64_t kv_heads, int64_t head_dim,
                                   const cuda::RowQuantizer& quantizer, const cuda::KvCodes& kv);
  virtual BackendStatus AttentionKv(const cuda::AttentionBatch& batch, const float* q, int64_t ldq,
                                    const cuda::KvCodes& k, const cuda::KvCodes& v, float* out, int64_t ldo);
  // y[n, out] = x[n, in] W^T for a contiguous W[out, in], all float32. On a device: by cuBLAS where out is above
  // cuda::kMaxExperts (cuda/route.h has the product of a router).
  virtual BackendStatus Linear(const float* x, int64_t ldx, const float* w, float* y, int64_t n, int64_t out,
                               int64_t in) = 0;
  // y[n, out] = x[n, in] W^T, or y += where ADD, for rows of bfloat16; sums in float32. By cuBLAS
  // (device/dense_product.h).
  virtual BackendStatus LinearBf16(const uint16_t* x, int64_t ldx, const uint16_t* w, int64_t ldw, bool add, float* y,
                                   int64_t ldy, int64_t n, int64_t out, int64_t in);
  // x += delta, then y = RmsNorm(x): the residual stream.
  virtual BackendStatus AddRmsNorm(float* x, int64_t ldx, const float* delta, int64_t ldd, const float* weight,
                                   double eps, float* y, int64_t ldy, int64_t rows, int64_t n) = 0;
  // cuda/embed.h; out of the vocabulary: NaN.
  virtual BackendStatus Embed(const float* table, int64_t vocabulary, const int32_t* ids, float* y, int64_t rows,
                              int64_t n) = 0;
  // log p(target) of every row, and its LogSumExp (log_sums may be null). cuda/logits_loss.h
  virtual BackendStatus TargetLogProbabilities(const float* logits, int64_t ld, const int32_t* targets,
                                               double* log_probabilities, double* log_sums, int64_t rows,
                                               int64_t n) = 0;
  virtual BackendStatus DivergeRows(const float* p, int64_t ldp, const float* q, int64_t ldq, Divergence* out,
                                    int64_t rows, int64_t n) = 0;
  // common[r]: how many of the k largest of row r of p (TopK) are among those of q. cuda/top_k_agreement.h
  virtual BackendStatus TopKAgreement(const float* p, int64_t ldp, const float* q, int64_t ldq, int k, int32_t* common,
                                      int64_t rows, int64_t n) = 0;

  // The quantized mixture (cuda/route.h, sort_tokens.h, quantize_rows.h, grouped_gemm.h, combine.h). GroupedGemm's
  // multiprocessors are filled in.
  virtual BackendStatus RouteTopK(const float* logits, int64_t tokens, int64_t experts,
                                  const cuda::RouteOptions& options, int32_t* chosen, float* weights);
  // Experts that are left out at run time, and the tokens that keep all of theirs (cuda/drop_experts.h,
  // token_importance.h).
  virtual BackendStatus DropExperts(float* weights, const int32_t* chosen, int64_t tokens, int64_t k, float ratio,
                                    const int32_t* keep, int32_t* sent);
  virtual BackendStatus ProtectTokens(const cuda::AttentionBatch& batch, const float* q, int64_t ldq, const float* k,
                                      int64_t ldk, const float* hidden, int64_t ldh, int64_t width,
                                      const int32_t* counts, const cuda::ImportanceWorkspace& workspace, int32_t* keep);
  virtual BackendStatus SortTokens(const int32_t* expert_of_pair, int64_t pairs, int64_t experts, int64_t tile_rows,
                                   int32_t* workspace, const cuda::SortedTokens& sorted);
  virtual BackendStatus QuantizeRows(const cuda::RowSource& source, const cuda::RowQuantizer& quantizer, int8_t* codes,
                                     float* scales, int32_t* zeros, int32_t* sums);
  virtual BackendStatus GatherRowsBf16(const cuda::RowSource& source, int terms, uint16_t* y);
  virtual BackendStatus GroupedGemm(cuda::GemmFormat format, const cuda::GroupedGemmArguments& arguments);
  virtual BackendStatus GroupedBf16(const cuda::GroupedBf16Arguments& arguments);  // cuda/grouped_bf16.h, likewise
  // In place, every row on a grid of its own (cuda/fake_quant.h): attention's operands, rows that no product takes as
  // codes.
  virtual BackendStatus FakeQuantPerToken(float* x, int64_t ldx, int64_t rows, int64_t n,
                                          const cuda::RowQuantizer& quantizer);
  // One step of what is done to rows at run time (cuda/transform_rows.h).
  virtual BackendStatus TransformRows(const cuda::RowSource& source, const cuda::RowTransform& transform,
                                      const cuda::RowSets& sets, float* y);
  virtual BackendStatus CombineExperts(const float* x, int64_t ldx, const int32_t* slot_of_pair, int64_t tokens,
                                       int64_t k, int64_t hidden, bool add, float* out, int64_t ldo);

  // Quantization of weights (cuda/weight_quant.h, hessian.h, round_block.h).
  virtual BackendStatus FindWeightGrids(const float* w, int64_t ldw, int64_t rows, int64_t cols, int64_t group,
                                        cuda::WeightGridKind kind, int bits, const cuda::GridSearch& search,
                                        cuda::WeightGrid* grids);
  virtual BackendStatus QuantizeWeights(const float* w, int64_t ldw, int64_t rows, int64_t cols, int64_t group,
                                        int bits, const cuda::WeightGrid* grids, uint8_t* codes, float* rounded,
                                        int64_t ldr);
  virtual BackendStatus AddHessian(const float* x, int64_t ldx, const float* weights, double* h, int64_t ldh,
                                   float* workspace, int64_t tokens, int64_t n);
  virtual BackendStatus MirrorLower(double* h, int64_t ldh, int64_t n);
  virtual BackendStatus RoundBlock(const cuda::RoundProblem& problem, int64_t begin, int64_t end);
  virtual BackendStatus UpdateRest(const cuda::RoundProblem& problem, int64_t begin, int64_t end);
};

}  // namespace eaq::kernels

#endif  // KERNELS_BACKEND_H_
