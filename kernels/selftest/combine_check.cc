// kernels/cuda/combine.h: the same order of additions, hence the same bits.
#include <vector>

#include "kernels/cuda/combine.h"
#include "kernels/selftest/check.h"
#include "kernels/selftest/device_memory.h"
#include "kernels/selftest/random.h"

namespace eaq::kernels::selftest {
namespace {

EAQ_CHECK_CASE(CombineExperts) {
  Random random(c.seed());
  for (const int64_t hidden : {1, 7, 8, 1028}) {
    for (const int64_t k : {1, 2, 8}) {
      const int64_t tokens = 3, ldx = hidden + (k == 2 ? 4 : 0), ldo = hidden + (k == 1 ? 4 : 0);
      const bool add = k == 2;
      const std::vector<float> x = random.Normals(tokens * k * ldx), before = random.Normals(tokens * ldo);
      std::vector<int32_t> slots = random.Integers<int32_t>(tokens * k, 0, tokens * k - 1);
      slots[k - 1] = -1;
      DeviceArray<float> dx("x", x), out("out", before);
      DeviceArray<int32_t> ds("slot_of_pair", slots);
      c.Expect(cuda::CombineExperts(dx.data(), ldx, ds.data(), tokens, k, hidden, add, out.data(), ldo, nullptr) == 0,
               "launch");
      std::vector<float> want = before;
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t i = 0; i < hidden; ++i) {
          float sum = add ? before[t * ldo + i] : 0.0f;
          for (int64_t j = 0; j < k; ++j)
            if (slots[t * k + j] >= 0) sum += x[slots[t * k + j] * ldx + i];
          want[t * ldo + i] = sum;
        }
      }
      c.Same(out.Download(), want, "out");
    }
  }
  c.Expect(cuda::CombineExperts(nullptr, 4, nullptr, 0, 2, 4, false, nullptr, 4, nullptr) == 0, "no tokens");
  c.Expect(cuda::CombineExperts(nullptr, 4, nullptr, 1, 0, 4, false, nullptr, 4, nullptr) != 0, "k = 0");
}

}  // namespace
}  // namespace eaq::kernels::selftest
