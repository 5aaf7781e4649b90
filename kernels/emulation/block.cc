#include "kernels/emulation/block.h"

#include <cstdio>
#include <map>

#include "kernels/emulation/report.h"

namespace eaq::kernels::emulation {
namespace {

std::string WhatItWaitsFor(const Thread& thread) {
  char text[96] = "runs";
  switch (thread.state) {
    case Thread::State::kAtCollective:
      snprintf(text, sizeof text, "%s, mask %08x, ", thread.operation->name, thread.mask);
      break;
    case Thread::State::kAtBarrier: {
      const Barrier& barrier = thread.its_block->barriers[thread.barrier];
      if (barrier.expected == 0) {
        snprintf(text, sizeof text, "__syncthreads, ");
      } else {
        snprintf(text, sizeof text, "barrier %d, which expects %u threads, ", thread.barrier, barrier.expected);
      }
      break;
    }
    case Thread::State::kAtTransactionBarrier:
      return Describe(*thread.transaction_barrier) + ", " + ToString(thread.site);
    case Thread::State::kAtClusterBarrier:
      snprintf(text, sizeof text, "barrier.cluster, ");
      break;
    case Thread::State::kSpinning:
      snprintf(text, sizeof text, "a spinning wait, ");
      break;
    default:
      break;
  }
  return text + ToString(thread.site);
}

// "0-31, 40, 42-63"
std::string Ranges(const std::vector<unsigned>& sorted) {
  std::string text;
  for (size_t i = 0; i < sorted.size();) {
    size_t j = i;
    while (j + 1 < sorted.size() && sorted[j + 1] == sorted[j] + 1) ++j;
    if (!text.empty()) text.append(", ");
    text.append(std::to_string(sorted[i]));
    if (j > i) text.append("-").append(std::to_string(sorted[j]));
    i = j + 1;
  }
  return text;
}

}  // namespace

std::string DescribeWaiting(const Block& block) {
  std::map<std::string, std::vector<unsigned>> places;
  for (const Thread* thread : block.threads) {
    if (thread->state != Thread::State::kDone) places[WhatItWaitsFor(*thread)].push_back(thread->index);
  }
  std::string text;
  for (const auto& [place, threads] : places) {
    text += "\n  " + std::to_string(threads.size()) + (threads.size() == 1 ? " thread waits at " : " threads wait at ");
    text += place + ": " + (threads.size() == 1 ? "thread " : "threads ") + Ranges(threads);
  }
  const size_t gone = block.threads.size() - block.live;
  if (gone > 0)
    text += "\n  " + std::to_string(gone) + " of " + std::to_string(block.threads.size()) + " have returned";
  return text;
}

}  // namespace eaq::kernels::emulation
