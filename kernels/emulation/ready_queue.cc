#include "kernels/emulation/ready_queue.h"

#include <algorithm>

#include "kernels/emulation/sanitizer.h"
#include "kernels/emulation/thread.h"
#include "kernels/emulation/warp.h"

namespace eaq::kernels::emulation {
namespace {

bool RunsLater(const Thread* a, const Thread* b) {
  if (a->warp->priority != b->warp->priority) return a->warp->priority < b->warp->priority;
  return a->lane > b->lane;
}

}  // namespace

uint64_t Mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ x >> 27) * 0x94D049BB133111EBull;
  return x ^ x >> 31;
}

void ReadyQueue::Start(Schedule schedule, uint64_t seed) {
  schedule_ = schedule;
  random_ = Mix(seed);
  first_ = last_ = nullptr;
  heap_.clear();
}

void ReadyQueue::Push(Thread& thread) {
  const Quiet quiet;
  switch (schedule_) {
    case Schedule::kInOrder:
      thread.next = nullptr;
      (first_ == nullptr ? first_ : last_->next) = &thread;
      last_ = &thread;
      break;
    case Schedule::kReverse:
      thread.next = first_;
      first_ = &thread;
      break;
    case Schedule::kRandom:
      heap_.push_back(&thread);
      break;
    case Schedule::kOneWarpAhead:
      heap_.push_back(&thread);
      std::push_heap(heap_.begin(), heap_.end(), RunsLater);
      break;
  }
}

Thread* ReadyQueue::Pop() {
  Thread* thread = nullptr;
  switch (schedule_) {
    case Schedule::kInOrder:
    case Schedule::kReverse:
      thread = first_;
      if (thread != nullptr) first_ = thread->next;
      return thread;
    case Schedule::kRandom:
      if (heap_.empty()) return nullptr;
      random_ = Mix(random_);
      std::swap(heap_[random_ % heap_.size()], heap_.back());
      break;
    case Schedule::kOneWarpAhead:
      if (heap_.empty()) return nullptr;
      std::pop_heap(heap_.begin(), heap_.end(), RunsLater);
      break;
  }
  thread = heap_.back();
  heap_.pop_back();
  return thread;
}

}  // namespace eaq::kernels::emulation
