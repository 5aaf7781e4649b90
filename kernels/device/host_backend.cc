#include "kernels/device/host_backend.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/gemm.h"
#include "kernels/cuda/attention.h"
#include "kernels/reference/reference.h"

namespace eaq::kernels {
namespace {

// What both do alike: loops over rows and sequences.
class HostBackend : public Backend {
 public:
  BackendStatus Embed(const float* table, int64_t vocabulary, const int32_t* ids, float* y, int64_t rows,
                      int64_t n) override {
    for (int64_t r = 0; r < rows; ++r) {
      if (ids[r] < 0 || ids[r] >= vocabulary) {
        std::fill_n(y + r * n, n, std::numeric_limits<float>::quiet_NaN());
      } else {
        std::copy_n(table + ids[r] * n, n, y + r * n);
      }
    }
    return {};
  }
  BackendStatus AddRmsNorm(float* x, int64_t ldx, const float* delta, int64_t ldd, const float* weight, double eps,
                           float* y, int64_t ldy, int64_t rows, int64_t n) override {
    for (int64_t r = 0; r < rows; ++r) Axpy(1.0f, delta + r * ldd, x + r * ldx, n);
    return RmsNorm(x, ldx, weight, eps, y, ldy, rows, n);
  }
  BackendStatus Attention(const cuda::AttentionBatch& b, const float* q, int64_t ldq, const float* k, int64_t ldk,
                          const float* v, int64_t ldv, float* out, int64_t ldo) override {
    for (int64_t s = 0; s < b.sequences; ++s) {
      AttentionShape shape;
      shape.queries = b.query_begin[s + 1] - b.query_begin[s];
      shape.first = b.key_count[s] - shape.queries;
      shape.heads = b.heads;
      shape.kv_heads = b.kv_heads;
      shape.head_dim = b.head_dim;
      shape.window = b.window;
      shape.scale = b.scale;
      if (shape.queries == 0) continue;
      const int64_t query = b.query_begin[s], key = b.key_begin[s];
      AttentionOf(shape, q + query * ldq, ldq, k + key * ldk, ldk, v + key * ldv, ldv, out + query * ldo, ldo);
    }
    return {};
  }
  BackendStatus TargetLogProbabilities(const float* logits, int64_t ld, const int32_t* targets,
                                       double* log_probabilities, double* log_sums, int64_t rows, int64_t n) override {
    for (int64_t r = 0; r < rows; ++r) {
      const double log_sum = LogSumOf(logits + r * ld, n);
      const bool known = targets[r] >= 0 && targets[r] < n;
      log_probabilities[r] =
          known ? static_cast<double>(logits[r * ld + targets[r]]) - log_sum : std::numeric_limits<double>::quiet_NaN();
      if (log_sums != nullptr) log_sums[r] = log_sum;
    }
    return {};
  }
  BackendStatus DivergeRows(const float* p, int64_t ldp, const float* q, int64_t ldq, Divergence* out, int64_t rows,
                            int64_t n) override {
    for (int64_t r = 0; r < rows; ++r) out[r] = DivergenceOf(p + r * ldp, q + r * ldq, n);
    return {};
  }
  BackendStatus TopKAgreement(const float* p, int64_t ldp, const float* q, int64_t ldq, int k, int32_t* common,
                              int64_t rows, int64_t n) override {
    for (int64_t r = 0; r < rows; ++r) {
      const std::vector<int32_t> of_p = TopOf(p + r * ldp, n, k), of_q = TopOf(q + r * ldq, n, k);
      common[r] = 0;
      for (const int32_t i : of_p) common[r] += std::count(of_q.begin(), of_q.end(), i) > 0 ? 1 : 0;
    }
    return {};
  }

 protected:
  virtual void AttentionOf(const AttentionShape& shape, const float* q, int64_t ldq, const float* k, int64_t ldk,
                           const float* v, int64_t ldv, float* out, int64_t ldo) = 0;
  virtual double LogSumOf(const float* x, int64_t n) = 0;
  virtual Divergence DivergenceOf(const float* p, const float* q, int64_t n) = 0;
  virtual std::vector<int32_t> TopOf(const float* x, int64_t n, int64_t k) = 0;
};

class CpuBackend : public HostBackend {
 public:
  BackendKind kind() const override { return BackendKind::kCpu; }
  BackendStatus RmsNorm(const float* x, int64_t ldx, const float* weight, double eps, float* y, int64_t ldy,
                        int64_t rows, int64_t n) override {
    kernels::RmsNorm(x, ldx, weight, eps, y, ldy, rows, n);
    return {};
  }
  BackendStatus RotaryHalfSplit(float* x, int64_t ldx, const float* cosines, const float* sines, int64_t rows,
                                int64_t heads, int64_t head_dim) override {
    kernels::RotaryHalfSplit(x, ldx, cosines, sines, rows, heads, head_dim);
    return {};
  }
  BackendStatus SiluMul(const float* gate, int64_t ldg, const float* up, int64_t ldu, float* out, int64_t ldo,
                        int64_t rows, int64_t n) override {
    for (int64_t r = 0; r < rows; ++r) kernels::SiluMul(gate + r * ldg, up + r * ldu, out + r * ldo, n);
    return {};
  }
  BackendStatus Linear(const float* x, int64_t ldx, const float* w, float* y, int64_t n, int64_t out,
                       int64_t in) override {
    LinearForward(x, ldx, w, y, out, n, out, in);
    return {};
  }

