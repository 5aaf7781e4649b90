// kernels/cuda/attention.h and attention_decode.h against the formula in double precision.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_decode.h"
#include "kernels/cuda/attention_kv.h"
#include "kernels/selftest/check.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

using cuda::Bf16;

struct Shape {
  std::vector<std::pair<int, int>> sequences;  // queries, keys
  int64_t heads, kv_heads, dim, window;
};

float Widen(float x) { return x; }
float Widen(Bf16 x) { return cuda::ToFloat(x); }
void Narrow(float from, float* to) { *to = from; }
void Narrow(float from, Bf16* to) { *to = cuda::ToBf16(from); }

// What one output row must be: the value of each column, and how far the kernel may be from it.
struct Expected {
  std::vector<double> value, bound;
};

// A problem on the host, with numbers that T can hold; k and v have rows of NaN round every sequence's keys.
template <typename T>
class Problem {
 public:
  Problem(const Shape& shape, uint64_t seed) : shape_(shape) {
    Random random(seed);
    int rows = 3;
    query_begin_.push_back(0);
    for (const auto& [queries, keys] : shape.sequences) {
      query_begin_.push_back(query_begin_.back() + queries);
      key_begin_.push_back(rows);
      key_count_.push_back(keys);
      rows += keys + 5;
      max_queries_ = std::max<int64_t>(max_queries_, queries);
      max_keys_ = std::max<int64_t>(max_keys_, keys);
    }
    ldq_ = shape.heads * shape.dim + 8;
    ldk_ = shape.kv_heads * shape.dim + 16;
    q_ = Random16(random, query_begin_.back() * ldq_, 2);
    k_ = Random16(random, rows * ldk_, 1);
    v_ = Random16(random, rows * ldk_, 1);
    std::vector<bool> used(rows);
    for (size_t s = 0; s < key_begin_.size(); ++s)
      for (int j = 0; j < key_count_[s]; ++j) used[key_begin_[s] + j] = true;
    for (int r = 0; r < rows; ++r)
      for (int64_t i = 0; i < ldk_; ++i)
        if (!used[r]) Narrow(NAN, &k_[r * ldk_ + i]), Narrow(NAN, &v_[r * ldk_ + i]);
  }

  cuda::AttentionBatch Batch(const int32_t* query_begin, const int32_t* key_begin, const int32_t* key_count) const {
    cuda::AttentionBatch b;
    b.sequences = static_cast<int64_t>(key_begin_.size());
    b.query_begin = query_begin, b.key_begin = key_begin, b.key_count = key_count;
    b.max_queries = max_queries_, b.max_keys = max_keys_;
    b.heads = shape_.heads, b.kv_heads = shape_.kv_heads, b.head_dim = shape_.dim, b.window = shape_.window;
    b.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(shape_.dim)));
    return b;
  }

  // Head `head` of query row `row` (of the whole q) at the key with index `position` of `sequence`.
  //
  // Bound, with eps = 2^-24, A = scale * max_j sum |q k| and n keys: a score is off by at most (dim + 8) * 2 eps * A (a
  // chain of fused multiply-adds is within dim * eps; a tensor core truncates, at most 2 ulp for each of dim / 16
  // steps). Its exponential is off by that, by 4 eps of its own, and by the rounding of the difference in the exponent,
  // 4 eps * max|s|: rho in all, for the numerator and for the denominator. Adding n terms costs n * 4 eps (truncation
  // again). `of_p`: the rounding of p to bf16, 2^-8, in the numerator alone. Every one of these is relative to
  // sum_j p_j |v_j|. `of_out`: the rounding of the result.
  Expected Of(int sequence, int64_t row, int head, int64_t position, double of_p, double of_out) const {
    constexpr double kEps = 0x1p-24;
    const int64_t dim = shape_.dim, kv = head / (shape_.heads / shape_.kv_heads);
    const double scale = static_cast<float>(1 / std::sqrt(static_cast<double>(dim)));
    std::vector<double> scores;
    std::vector<int64_t> rows;
    double sum_of_magnitudes = 0, largest = -INFINITY, largest_magnitude = 0;
    for (int64_t j = 0; j <= position; ++j) {
      if (shape_.window > 0 && j <= position - shape_.window) continue;
      const int64_t key = key_begin_[sequence] + j;
      double dot = 0, magnitudes = 0;
      for (int64_t d = 0; d < dim; ++d) {
        const double product =
            double{Widen(q_[row * ldq_ + head * dim + d])} * double{Widen(k_[key * ldk_ + kv * dim + d])};
        dot += product;
        magnitudes += std::fabs(product);
      }
      scores.push_back(dot * scale);
      rows.push_back(key);
      largest = std::max(largest, dot * scale);
      largest_magnitude = std::max(largest_magnitude, std::fabs(dot * scale));
      sum_of_magnitudes = std::max(sum_of_magnitudes, magnitudes * scale);
    }
    double total = 0;
    for (double& s : scores) total += s = std::exp(s - largest);
    const double rho = (dim + 8) * 2 * kEps * sum_of_magnitudes + 4 * kEps * (1 + largest_magnitude);
    Expected e{std::vector<double>(dim), std::vector<double>(dim)};
    for (int64_t d = 0; d < dim; ++d) {
      double weight = 0;
      for (size_t j = 0; j < rows.size(); ++j) {
        const double value = Widen(v_[rows[j] * ldk_ + kv * dim + d]);
        e.value[d] += scores[j] / total * value;
        weight += scores[j] / total * std::fabs(value);
      }
      if (rows.empty()) e.value[d] = NAN;
      e.bound[d] =
          weight * (2 * rho + of_p + static_cast<double>(rows.size() + 16) * 4 * kEps) + of_out * std::fabs(e.value[d]);
    }
    return e;
  }

  Shape shape_;
  std::vector<int32_t> query_begin_, key_begin_, key_count_;
  int64_t max_queries_ = 0, max_keys_ = 0, ldq_, ldk_;
  std::vector<T> q_, k_, v_;

 private:
  static std::vector<T> Random16(Random& random, int64_t count, double scale) {
    std::vector<T> values(count);
    for (T& v : values) Narrow(static_cast<float>(scale * random.Normal()), &v);
    return values;
  }
};

