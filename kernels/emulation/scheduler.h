// Runs a grid on the calling thread of the operating system: hands the core from CUDA thread to CUDA thread, starts
// blocks, and says who waits for whom when nobody can run. Internal.
//
// A CUDA thread that must wait hands the core straight to the next one that can run; the scheduler's own turn comes
// only when there is none, or when a block has ended. The threads and their stacks are kept for later blocks and
// launches.
#ifndef KERNELS_EMULATION_SCHEDULER_H_
#define KERNELS_EMULATION_SCHEDULER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/emulation/block.h"
#include "kernels/emulation/bulk_copy.h"
#include "kernels/emulation/cluster.h"
#include "kernels/emulation/counters.h"
#include "kernels/emulation/fiber.h"
#include "kernels/emulation/options.h"
#include "kernels/emulation/ready_queue.h"

namespace eaq::kernels::emulation {

struct Kernel {  // what each CUDA thread does
  void (*call)(const void* closure);
  const void* closure;
};

class Scheduler {
 public:
  // The one of the calling thread of the operating system.
  static Scheduler& Own();

  ~Scheduler();
  // Every CLUSTER blocks that follow each other run together; 0: no clusters.
  void Run(const Dim3& grid, const Dim3& block, size_t dynamic_bytes, const Kernel& kernel, unsigned cluster = 0);

  // Of the CUDA thread that runs, whose state says what it waits for: returns when somebody woke it.
  void Block(Thread& thread);
  void Wake(Thread& thread) {
    thread.state = Thread::State::kReady;
    ready_.Push(thread);
  }
  // Others first; if there are none, another block is started.
  void Spin(Thread& thread, Site site);

  Thread* AtGuardPage(const void* address) const;  // whose stack has run over there

  Counters counters;  // of the launch
  BulkCopies bulk_copies;

 private:
  static void ThreadMain(void* thread);
  Thread* Next();
  void SwitchTo(Fiber& from, Thread* to);
  void Finish(Thread& thread);
  bool LandBulkCopy();
  void Admit();  // a block, or a cluster
  emulation::Block& AdmitBlock();
  void Retire(emulation::Block& block);
  [[noreturn]] void Deadlock(const char* what);

  Options options_;
  Dim3 grid_, block_size_;
  size_t dynamic_bytes_ = 0;
  Kernel kernel_ = {};
  uint64_t blocks_ = 0, admitted_ = 0, landed_ = 0;
  unsigned cluster_ = 0;
  bool running_ = false;

  Fiber own_;
  ReadyQueue ready_;
  Thread* spinning_first_ = nullptr;
  Thread* spinning_last_ = nullptr;
  uint64_t vain_turns_ = 0;  // of spinning threads, since anybody else ran
  std::vector<emulation::Block*> resident_, ended_;
  std::vector<std::unique_ptr<emulation::Block>> blocks_made_;
  std::vector<emulation::Block*> idle_blocks_;
  std::vector<std::unique_ptr<Cluster>> clusters_;
  std::vector<std::unique_ptr<Thread>> threads_made_;
  std::vector<Thread*> idle_threads_;
  size_t stack_bytes_ = 0;             // of threads_made_
  char launch_tag_ = 0, end_tag_ = 0;  // for ThreadSanitizer
};

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_SCHEDULER_H_