 protected:
  void AttentionOf(const AttentionShape& shape, const float* q, int64_t ldq, const float* k, int64_t ldk,
                   const float* v, int64_t ldv, float* out, int64_t ldo) override {
    kernels::Attention(shape, q, ldq, k, ldk, v, ldv, out, ldo);
  }
  double LogSumOf(const float* x, int64_t n) override { return LogSumExp(x, n); }
  Divergence DivergenceOf(const float* p, const float* q, int64_t n) override { return Diverge(p, q, n); }
  std::vector<int32_t> TopOf(const float* x, int64_t n, int64_t k) override {
    std::vector<int32_t> top(k);
    TopK(x, n, k, top.data());
    return top;
  }
};

using reference::Doubles;

// Rows as a contiguous array of doubles, and back.
Doubles Rows(const float* x, int64_t ldx, int64_t rows, int64_t n) {
  Doubles values(rows * n);
  for (int64_t r = 0; r < rows; ++r) std::copy_n(x + r * ldx, n, values.begin() + r * n);
  return values;
}
void Store(const Doubles& values, float* y, int64_t ldy, int64_t rows, int64_t n) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < n; ++i) y[r * ldy + i] = static_cast<float>(values[r * n + i]);
}

class ReferenceBackend : public HostBackend {
 public:
  BackendKind kind() const override { return BackendKind::kReference; }
  BackendStatus RmsNorm(const float* x, int64_t ldx, const float* weight, double eps, float* y, int64_t ldy,
                        int64_t rows, int64_t n) override {
    Store(reference::RmsNorm(Rows(x, ldx, rows, n), Rows(weight, n, 1, n), eps, rows, n), y, ldy, rows, n);
    return {};
  }
  BackendStatus RotaryHalfSplit(float* x, int64_t ldx, const float* cosines, const float* sines, int64_t rows,
                                int64_t heads, int64_t head_dim) override {
    const int64_t n = heads * head_dim, half = head_dim / 2;
    Store(reference::RotaryHalfSplit(Rows(x, ldx, rows, n), Rows(cosines, half, rows, half),
                                     Rows(sines, half, rows, half), rows, heads, head_dim),
          x, ldx, rows, n);
    return {};
  }
  BackendStatus SiluMul(const float* gate, int64_t ldg, const float* up, int64_t ldu, float* out, int64_t ldo,
                        int64_t rows, int64_t n) override {
    Store(reference::SiluMul(Rows(gate, ldg, rows, n), Rows(up, ldu, rows, n)), out, ldo, rows, n);
    return {};
  }
  BackendStatus Linear(const float* x, int64_t ldx, const float* w, float* y, int64_t n, int64_t out,
                       int64_t in) override {
    Store(reference::Gemm(false, true, n, out, in, Rows(x, ldx, n, in), Rows(w, in, out, in)), y, out, n, out);
    return {};
  }

 protected:
  void AttentionOf(const AttentionShape& shape, const float* q, int64_t ldq, const float* k, int64_t ldk,
                   const float* v, int64_t ldv, float* out, int64_t ldo) override {
    const int64_t width = shape.heads * shape.head_dim, kv_width = shape.kv_heads * shape.head_dim;
    const int64_t keys = shape.first + shape.queries;
    Store(reference::Attention(shape, Rows(q, ldq, shape.queries, width), Rows(k, ldk, keys, kv_width),
                               Rows(v, ldv, keys, kv_width)),
          out, ldo, shape.queries, width);
  }
  double LogSumOf(const float* x, int64_t n) override { return reference::LogSumExp(Rows(x, n, 1, n)); }
  Divergence DivergenceOf(const float* p, const float* q, int64_t n) override {
    return reference::Diverge(Rows(p, n, 1, n), Rows(q, n, 1, n));
  }
  std::vector<int32_t> TopOf(const float* x, int64_t n, int64_t k) override {
    return reference::TopK(Rows(x, n, 1, n), k);
  }
};

BackendStatus NotThere(const Backend& backend, const char* op) {
  return BackendStatus::Failure(std::string(op) + " is no op of the backend \"" + Name(backend.kind()) +
                                "\"; expected emulation or cuda");
}

}  // namespace