// The distance of all results from the expected ones as a share of their norm: much sharper than the worst case.
class Distance {
 public:
  void Add(double got, double want) {
    if (std::isnan(want)) return;
    error_ += (got - want) * (got - want);
    norm_ += want * want;
  }
  double value() const { return norm_ > 0 ? std::sqrt(error_ / norm_) : 0; }

 private:
  double error_ = 0, norm_ = 0;
};

constexpr double kBf16 = 0x1p-8;

// T: inputs, Out: results. decode: the last query of every sequence alone.
template <typename T, typename Out>
void CheckShape(Checker& c, const Shape& shape, bool decode) {
  const Problem<T> p(shape, c.seed());
  DeviceArray<int32_t> query_begin("query_begin", p.query_begin_), key_begin("key_begin", p.key_begin_),
      key_count("key_count", p.key_count_);
  DeviceArray<T> k("k", p.k_), v("v", p.v_);
  const cuda::AttentionBatch batch = p.Batch(query_begin.data(), key_begin.data(), key_count.data());
  const int64_t ldo = shape.heads * shape.dim + 8, rows = decode ? batch.sequences : p.query_begin_.back();
  DeviceArray<T> q("q", p.q_);
  DeviceArray<Out> out("out", rows * ldo), again("out again", rows * ldo);
  DeviceArray<float> workspace("workspace", decode ? cuda::DecodeWorkspace(batch) : 0);
  for (DeviceArray<Out>* to : {&out, &again}) {
    const int error =
        decode ? cuda::AttentionDecode(batch, q.data(), p.ldq_, k.data(), p.ldk_, v.data(), p.ldk_, workspace.data(),
                                       to->data(), ldo, nullptr)
               : cuda::Attention(batch, q.data(), p.ldq_, k.data(), p.ldk_, v.data(), p.ldk_, to->data(), ldo, nullptr);
    c.Expect(error == 0, "launch: error ", error);
  }
  const std::vector<Out> got = out.Download(), second = again.Download();
  c.Expect(std::memcmp(got.data(), second.data(), got.size() * sizeof(Out)) == 0, "a second run gives other bits");

  const double of_p = sizeof(T) == 2 && !decode ? kBf16 : 0, of_out = sizeof(Out) == 2 ? kBf16 : 0;
  Distance distance;
  for (int64_t s = 0; s < batch.sequences; ++s) {
    const int queries = decode ? 1 : shape.sequences[s].first;
    for (int i = 0; i < queries; ++i) {
      const int64_t row = decode ? s : p.query_begin_[s] + i, position = p.key_count_[s] - queries + i;
      for (int h = 0; h < shape.heads; ++h) {
        const Expected e = p.Of(static_cast<int>(s), row, h, position, of_p, of_out);
        for (int64_t d = 0; d < shape.dim; ++d) {
          const double value = Widen(got[row * ldo + h * shape.dim + d]);
          c.Near(value, e.value[d], e.bound[d], "out", row * ldo + h * shape.dim + d);
          distance.Add(value, e.value[d]);
        }
      }
      for (int64_t d = shape.heads * shape.dim; d < ldo; ++d)
        c.Expect(std::isnan(Widen(got[row * ldo + d])), "wrote beyond the row");
    }
  }
  // Independent roundings: p's and the result's have a root mean square of 2^-8 / sqrt(12) at most relative to a term.
  const double limit = (of_p + of_out) / 2 + 1e-6;
  c.Expect(distance.value() <= limit, "distance ", distance.value(), " above ", limit);
}

