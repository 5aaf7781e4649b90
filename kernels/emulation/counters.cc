#include "kernels/emulation/counters.h"

#include <mutex>
#include <type_traits>

namespace eaq::kernels::emulation {
namespace {

constexpr int kFields = sizeof(Counters) / sizeof(uint64_t);
static_assert(std::is_trivially_copyable_v<Counters> && sizeof(Counters) == kFields * sizeof(uint64_t));

std::mutex mutex;
Counters total;

}  // namespace

Counters ReadCounters() {
  std::lock_guard<std::mutex> lock(mutex);
  return total;
}

void ResetCounters() {
  std::lock_guard<std::mutex> lock(mutex);
  total = Counters();
}

void AddCounters(const Counters& more) {
  std::lock_guard<std::mutex> lock(mutex);
  auto* to = reinterpret_cast<uint64_t*>(&total);
  const auto* from = reinterpret_cast<const uint64_t*>(&more);
  for (int i = 0; i < kFields; ++i) to[i] += from[i];
}

}  // namespace eaq::kernels::emulation
