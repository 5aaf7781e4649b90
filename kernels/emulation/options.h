// How the emulator runs kernels. Environment variables give the first values, a test sets its own:
//
//   for (const Options& options : AllSchedules()) {
//     ScopedOptions scoped(options);
//     ... launch and compare ...
//   }
//
// Options are the process's: change them only while no kernel runs.
#ifndef KERNELS_EMULATION_OPTIONS_H_
#define KERNELS_EMULATION_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace eaq::kernels::emulation {

// Which of the threads that can run does. All are legal on a GPU.
enum class Schedule {
  kInOrder,       // first come, first served
  kReverse,       // last come, first served; starts with the last thread
  kRandom,        // any, by the seed
  kOneWarpAhead,  // always the warp of highest priority; priorities by the seed
};

struct Options {
  Schedule schedule = Schedule::kInOrder;  // EAQ_EMU_SCHEDULE: in_order, reverse, random, ahead
  uint64_t seed = 1;                       // EAQ_EMU_SEED
  // Asynchronous copies land at the wait for them (the latest moment) or at once (the earliest). EAQ_EMU_COPIES: late,
  // early.
  bool copies_land_late = true;
  // Blocks that start together; 0: 1, but 2 under ThreadSanitizer, which sees a race between blocks only if they do not
  // follow each other on the same fibers. More are started while threads spin (__nanosleep), up to the whole grid.
  int resident_blocks = 0;  // EAQ_EMU_BLOCKS
  // Limits of shared memory are those of this compute capability: 80, 86, 89, 90, 100, 120. The default is the
  // tightest that we build for. EAQ_EMU_ARCH
  int architecture = 86;
  // Stack of a CUDA thread, a guard page below. 0: 64 KiB, 256 KiB under sanitizers. EAQ_EMU_STACK
  size_t stack_bytes = 0;
};

Options& CurrentOptions();

std::string ToString(const Options& options);  // "random, seed 3, copies land early"

// {late, early} x {in order, reverse, random, one warp ahead}: what every kernel test goes through.
std::vector<Options> AllSchedules(uint64_t seed = 1);

class ScopedOptions {
 public:
  explicit ScopedOptions(const Options& options) : before_(CurrentOptions()) { CurrentOptions() = options; }
  ~ScopedOptions() { CurrentOptions() = before_; }
  ScopedOptions(const ScopedOptions&) = delete;
  ScopedOptions& operator=(const ScopedOptions&) = delete;

 private:
  Options before_;
};

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_OPTIONS_H_