// One query and key; several sequences with an empty one, more keys than queries, a query without a key; tiles filled
// in part and exactly; windows inside a tile, of a tile and across tiles; grouped queries.
const Shape kShapes[] = {
    {{{1, 1}}, 1, 1, 32, 0},      {{{5, 5}, {0, 3}, {66, 150}, {3, 2}}, 4, 2, 64, 0},
    {{{130, 130}}, 2, 1, 128, 0}, {{{70, 200}, {64, 64}}, 2, 2, 32, 37},
    {{{40, 129}}, 1, 1, 128, 64}, {{{17, 17}}, 6, 2, 64, 1},
};

// The ones of more than a tile of queries are many times as long.
std::vector<Shape> SomeShapes(const Checker& c) {
  if (c.small()) return {kShapes[0], kShapes[4], kShapes[5]};
  return {std::begin(kShapes), std::end(kShapes)};
}

EAQ_CHECK_CASE(AttentionBf16) {
  for (const Shape& s : SomeShapes(c)) CheckShape<Bf16, float>(c, s, false);
}
EAQ_CHECK_CASE(AttentionBf16Out) {
  for (const int i : {0, 1, 2}) CheckShape<Bf16, Bf16>(c, kShapes[i], false);
}
EAQ_CHECK_CASE(AttentionFloat) {
  for (const Shape& s : SomeShapes(c)) CheckShape<float, float>(c, s, false);
}

// Decode reads row b of q for sequence b, so there must be a query row for each. Each width of a head with one, two and
// four heads a block.
const Shape kDecodeShapes[] = {
    {{{1, 1}}, 1, 1, 32, 0},
    {{{1, 5}, {1, 0}, {1, 300}, {1, 256}}, 4, 2, 64, 0},
    {{{1, 600}, {1, 33}}, 3, 1, 128, 0},
    {{{1, 530}, {1, 20}}, 8, 2, 32, 270},
    {{{1, 70}}, 8, 1, 128, 0},
    {{{1, 1000}}, 1, 1, 64, 10},
    {{{1, 40}}, 2, 1, 32, 0},
    {{{1, 50}}, 4, 1, 64, 0},
    {{{1, 90}}, 2, 1, 128, 0},
};
EAQ_CHECK_CASE(AttentionDecodeBf16) {
  for (const Shape& s : kDecodeShapes) CheckShape<Bf16, float>(c, s, true);
}
EAQ_CHECK_CASE(AttentionDecodeBf16Out) {
  for (const int i : {0, 1, 2}) CheckShape<Bf16, Bf16>(c, kDecodeShapes[i], true);
}
EAQ_CHECK_CASE(AttentionDecodeFloat) {
  for (const Shape& s : kDecodeShapes) CheckShape<float, float>(c, s, true);
}

// The grid of a head's numbers and its codes, in float as the CPU finds them (eaq/quant/activation_quant.h).
struct HeadCodes {
  float scale, zero;
  std::vector<int> codes;
};
HeadCodes CodesOf(const float* x, int64_t n, int bits, float clip_ratio) {
  float low = 0, high = 0;
  for (int64_t i = 0; i < n; ++i) low = std::min(low, x[i]), high = std::max(high, x[i]);
  low *= clip_ratio;
  high *= clip_ratio;
  const auto last = static_cast<float>((1 << bits) - 1);
  if (low == 0 && high == 0) low = -1, high = 1;
  HeadCodes head;
  head.scale = (high - low) / last;
  const float zero = std::nearbyint(-low / head.scale);
  head.zero = zero > 0 ? std::min(zero, last) : 0.0f;
  for (int64_t i = 0; i < n; ++i) {
    head.codes.push_back(static_cast<int>(std::clamp(std::nearbyint(x[i] / head.scale) + head.zero, 0.0f, last)));
  }
  return head;
}

