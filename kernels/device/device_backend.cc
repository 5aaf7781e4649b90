// The ops of kernels/cuda on a device: each call's error says which kernel, on what shape.
#include <sstream>
#include <string>
#include <utility>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_kv.h"
#include "kernels/cuda/combine.h"
#include "kernels/cuda/drop_experts.h"
#include "kernels/cuda/embed.h"
#include "kernels/cuda/fake_quant.h"
#include "kernels/cuda/grouped_bf16.h"
#include "kernels/cuda/grouped_gemm.h"
#include "kernels/cuda/hessian.h"
#include "kernels/cuda/logits_loss.h"
#include "kernels/cuda/norm.h"
#include "kernels/cuda/quantize_rows.h"
#include "kernels/cuda/rotary.h"
#include "kernels/cuda/round_block.h"
#include "kernels/cuda/route.h"
#include "kernels/cuda/silu_mul.h"
#include "kernels/cuda/sort_tokens.h"
#include "kernels/cuda/token_importance.h"
#include "kernels/cuda/top_k_agreement.h"
#include "kernels/cuda/transform_rows.h"
#include "kernels/cuda/weight_quant.h"
#include "kernels/device/dense_product.h"
#include "kernels/device/open.h"

namespace eaq::kernels {
namespace {

const char* Name(cuda::GemmFormat format) {
  constexpr const char* kNames[cuda::kGemmFormats] = {"W8A8",  "W4A8",  "W4A4",      "W6A16",   "W4A16",
                                                      "W3A16", "W2A16", "mixed A16", "mixed A8"};
  return kNames[static_cast<int>(format)];
}

class DeviceBackend : public Backend {
 public:
  explicit DeviceBackend(std::unique_ptr<Device> device) : device_(std::move(device)), dense_(device_->stream()) {}
  BackendKind kind() const override { return device_->kind(); }
  Device* device() override { return device_.get(); }

  BackendStatus RmsNorm(const float* x, int64_t ldx, const float* weight, double eps, float* y, int64_t ldy,
                        int64_t rows, int64_t n) override {
    return Check(cuda::RmsNorm(x, ldx, weight, eps, y, ldy, rows, n, stream()), "RmsNorm of [", rows, ", ", n, "]");
  }
  BackendStatus RotaryHalfSplit(float* x, int64_t ldx, const float* cosines, const float* sines, int64_t rows,
                                int64_t heads, int64_t head_dim) override {
    return Check(cuda::RotaryHalfSplit(x, ldx, cosines, sines, x, ldx, rows, heads, head_dim, stream()),
                 "RotaryHalfSplit of ", rows, " rows, ", heads, " heads of ", head_dim);
  }
  BackendStatus SiluMul(const float* gate, int64_t ldg, const float* up, int64_t ldu, float* out, int64_t ldo,
                        int64_t rows, int64_t n) override {
    return Check(cuda::SiluMul(gate, ldg, up, ldu, out, ldo, rows, n, stream()), "SiluMul of [", rows, ", ", n, "]");
  }
  BackendStatus Attention(const cuda::AttentionBatch& b, const float* q, int64_t ldq, const float* k, int64_t ldk,
                          const float* v, int64_t ldv, float* out, int64_t ldo) override {
    return Check(cuda::Attention(b, q, ldq, k, ldk, v, ldv, out, ldo, stream()), "Attention of ", b.sequences,
                 " sequences of at most ", b.max_queries, " queries, ", b.heads, " heads on ", b.kv_heads, " of ",
                 b.head_dim);
  }
  BackendStatus QuantizeKv(const float* x, int64_t ldx, int64_t rows, int64_t kv_heads, int64_t head_dim,
                           const cuda::RowQuantizer& quantizer, const cuda::KvCodes& kv) override {
    return Check(cuda::QuantizeKv(x, ldx, rows, kv_heads, head_dim, quantizer, kv, stream()), "QuantizeKv of ", rows,
                 " rows, ", kv_heads, " heads of ", head_dim, ", to ", quantizer.bits, " bits in ", kv.bits);
  }
  BackendStatus AttentionKv(const cuda::AttentionBatch& b, const float* q, int64_t ldq, const cuda::KvCodes& k,
                            const cuda::KvCodes& v, float* out, int64_t ldo) override {
    return Check(cuda::AttentionKv(b, q, ldq, k, v, out, ldo, stream()), "AttentionKv of ", b.sequences,
                 " sequences of at most ", b.max_queries, " queries, ", b.heads, " heads on ", b.kv_heads, " of ",
                 b.head_dim, ", codes of ", k.bits, " bits");
  }
  BackendStatus Linear(const float* x, int64_t ldx, const float* w, float* y, int64_t n, int64_t out,
                       int64_t in) override {
    if (out > cuda::kMaxExperts) return Behind(dense_.Float32(x, ldx, w, in, y, out, n, out, in), "Linear");
    return Check(cuda::RouterLogits(x, ldx, w, n, in, out, y, stream()), "RouterLogits (float32 linear) of [", n, ", ",
                 in, "] by [", out, ", ", in, "]");
  }
  BackendStatus LinearBf16(const uint16_t* x, int64_t ldx, const uint16_t* w, int64_t ldw, bool add, float* y,
                           int64_t ldy, int64_t n, int64_t out, int64_t in) override {
    return Behind(dense_.Bf16(x, ldx, w, ldw, y, ldy, n, out, in, add), "LinearBf16");
  }
  BackendStatus AddRmsNorm(float* x, int64_t ldx, const float* delta, int64_t ldd, const float* weight, double eps,
                           float* y, int64_t ldy, int64_t rows, int64_t n) override {
    return Check(cuda::AddRmsNorm(x, ldx, delta, ldd, weight, eps, y, ldy, rows, n, stream()), "AddRmsNorm of [", rows,
                 ", ", n, "]");
  }
  BackendStatus Embed(const float* table, int64_t vocabulary, const int32_t* ids, float* y, int64_t rows,
                      int64_t n) override {
    return Check(cuda::Embed(table, n, vocabulary, ids, y, n, rows, n, stream()), "Embed of ", rows,
                 " ids from a table [", vocabulary, ", ", n, "]");
  }
  BackendStatus TargetLogProbabilities(const float* logits, int64_t ld, const int32_t* targets,
                                       double* log_probabilities, double* log_sums, int64_t rows, int64_t n) override {
    return Check(cuda::TargetLogProbabilities(logits, ld, targets, log_probabilities, log_sums, rows, n, stream()),
                 "TargetLogProbabilities of [", rows, ", ", n, "]");
  }
  BackendStatus DivergeRows(const float* p, int64_t ldp, const float* q, int64_t ldq, Divergence* out, int64_t rows,
                            int64_t n) override {
    return Check(cuda::DivergeRows(p, ldp, q, ldq, out, rows, n, stream()), "DivergeRows of [", rows, ", ", n, "]");
  }
  BackendStatus TopKAgreement(const float* p, int64_t ldp, const float* q, int64_t ldq, int k, int32_t* common,
                              int64_t rows, int64_t n) override {
    return Check(cuda::TopKAgreement(p, ldp, q, ldq, k, common, rows, n, stream()), "TopKAgreement of [", rows, ", ", n,
                 "], k ", k);
  }

