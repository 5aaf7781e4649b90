// Wall time that has passed, for progress, timings in the ledger and benchmarks.
//
//   const auto start = std::chrono::steady_clock::now();
//   run.set_seconds(SecondsSince(start));
#ifndef EAQ_BASE_SECONDS_SINCE_H_
#define EAQ_BASE_SECONDS_SINCE_H_

#include <chrono>

namespace eaq {

inline double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace eaq

#endif  // EAQ_BASE_SECONDS_SINCE_H_