// VALUES (of P's keys or values) as codes on the device, each compared with its twin; they become the numbers that the
// codes stand for.
class Codes {
 public:
  Codes(Checker& c, const char* name, const Problem<float>& p, int64_t rows, int bits, int held, float clip_ratio,
        std::vector<float>& values)
      : row_bytes_(p.shape_.kv_heads * p.shape_.dim * held / 8),
        ld_((row_bytes_ + 15) / 16 * 16 + 16),
        codes_(name, rows * ld_),
        grids_(name, rows * p.shape_.kv_heads * 2) {
    const int64_t heads = p.shape_.kv_heads, dim = p.shape_.dim;
    for (float& value : values) value = std::isnan(value) ? 1e30f : value;  // no part of a sequence: must not be read
    DeviceArray<float> x(name, values);
    kv_ = {held, codes_.data(), ld_, grids_.data()};
    cuda::RowQuantizer quantizer{bits, cuda::RowGrid::kAsymmetric, clip_ratio};
    c.Expect(cuda::QuantizeKv(x.data(), p.ldk_, rows, heads, dim, quantizer, kv_, nullptr) == 0, "QuantizeKv");
    const std::vector<uint8_t> got = codes_.Download();
    const std::vector<float> got_grids = grids_.Download();
    std::vector<float> grids;
    int64_t wrong = 0;
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t h = 0; h < heads; ++h) {
        float* const numbers = &values[r * p.ldk_ + h * dim];
        const HeadCodes want = CodesOf(numbers, dim, bits, clip_ratio);
        grids.push_back(want.scale);
        grids.push_back(want.zero);
        for (int64_t i = 0; i < dim; ++i) {
          const int64_t at = h * dim + i;
          const int code = held == 8 ? got[r * ld_ + at] : got[r * ld_ + at / 2] >> (at % 2 * 4) & 15;
          wrong += code != want.codes[i];
          numbers[i] = want.scale * (static_cast<float>(want.codes[i]) - want.zero);
        }
      }
    }
    c.Expect(wrong == 0, wrong, " codes of ", name, " differ");
    c.Same(got_grids, grids, name);
  }
  const cuda::KvCodes& kv() const { return kv_; }

 private:
  int64_t row_bytes_, ld_;
  DeviceArray<uint8_t> codes_;
  DeviceArray<float> grids_;
  cuda::KvCodes kv_;
};

// Keys and values as codes of BITS bits, held in 4 or 8. T: queries.
template <typename T>
void CheckCodes(Checker& c, const Shape& shape, int bits, bool decode) {
  Problem<float> p(shape, c.seed());
  std::vector<T> queries(p.q_.size());
  for (size_t i = 0; i < p.q_.size(); ++i) {
    Narrow(p.q_[i], &queries[i]);
    p.q_[i] = Widen(queries[i]);
  }
  const int64_t rows = static_cast<int64_t>(p.k_.size()) / p.ldk_;
  const int held = bits <= 4 ? 4 : 8;
  const Codes k(c, "keys", p, rows, bits, held, 1.0f, p.k_), v(c, "values", p, rows, bits, held, 0.9f, p.v_);
  DeviceArray<int32_t> query_begin("query_begin", p.query_begin_), key_begin("key_begin", p.key_begin_),
      key_count("key_count", p.key_count_);
  const cuda::AttentionBatch batch = p.Batch(query_begin.data(), key_begin.data(), key_count.data());
  const int64_t ldo = shape.heads * shape.dim + 8, results = decode ? batch.sequences : p.query_begin_.back();
  DeviceArray<T> q("q", queries);
  DeviceArray<float> out("out", results * ldo), workspace("workspace", decode ? cuda::DecodeWorkspace(batch) : 0);
  const int error = decode ? cuda::AttentionDecodeKv(batch, q.data(), p.ldq_, k.kv(), v.kv(), workspace.data(),
                                                     out.data(), ldo, nullptr)
                           : cuda::AttentionKv(batch, q.data(), p.ldq_, k.kv(), v.kv(), out.data(), ldo, nullptr);
  c.Expect(error == 0, "launch: error ", error);
  const std::vector<float> got = out.Download();
  const double of_p = sizeof(T) == 2 && !decode ? kBf16 : 0;
  Distance distance;
  for (int64_t s = 0; s < batch.sequences; ++s) {
    const int of_sequence = decode ? 1 : shape.sequences[s].first;
    for (int i = 0; i < of_sequence; ++i) {
      const int64_t row = decode ? s : p.query_begin_[s] + i, position = p.key_count_[s] - of_sequence + i;
      for (int h = 0; h < shape.heads; ++h) {
        const Expected e = p.Of(static_cast<int>(s), row, h, position, of_p, 0);
        for (int64_t d = 0; d < shape.dim; ++d) {
          const double value = got[row * ldo + h * shape.dim + d];
          c.Near(value, e.value[d], e.bound[d], "out", row * ldo + h * shape.dim + d);
          distance.Add(value, e.value[d]);
        }
      }
      for (int64_t d = shape.heads * shape.dim; d < ldo; ++d) {
        c.Expect(std::isnan(got[row * ldo + d]), "wrote beyond the row");
      }
    }
  }
  // A key's probability times its value's scale is rounded once for all columns: with one key that is the distance.
  const double limit = of_p + 1e-6;
  c.Expect(distance.value() <= limit, "distance ", distance.value(), " above ", limit);
}