  BackendStatus RouteTopK(const float* logits, int64_t tokens, int64_t experts, const cuda::RouteOptions& options,
                          int32_t* chosen, float* weights) override {
    return Check(cuda::RouteTopK(logits, nullptr, tokens, experts, options, chosen, weights, stream()), "RouteTopK of ",
                 tokens, " tokens, ", options.k, " of ", experts, " experts");
  }
  BackendStatus DropExperts(float* weights, const int32_t* chosen, int64_t tokens, int64_t k, float ratio,
                            const int32_t* keep, int32_t* sent) override {
    return Check(cuda::DropExperts(weights, chosen, tokens, k, ratio, keep, sent, stream()), "DropExperts of ", tokens,
                 " tokens, ", k, " experts each");
  }
  BackendStatus ProtectTokens(const cuda::AttentionBatch& b, const float* q, int64_t ldq, const float* k, int64_t ldk,
                              const float* hidden, int64_t ldh, int64_t width, const int32_t* counts,
                              const cuda::ImportanceWorkspace& workspace, int32_t* keep) override {
    return Check(cuda::ProtectTokens(b, q, ldq, k, ldk, hidden, ldh, width, counts, workspace, keep, stream()),
                 "ProtectTokens of ", b.sequences, " sequences of at most ", b.max_queries, " queries, ", b.heads,
                 " heads on ", b.kv_heads, " of ", b.head_dim);
  }
  BackendStatus SortTokens(const int32_t* expert_of_pair, int64_t pairs, int64_t experts, int64_t tile_rows,
                           int32_t* workspace, const cuda::SortedTokens& sorted) override {
    return Check(cuda::SortTokens(expert_of_pair, pairs, experts, tile_rows, workspace, sorted, stream()),
                 "SortTokens of ", pairs, " pairs to ", experts, " experts, tiles of ", tile_rows);
  }
  BackendStatus QuantizeRows(const cuda::RowSource& source, const cuda::RowQuantizer& quantizer, int8_t* codes,
                             float* scales, int32_t* zeros, int32_t* sums) override {
    return Check(cuda::QuantizeRows(source, quantizer, codes, scales, zeros, sums, stream()), "QuantizeRows of [",
                 source.rows, ", ", source.cols, "] to ", quantizer.bits, " bits");
  }
  BackendStatus GatherRowsBf16(const cuda::RowSource& source, int terms, uint16_t* y) override {
    return Check(cuda::GatherRowsBf16(source, terms, y, stream()), "GatherRowsBf16 of [", source.rows, ", ",
                 source.cols, "] to ", terms, " terms");
  }
  BackendStatus GroupedGemm(cuda::GemmFormat format, const cuda::GroupedGemmArguments& arguments) override {
    cuda::GroupedGemmArguments a = arguments;
    a.machine = machine();
    return Check(cuda::GroupedGemm(format, a, stream()), "GroupedGemm ", Name(format), " of ", a.slots, " slots over ",
                 a.expert_count, " experts [", a.rows, ", ", a.cols, "], groups of ", a.group, ", tiles of ",
                 a.token_tile, a.swiglu ? ", SwiGLU" : "");
  }
  BackendStatus GroupedBf16(const cuda::GroupedBf16Arguments& arguments) override {
    cuda::GroupedBf16Arguments a = arguments;
    a.machine = machine();
    return Check(cuda::GroupedBf16(a, stream()), "GroupedBf16 of ", a.slots, " slots over ", a.expert_count,
                 " experts [", a.rows, ", ", a.cols, "]");
  }
  BackendStatus FakeQuantPerToken(float* x, int64_t ldx, int64_t rows, int64_t n,
                                  const cuda::RowQuantizer& quantizer) override {
    return Check(cuda::FakeQuantPerToken(x, ldx, rows, n, quantizer, stream()), "FakeQuantPerToken of [", rows, ", ", n,
                 "] to ", quantizer.bits, " bits");
  }
  BackendStatus TransformRows(const cuda::RowSource& source, const cuda::RowTransform& t, const cuda::RowSets& sets,
                              float* y) override {
    constexpr const char* kKinds[] = {"copy", "rotation", "permutation", "Hadamard matrix"};
    return Check(cuda::TransformRows(source, t, sets, y, stream()), "TransformRows of [", source.rows, ", ",
                 source.cols, "], ", kKinds[static_cast<int>(t.kind)], ", blocks of ", t.block, ", stride ", t.stride);
  }
  BackendStatus CombineExperts(const float* x, int64_t ldx, const int32_t* slot_of_pair, int64_t tokens, int64_t k,
                               int64_t hidden, bool add, float* out, int64_t ldo) override {
    return Check(cuda::CombineExperts(x, ldx, slot_of_pair, tokens, k, hidden, add, out, ldo, stream()),
                 "CombineExperts of ", tokens, " tokens, ", k, " experts each, width ", hidden);
  }

