// What the tests of the zoo share: to run a kernel under every schedule, and to expect of one with a bug that it is
// caught, of its correct twin that nothing is said. The macros are for files that include gtest.
#ifndef KERNELS_EMULATION_BUG_ZOO_H_
#define KERNELS_EMULATION_BUG_ZOO_H_

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/emulation/options.h"
#include "kernels/emulation/sanitizer.h"

namespace eaq::kernels::emulation {

#if defined(EAQ_EMULATION_ASAN)
inline constexpr bool kUnderAsan = true;
#else
inline constexpr bool kUnderAsan = false;
#endif

// Schedules under which RUN(), which compares a kernel's result with the truth, returns false.
template <typename Run>
std::vector<std::string> WrongUnder(Run run) {
  std::vector<std::string> wrong;
  for (const uint64_t seed : {1, 2, 3}) {
    for (const Options& options : AllSchedules(seed)) {
      const ScopedOptions scoped(options);
      if (!run()) wrong.push_back(ToString(options));
    }
  }
  return wrong;
}

// A race: ThreadSanitizer names it in any schedule; without it some schedule computes nonsense. RUN: a callable for the
// kernel with the bug.
#define EXPECT_RACE(run)                                               \
  do {                                                                 \
    if (UnderTsan()) {                                                 \
      EXPECT_DEATH(WrongUnder(run), "data race");                      \
    } else {                                                           \
      EXPECT_FALSE(WrongUnder(run).empty()) << "no schedule shows it"; \
    }                                                                  \
  } while (0)
#define EXPECT_NO_ALARM(run) EXPECT_EQ(WrongUnder(run), std::vector<std::string>())

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_BUG_ZOO_H_