EAQ_CHECK_CASE(AttentionKvBf16) {
  for (const Shape& s : SomeShapes(c)) CheckCodes<Bf16>(c, s, s.heads == 2 ? 4 : 8, false);
  CheckCodes<Bf16>(c, kShapes[0], 4, false);
  CheckCodes<Bf16>(c, kShapes[1], 3, false);
}
EAQ_CHECK_CASE(AttentionKvFloat) {
  for (const Shape& s : SomeShapes(c)) CheckCodes<float>(c, s, s.heads == 1 ? 8 : 4, false);
  CheckCodes<float>(c, kShapes[1], 6, false);
}
EAQ_CHECK_CASE(AttentionDecodeKvBf16) {
  for (const Shape& s : kDecodeShapes) {
    for (const int bits : {4, 8}) CheckCodes<Bf16>(c, s, bits, true);
  }
}
EAQ_CHECK_CASE(AttentionDecodeKvFloat) {
  for (const Shape& s : kDecodeShapes) {
    for (const int bits : {4, 8}) CheckCodes<float>(c, s, bits, true);
  }
}

// A head with NaN is NaN as a whole, and no other is.
EAQ_CHECK_CASE(QuantizeKvBrokenHeads) {
  Random random(c.seed());
  std::vector<float> x = random.Normals(3 * 64);
  x[5] = NAN;
  x[64 + 40] = INFINITY;
  DeviceArray<float> dx("x", x), grids("grids", 3 * 2 * 2);
  DeviceArray<uint8_t> codes("codes", 3 * 64);
  const cuda::KvCodes kv{8, codes.data(), 64, grids.data()};
  cuda::RowQuantizer quantizer;
  c.Expect(cuda::QuantizeKv(dx.data(), 64, 3, 2, 32, quantizer, kv, nullptr) == 0, "launch");
  const std::vector<float> got = grids.Download();
  for (int head = 0; head < 6; ++head) {
    c.Expect(std::isnan(got[2 * head]) == (head == 0 || head == 3), "scale of head ", head, ": ", got[2 * head]);
  }
  quantizer.bits = 9;
  c.Expect(cuda::QuantizeKv(dx.data(), 64, 3, 2, 32, quantizer, kv, nullptr) != 0, "9 bits");
  quantizer.bits = 4;
  c.Expect(cuda::QuantizeKv(dx.data(), 64, 3, 1, 48, quantizer, kv, nullptr) != 0, "heads of 48");
  cuda::AttentionBatch batch;
  batch.heads = batch.kv_heads = 2, batch.head_dim = 32;
  const cuda::KvCodes narrow{4, codes.data(), 64, grids.data()};
  c.Expect(cuda::AttentionKv(batch, dx.data(), 64, kv, narrow, dx.data(), 64, nullptr) != 0, "keys of 8, values of 4");
  c.Expect(cuda::AttentionKv(batch, dx.data(), 64, kv, kv, dx.data(), 64, nullptr) == 0, "no sequences");
}

EAQ_CHECK_CASE(AttentionLimits) {
  const Problem<Bf16> p(kShapes[1], 1);
  DeviceArray<Bf16> q("q", p.q_), k("k", p.k_), v("v", p.v_);
  DeviceArray<float> out("out", 1024);
  const auto run = [&](const cuda::AttentionBatch& b, int64_t ldk) {
    return cuda::Attention(b, q.data(), p.ldq_, k.data(), ldk, v.data(), p.ldk_, out.data(), 256, nullptr);
  };
  cuda::AttentionBatch b = p.Batch(nullptr, nullptr, nullptr);
  c.Expect(run(b, p.ldk_ - 4) != 0, "a stride that is no multiple of 8");
  b.head_dim = 48;
  c.Expect(run(b, p.ldk_) != 0, "head_dim 48");
  b.head_dim = 64, b.kv_heads = 3;
  c.Expect(run(b, p.ldk_) != 0, "heads no multiple of kv_heads");
  b.kv_heads = 2, b.sequences = 0;
  c.Expect(run(b, p.ldk_) == 0, "no sequences");
}

}  // namespace
}  // namespace eaq::kernels::selftest