  BackendStatus FindWeightGrids(const float* w, int64_t ldw, int64_t rows, int64_t cols, int64_t group,
                                cuda::WeightGridKind kind, int bits, const cuda::GridSearch& search,
                                cuda::WeightGrid* grids) override {
    return Check(cuda::FindWeightGrids(w, ldw, rows, cols, group, kind, bits, search, grids, stream()),
                 "FindWeightGrids of [", rows, ", ", cols, "] in groups of ", group, ", ", bits, " bits");
  }
  BackendStatus QuantizeWeights(const float* w, int64_t ldw, int64_t rows, int64_t cols, int64_t group, int bits,
                                const cuda::WeightGrid* grids, uint8_t* codes, float* rounded, int64_t ldr) override {
    return Check(cuda::QuantizeWeights(w, ldw, rows, cols, group, bits, grids, codes, rounded, ldr, stream()),
                 "QuantizeWeights of [", rows, ", ", cols, "] in groups of ", group, ", ", bits, " bits");
  }
  BackendStatus AddHessian(const float* x, int64_t ldx, const float* weights, double* h, int64_t ldh, float* workspace,
                           int64_t tokens, int64_t n) override {
    return Check(cuda::AddHessian(x, ldx, weights, h, ldh, workspace, tokens, n, stream()), "AddHessian of [", tokens,
                 ", ", n, "]");
  }
  BackendStatus MirrorLower(double* h, int64_t ldh, int64_t n) override {
    return Check(cuda::MirrorLower(h, ldh, n, stream()), "MirrorLower of [", n, ", ", n, "]");
  }
  BackendStatus RoundBlock(const cuda::RoundProblem& p, int64_t begin, int64_t end) override {
    return Check(cuda::RoundBlock(p, begin, end, stream()), "RoundBlock of columns ", begin, " to ", end, " of [",
                 p.rows, ", ", p.cols, "] to ", p.bits, " bits");
  }
  BackendStatus UpdateRest(const cuda::RoundProblem& p, int64_t begin, int64_t end) override {
    return Check(cuda::UpdateRest(p, begin, end, stream()), "UpdateRest of columns ", end, " on of [", p.rows, ", ",
                 p.cols, "]");
  }

 private:
  cuda::Machine machine() const { return {device_->properties().multiprocessors, device_->properties().shared_bytes}; }
  void* stream() const { return device_->stream(); }

  // Words are put together only where they are needed.
  template <typename... Words>
  BackendStatus Check(int code, const Words&... words) {
    if (code == 0 && !device_->checked() && !device_->refused()) return {};
    std::ostringstream op;
    ((op << words), ...);
    return device_->Check(code, op.str());
  }

  // What cuBLAS said, and what the device says of the kernels that it launched.
  BackendStatus Behind(BackendStatus said, const char* op) { return said.ok() ? Check(0, op) : said; }

  std::unique_ptr<Device> device_;
  DenseProduct dense_;  // on the device's stream
};

}  // namespace

std::unique_ptr<Backend> MakeDeviceBackend(std::unique_ptr<Device> device) {
  return std::make_unique<DeviceBackend>(std::move(device));
}

}  // namespace eaq::kernels
