// How kernels were launched: what their machine code does not say, and tools/sass needs to know how many blocks fit a
// multiprocessor. Written down while a log lives, from all threads of the process:
//
//   LaunchLog log;
//   ... launch ...
//   for (const LaunchShape& shape : log.Shapes()) ...
#ifndef KERNELS_EMULATION_LAUNCH_LOG_H_
#define KERNELS_EMULATION_LAUNCH_LOG_H_

#include <cstddef>
#include <set>
#include <tuple>

namespace eaq::kernels::emulation {

struct LaunchShape {
  const void* kernel = nullptr;  // the function
  int threads = 0;               // of a block
  size_t dynamic_bytes = 0;      // of EAQ_DYNAMIC_SHARED

  bool operator<(const LaunchShape& other) const {
    return std::tie(kernel, threads, dynamic_bytes) < std::tie(other.kernel, other.threads, other.dynamic_bytes);
  }
};

// One at a time; a second one ends the program.
class LaunchLog {
 public:
  LaunchLog();
  ~LaunchLog();
  LaunchLog(const LaunchLog&) = delete;
  LaunchLog& operator=(const LaunchLog&) = delete;

  // The different ones until now.
  std::set<LaunchShape> Shapes() const;
};

// Internal: of a launch.
void LogLaunch(const LaunchShape& shape);

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_LAUNCH_LOG_H_
