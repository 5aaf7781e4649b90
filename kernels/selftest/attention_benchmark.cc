// Attention: prefill against the tensor cores' rate, decode against the memory's.
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_decode.h"
#include "kernels/selftest/benchmark.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

using cuda::Bf16;

void Numbers(int64_t count, std::vector<float>* all) {
  const std::vector<float> some = Random(1).Normals(1 << 20);
  all->resize(count);
  for (int64_t i = 0; i < count; ++i) (*all)[i] = some[i & ((1 << 20) - 1)];
}
void Numbers(int64_t count, std::vector<Bf16>* all) {
  std::vector<float> some;
  Numbers(1 << 20, &some);
  all->resize(count);
  for (int64_t i = 0; i < count; ++i) (*all)[i] = cuda::ToBf16(some[i & ((1 << 20) - 1)]);
}
template <typename T>
std::vector<T> Numbers(int64_t count) {
  std::vector<T> all;
  Numbers(count, &all);
  return all;
}

// `keys` of each of `sequences`, all of them queries too unless decode.
template <typename T>
struct Batch {
  Batch(int sequences, int keys, int heads, int kv_heads, int dim, int window, bool decode)
      : queries(decode ? sequences : sequences * keys),
        ldq(int64_t{heads} * dim),
        ldk(int64_t{kv_heads} * dim),
        q("q", Numbers<T>(queries * ldq)),
        k("k", Numbers<T>(int64_t{sequences} * keys * ldk)),
        v("v", Numbers<T>(int64_t{sequences} * keys * ldk)),
        out("out", queries * ldq),
        query_begin("query_begin", Steps(sequences + 1, decode ? 1 : keys)),
        key_begin("key_begin", Steps(sequences, keys)),
        key_count("key_count", std::vector<int32_t>(sequences, keys)) {
    shape.sequences = sequences;
    shape.query_begin = query_begin.data(), shape.key_begin = key_begin.data(), shape.key_count = key_count.data();
    shape.max_queries = decode ? 1 : keys, shape.max_keys = keys;
    shape.heads = heads, shape.kv_heads = kv_heads, shape.head_dim = dim, shape.window = window;
    shape.scale = 0.088f;
  }
  static std::vector<int32_t> Steps(int count, int step) {
    std::vector<int32_t> values(count);
    for (int i = 0; i < count; ++i) values[i] = i * step;
    return values;
  }

  int64_t queries, ldq, ldk;
  DeviceArray<T> q, k, v;
  DeviceArray<float> out;
  DeviceArray<int32_t> query_begin, key_begin, key_count;
  cuda::AttentionBatch shape;
};

template <typename T>
void Prefill(Benchmark& b, const std::string& label, int sequences, int keys, int heads, int kv_heads, int dim,
             int window) {
  Batch<T> batch(sequences, keys, heads, kv_heads, dim, window, false);
  const double seconds = b.Time([&](int) {
    cuda::Attention(batch.shape, batch.q.data(), batch.ldq, batch.k.data(), batch.ldk, batch.v.data(), batch.ldk,
                    batch.out.data(), batch.ldq, nullptr);
  });
  double pairs = 0;  // of a query and a key that it sees
  for (int i = 0; i < keys; ++i) pairs += window > 0 && i + 1 > window ? window : i + 1;
  b.Report(label, seconds, 0, 4.0 * dim * heads * sequences * pairs, sizeof(T) == 2 ? Rate::kBf16 : Rate::kNone);
}

EAQ_BENCHMARK(Attention) {
  Prefill<Bf16>(b, "prefill bf16 1 x 4096, 16 heads of 128", 1, 4096, 16, 16, 128, 0);
  Prefill<Bf16>(b, "prefill bf16 4 x 4096, 16 heads of 128", 4, 4096, 16, 16, 128, 0);
  Prefill<Bf16>(b, "prefill bf16 4 x 4096, 32/8 heads of 64", 4, 4096, 32, 8, 64, 0);
  Prefill<Bf16>(b, "prefill bf16 4 x 4096, 16 of 128, window 1024", 4, 4096, 16, 16, 128, 1024);
  Prefill<float>(b, "prefill float 1 x 4096, 16 heads of 128", 1, 4096, 16, 16, 128, 0);
}

template <typename T>
void Decode(Benchmark& b, const std::string& label, int sequences, int keys, int heads, int kv_heads) {
  constexpr int kDim = 128;
  Batch<T> batch(sequences, keys, heads, kv_heads, kDim, 0, true);
  DeviceArray<float> workspace("workspace", cuda::DecodeWorkspace(batch.shape));
  const double seconds = b.Time([&](int) {
    cuda::AttentionDecode(batch.shape, batch.q.data(), batch.ldq, batch.k.data(), batch.ldk, batch.v.data(), batch.ldk,
                          workspace.data(), batch.out.data(), batch.ldq, nullptr);
  });
  const double rows = static_cast<double>(sequences) * keys;
  b.Report(label, seconds, 2.0 * sizeof(T) * rows * kv_heads * kDim, 4.0 * kDim * heads * rows, Rate::kNone);
}

EAQ_BENCHMARK(AttentionDecode) {
  Decode<Bf16>(b, "decode bf16 16 x 4096, 16 heads of 128", 16, 4096, 16, 16);
  Decode<Bf16>(b, "decode bf16 32 x 4096, 32/8 heads of 128", 32, 4096, 32, 8);
  Decode<Bf16>(b, "decode bf16 32 x 4096, 64/8 heads of 128", 32, 4096, 64, 8);
  Decode<Bf16>(b, "decode bf16 1 x 32768, 16 heads of 128", 1, 32768, 16, 16);
  Decode<Bf16>(b, "decode bf16 1 x 4096, 16 heads (in L2)", 1, 4096, 16, 16);
  Decode<float>(b, "decode float 16 x 4096, 16 heads of 128", 16, 4096, 16, 16);
}

}  // namespace
}  // namespace eaq::kernels::selftest
