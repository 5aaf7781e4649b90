// The CUDA threads that can run, handed out in the order of a Schedule. Internal.
#ifndef KERNELS_EMULATION_READY_QUEUE_H_
#define KERNELS_EMULATION_READY_QUEUE_H_

#include <cstdint>
#include <vector>

#include "kernels/emulation/options.h"

namespace eaq::kernels::emulation {

struct Thread;

// A well-mixed number for each x (SplitMix64).
uint64_t Mix(uint64_t x);

class ReadyQueue {
 public:
  void Start(Schedule schedule, uint64_t seed);  // empty
  void Push(Thread& thread);
  Thread* Pop();  // null: nobody can run

 private:
  Schedule schedule_ = Schedule::kInOrder;
  uint64_t random_ = 0;
  Thread* first_ = nullptr;  // in order, reverse: a list
  Thread* last_ = nullptr;
  std::vector<Thread*> heap_;  // random: any order; one warp ahead: a heap by priority
};

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_READY_QUEUE_H_
