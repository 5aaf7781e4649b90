// kernels/cuda/token_importance.h against whole attention maps in double precision.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/cuda/token_importance.h"
#include "kernels/selftest/check.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

struct Shape {
  std::vector<int32_t> queries, more_keys;  // of sequences; keys beyond the queries
  int64_t heads, kv_heads, head_dim, window;
};

void CheckImportance(Checker& c, const Shape& s, Random& random) {
  const int64_t sequences = static_cast<int64_t>(s.queries.size());
  std::vector<int32_t> query_begin = {0}, key_begin, key_count, counts;
  int32_t keys = 3, longest = 0;
  for (int64_t b = 0; b < sequences; ++b) {
    const int32_t n = s.queries[b];
    key_begin.push_back(keys);
    key_count.push_back(n + s.more_keys[b]);
    keys += key_count.back() + 2;
    query_begin.push_back(query_begin.back() + n);
    longest = std::max(longest, n);
    counts.push_back(s.more_keys[b] > 0 ? 0 : static_cast<int32_t>(random.Integer(0, n)));
  }
  const int64_t rows = query_begin.back(), width = 37, ldh = width + 2, ldq = s.heads * s.head_dim + 4,
                ldk = s.kv_heads * s.head_dim;
  const std::vector<float> q = random.Normals(rows * ldq), k = random.Normals(keys * ldk),
                           hidden = random.Normals(rows * ldh);
  DeviceArray<float> dq("q", q), dk("k", k), dh("hidden", hidden), softmax("softmax", rows * s.heads * 2);
  DeviceArray<double> importance("importance", rows);
  DeviceArray<int32_t> dqb("query_begin", query_begin), dkb("key_begin", key_begin), dkc("key_count", key_count),
      dcounts("counts", counts), keep("keep", rows);
  cuda::AttentionBatch batch;
  batch.sequences = sequences;
  batch.query_begin = dqb.data();
  batch.key_begin = dkb.data();
  batch.key_count = dkc.data();
  batch.max_queries = longest + 1;
  batch.heads = s.heads;
  batch.kv_heads = s.kv_heads;
  batch.head_dim = s.head_dim;
  batch.window = s.window;
  batch.scale = 0.3f;
  c.Expect(cuda::ProtectTokens(batch, dq.data(), ldq, dk.data(), ldk, dh.data(), ldh, width, dcounts.data(),
                               {softmax.data(), importance.data()}, keep.data(), nullptr) == 0,
           "launch");
  const std::vector<double> got = importance.Download();
  const std::vector<int32_t> kept = keep.Download();

  for (int64_t b = 0; b < sequences; ++b) {
    const int64_t n = s.queries[b], first = query_begin[b];
    std::vector<double> received(n, 0.0);
    double largest = 0;  // scale * sum |q k|
    for (int64_t h = 0; h < s.heads; ++h) {
      for (int64_t i = 0; i < n; ++i) {
        const int64_t begin = s.window > 0 ? std::max<int64_t>(0, i + 1 - s.window) : 0;
        std::vector<double> p(i + 1, 0.0);
        double sum = 0;
        for (int64_t j = begin; j <= i; ++j) {
          double score = 0, size = 0;
          for (int64_t d = 0; d < s.head_dim; ++d) {
            const double product = static_cast<double>(q[(first + i) * ldq + h * s.head_dim + d]) *
                                   k[(key_begin[b] + j) * ldk + h / (s.heads / s.kv_heads) * s.head_dim + d];
            score += product;
            size += std::fabs(product);
          }
          largest = std::max(largest, size * batch.scale);
          p[j] = std::exp(score * static_cast<double>(batch.scale));
          sum += p[j];
        }
        for (int64_t j = begin; j <= i; ++j) received[j] += p[j] / sum;
      }
    }
    for (int64_t t = 0; t < n; ++t) {
      const int64_t seen_by = s.window > 0 ? std::min(n - t, s.window) : n - t;
      double norm = 0;
      for (int64_t i = 0; i < width; ++i) norm += std::fabs(hidden[(first + t) * ldh + i]);
      const double want = s.more_keys[b] > 0 ? 0 : received[t] / static_cast<double>(s.heads * seen_by) * norm;
      const double bound = (2 * static_cast<double>(s.head_dim + 2) * largest + static_cast<double>(n + 16)) * 0x1p-24;
      c.Near(got[first + t], want, bound * want, "importance", first + t);
    }
    // The choice, from the numbers that were compared.
    std::vector<int64_t> order(n);
    for (int64_t t = 0; t < n; ++t) order[t] = first + t;
    std::stable_sort(order.begin(), order.end(), [&](int64_t x, int64_t y) { return got[x] > got[y]; });
    for (int64_t i = 0; i < n; ++i) {
      c.Expect(kept[order[i]] == (i < counts[b] ? 1 : 0), "row ", order[i], ", place ", i, " of ", counts[b],
               " kept: ", kept[order[i]]);
    }
  }
}

EAQ_CHECK_CASE(TokenImportance) {
  Random random(c.seed());
  CheckImportance(c, {{13}, {0}, 4, 2, 32, 0}, random);
  CheckImportance(c, {{1, 40, 7, 0, 5}, {0, 0, 3, 0, 0}, 2, 1, 64, 0}, random);
  CheckImportance(c, {{35, 3}, {0, 0}, 2, 2, 128, 5}, random);
  CheckImportance(c, {{9, 6}, {0, 1}, 1, 1, 32, 1}, random);
}

// Equal tokens: the first are kept. And what is refused.
EAQ_CHECK_CASE(TokenImportanceEdges) {
  DeviceArray<float> zeros("zeros", std::vector<float>(6 * 32, 0)), softmax("softmax", 6 * 2);
  DeviceArray<double> importance("importance", 6);
  const std::vector<int32_t> of_queries = {0, 6}, of_keys = {0}, all = {6}, two = {2};
  DeviceArray<int32_t> begin("query_begin", of_queries), first("key_begin", of_keys), count("key_count", all),
      counts("counts", two), keep("keep", 6);
  cuda::AttentionBatch batch;
  batch.sequences = 1;
  batch.query_begin = begin.data();
  batch.key_begin = first.data();
  batch.key_count = count.data();
  batch.max_queries = 6;
  batch.heads = batch.kv_heads = 1;
  batch.head_dim = 32;
  const auto run = [&](const cuda::AttentionBatch& b, int64_t width) {
    return cuda::ProtectTokens(b, zeros.data(), 32, zeros.data(), 32, zeros.data(), 32, width, counts.data(),
                               {softmax.data(), importance.data()}, keep.data(), nullptr);
  };
  c.Expect(run(batch, 32) == 0, "launch");
  c.Same(keep.Download(), {1, 1, 0, 0, 0, 0}, "equal tokens");
  c.Expect(run(batch, 33) != 0, "rows wider than their stride");
  cuda::AttentionBatch other = batch;
  other.head_dim = 48;
  c.Expect(run(other, 32) != 0, "heads of 48");
  other = batch;
  other.sequences = 0;
  c.Expect(run(other, 32) == 0, "no sequences");
}

}  // namespace
}  // namespace eaq::kernels::selftest