const char* Name(BackendKind kind) {
  switch (kind) {
    case BackendKind::kReference:
      return "reference";
    case BackendKind::kCpu:
      return "cpu";
    case BackendKind::kEmulation:
      return "emulation";
    case BackendKind::kCuda:
      return "cuda";
  }
  return "?";
}

std::unique_ptr<Backend> MakeHostBackend(BackendKind kind) {
  if (kind == BackendKind::kReference) return std::make_unique<ReferenceBackend>();
  return std::make_unique<CpuBackend>();
}

BackendStatus Backend::LinearBf16(const uint16_t*, int64_t, const uint16_t*, int64_t, bool, float*, int64_t, int64_t,
                                  int64_t, int64_t) {
  return NotThere(*this, "LinearBf16");
}
BackendStatus Backend::QuantizeKv(const float*, int64_t, int64_t, int64_t, int64_t, const cuda::RowQuantizer&,
                                  const cuda::KvCodes&) {
  return NotThere(*this, "QuantizeKv");
}
BackendStatus Backend::AttentionKv(const cuda::AttentionBatch&, const float*, int64_t, const cuda::KvCodes&,
                                   const cuda::KvCodes&, float*, int64_t) {
  return NotThere(*this, "AttentionKv");
}
BackendStatus Backend::RouteTopK(const float*, int64_t, int64_t, const cuda::RouteOptions&, int32_t*, float*) {
  return NotThere(*this, "RouteTopK");
}
BackendStatus Backend::DropExperts(float*, const int32_t*, int64_t, int64_t, float, const int32_t*, int32_t*) {
  return NotThere(*this, "DropExperts");
}
BackendStatus Backend::ProtectTokens(const cuda::AttentionBatch&, const float*, int64_t, const float*, int64_t,
                                     const float*, int64_t, int64_t, const int32_t*, const cuda::ImportanceWorkspace&,
                                     int32_t*) {
  return NotThere(*this, "ProtectTokens");
}
BackendStatus Backend::SortTokens(const int32_t*, int64_t, int64_t, int64_t, int32_t*, const cuda::SortedTokens&) {
  return NotThere(*this, "SortTokens");
}
BackendStatus Backend::QuantizeRows(const cuda::RowSource&, const cuda::RowQuantizer&, int8_t*, float*, int32_t*,
                                    int32_t*) {
  return NotThere(*this, "QuantizeRows");
}
BackendStatus Backend::GatherRowsBf16(const cuda::RowSource&, int, uint16_t*) {
  return NotThere(*this, "GatherRowsBf16");
}
BackendStatus Backend::GroupedGemm(cuda::GemmFormat, const cuda::GroupedGemmArguments&) {
  return NotThere(*this, "GroupedGemm");
}
BackendStatus Backend::GroupedBf16(const cuda::GroupedBf16Arguments&) { return NotThere(*this, "GroupedBf16"); }
BackendStatus Backend::FakeQuantPerToken(float*, int64_t, int64_t, int64_t, const cuda::RowQuantizer&) {
  return NotThere(*this, "FakeQuantPerToken");
}
BackendStatus Backend::TransformRows(const cuda::RowSource&, const cuda::RowTransform&, const cuda::RowSets&, float*) {
  return NotThere(*this, "TransformRows");
}
BackendStatus Backend::CombineExperts(const float*, int64_t, const int32_t*, int64_t, int64_t, int64_t, bool, float*,
                                      int64_t) {
  return NotThere(*this, "CombineExperts");
}
BackendStatus Backend::FindWeightGrids(const float*, int64_t, int64_t, int64_t, int64_t, cuda::WeightGridKind, int,
                                       const cuda::GridSearch&, cuda::WeightGrid*) {
  return NotThere(*this, "FindWeightGrids");
}
BackendStatus Backend::QuantizeWeights(const float*, int64_t, int64_t, int64_t, int64_t, int, const cuda::WeightGrid*,
                                       uint8_t*, float*, int64_t) {
  return NotThere(*this, "QuantizeWeights");
}
BackendStatus Backend::AddHessian(const float*, int64_t, const float*, double*, int64_t, float*, int64_t, int64_t) {
  return NotThere(*this, "AddHessian");
}
BackendStatus Backend::MirrorLower(double*, int64_t, int64_t) { return NotThere(*this, "MirrorLower"); }
BackendStatus Backend::RoundBlock(const cuda::RoundProblem&, int64_t, int64_t) { return NotThere(*this, "RoundBlock"); }
BackendStatus Backend::UpdateRest(const cuda::RoundProblem&, int64_t, int64_t) { return NotThere(*this, "UpdateRest"); }

}  // namespace eaq::kernels
