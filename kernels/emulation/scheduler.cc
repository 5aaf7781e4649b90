#include "kernels/emulation/scheduler.h"

#include <algorithm>
#include <string>

#include "kernels/emulation/report.h"
#include "kernels/emulation/sanitizer.h"

namespace eaq::kernels::emulation {

namespace {

// So many turns of spinning threads in a row, with all blocks started and nobody else to run, are a wait in vain.
constexpr uint64_t kVainTurns = 2'000'000;

size_t DefaultStackBytes() {
#if defined(EAQ_EMULATION_ASAN)
  return 256 << 10;
#else
  return UnderTsan() ? 256 << 10 : 64 << 10;
#endif
}

}  // namespace

Thread& RunningIn(const char* what) {
  Thread* thread = Running();
  if (thread == nullptr) Die("%s outside a kernel", what);
  return *thread;
}

Scheduler& Scheduler::Own() {
  static thread_local Scheduler scheduler;
  return scheduler;
}

Scheduler::~Scheduler() = default;

void Scheduler::Run(const Dim3& grid, const Dim3& block, size_t dynamic_bytes, const Kernel& kernel, unsigned cluster) {
  if (running_) Die("a launch inside a kernel");
  running_ = true;
  options_ = CurrentOptions();
  grid_ = grid;
  block_size_ = block;
  dynamic_bytes_ = dynamic_bytes;
  kernel_ = kernel;
  blocks_ = grid.Count();
  admitted_ = landed_ = 0;
  cluster_ = cluster;
  counters = Counters();
  ready_.Start(options_.schedule, options_.seed);
  const size_t stack_bytes = options_.stack_bytes != 0 ? options_.stack_bytes : DefaultStackBytes();
  if (stack_bytes != stack_bytes_) {
    idle_threads_.clear();
    threads_made_.clear();
    stack_bytes_ = stack_bytes;
  }
  TsanRelease(&launch_tag_);
  const size_t together =
      options_.resident_blocks > 0 ? static_cast<size_t>(options_.resident_blocks) : (UnderTsan() ? 2 : 1);
  while (admitted_ < blocks_ || !resident_.empty()) {
    while (admitted_ < blocks_ && resident_.size() < together) Admit();
    Thread* next = Next();
    if (next == nullptr && spinning_first_ != nullptr && admitted_ < blocks_) {
      Admit();
      continue;
    }
    if (next == nullptr) Deadlock("nobody can run, all wait for each other");
    SwitchTo(own_, next);
    for (emulation::Block* ended : ended_) Retire(*ended);
    ended_.clear();
  }
  TsanAcquire(&end_tag_);
  ++counters.launches;
  counters.blocks += blocks_;
  counters.threads += blocks_ * block.Count();
  AddCounters(counters);
  clusters_.clear();
  running_ = false;
}

Thread* Scheduler::Next() {
  do {
    if (Thread* thread = ready_.Pop()) {
      vain_turns_ = 0;
      return thread;
    }
  } while (LandBulkCopy());
  if (spinning_first_ == nullptr || admitted_ < blocks_) return nullptr;
  if (++vain_turns_ > kVainTurns) Deadlock("threads spin in vain, nobody else can run");
  Thread* thread = spinning_first_;
  spinning_first_ = thread->next;
  return thread;
}

// The latest moment: nobody can run without it.
bool Scheduler::LandBulkCopy() {
  ++landed_;
  return bulk_copies.LandOne(options_.schedule == Schedule::kInOrder   ? 0
                             : options_.schedule == Schedule::kReverse ? bulk_copies.count() - 1
                                                                       : Mix(options_.seed + landed_));
}

void Scheduler::SwitchTo(Fiber& from, Thread* to) {
  ++counters.switches;
  running_coordinates = to;
  if (to != nullptr) to->state = Thread::State::kRunning;
  Fiber::Switch(from, to != nullptr ? to->fiber : own_);
}

void Scheduler::Block(Thread& thread) {
  Thread* next = Next();
  if (next == &thread) {
    thread.state = Thread::State::kRunning;
    return;
  }
  SwitchTo(thread.fiber, next);
}

void Scheduler::Spin(Thread& thread, Site site) {
  thread.site = site;
  thread.state = Thread::State::kSpinning;
  thread.next = nullptr;
  (spinning_first_ == nullptr ? spinning_first_ : spinning_last_->next) = &thread;
  spinning_last_ = &thread;
  Block(thread);
}

void Scheduler::ThreadMain(void* self) {
  Thread& thread = *static_cast<Thread*>(self);
  for (;;) {
    Scheduler& scheduler = *thread.its_block->scheduler;
    TsanAcquire(&scheduler.launch_tag_);
    scheduler.kernel_.call(scheduler.kernel_.closure);
    TsanRelease(&scheduler.end_tag_);
    scheduler.Finish(thread);
  }
}

void Scheduler::Finish(Thread& thread) {
  emulation::Block& block = *thread.its_block;
  thread.copies.CheckAllWaited();
  thread.state = Thread::State::kDone;
  --block.live;
  LaneLeft(*thread.warp, thread.lane);
  if (thread.warp->live == 0) CheckAllProductsWaited(*thread.warp);
  ThreadLeftBarriers(block);
  ThreadLeftCluster(block);
  // The blocks of a cluster go together: others may still name one that has ended, and are told so.
  bool ended = block.live == 0;
  if (ended && block.cluster != nullptr) {
    for (const emulation::Block* other : block.cluster->blocks) ended = ended && other->live == 0;
  }
  Thread* next = nullptr;
  if (ended) {
    const Quiet quiet;
    if (block.cluster == nullptr) {
      ended_.push_back(&block);
    } else {
      ended_ = block.cluster->blocks;
    }
  } else {
    next = Next();
  }
  SwitchTo(thread.fiber, next);
}

void Scheduler::Admit() {
  if (cluster_ == 0) {
    AdmitBlock();
    return;
  }
  clusters_.push_back(std::make_unique<Cluster>());
  for (unsigned rank = 0; rank < cluster_; ++rank) {
    emulation::Block& block = AdmitBlock();
    block.cluster = clusters_.back().get();
    block.cluster->blocks.push_back(&block);
  }
}

emulation::Block& Scheduler::AdmitBlock() {
  const auto count = static_cast<unsigned>(block_size_.Count());
  while (idle_threads_.size() < count) {
    threads_made_.push_back(std::make_unique<Thread>(stack_bytes_, &ThreadMain));
    idle_threads_.push_back(threads_made_.back().get());
  }
  const Quiet quiet;
  if (idle_blocks_.empty()) {
    blocks_made_.push_back(std::make_unique<emulation::Block>());
    idle_blocks_.push_back(blocks_made_.back().get());
  }
  emulation::Block& block = *idle_blocks_.back();
  idle_blocks_.pop_back();
  resident_.push_back(&block);
  block.scheduler = this;
  block.index = admitted_++;
  block.position =
      Dim3(static_cast<int64_t>(block.index % grid_.x), static_cast<int64_t>(block.index / grid_.x % grid_.y),
           static_cast<int64_t>(block.index / (uint64_t{grid_.x} * grid_.y)));
  block.live = count;
  block.warps.assign((count + 31) / 32, Warp());
  block.threads.assign(count, nullptr);
  block.shared.Start(dynamic_bytes_);
  block.wgmma_issues.assign((block.warps.size() + 3) / 4, {});
  block.cluster = nullptr;
  for (unsigned w = 0; w < block.warps.size(); ++w) {
    block.warps[w].id = w;
    block.warps[w].priority = Mix(options_.seed + (block.index * 32 + w) * 0x9E3779B97F4A7C15ull);
  }
  for (unsigned i = 0; i < count; ++i) {
    Thread& thread = *idle_threads_.back();
    idle_threads_.pop_back();
    block.threads[i] = &thread;
    thread.thread = Dim3(i % block_size_.x, i / block_size_.x % block_size_.y, i / (block_size_.x * block_size_.y));
    thread.Coordinates::block = block.position;
    thread.block_size = block_size_;
    thread.grid_size = grid_;
    thread.lane = i % 32;
    thread.index = i;
    thread.its_block = &block;
    thread.warp = &block.warps[i / 32];
    thread.warp->lanes[thread.lane] = &thread;
    thread.warp->live |= 1u << thread.lane;
    Wake(thread);
  }
  return block;
}

void Scheduler::Retire(emulation::Block& block) {
  const Quiet quiet;
  CountOpenAccesses(block);
  CheckSameProducts(block);
  bulk_copies.CheckNoneTo(block);
  block.transaction_barriers.clear();
  block.generic_writes.Clear();
  block.shared.Clear();
  // Last thread first, so that the next block gets the same stacks in the same order.
  for (auto thread = block.threads.rbegin(); thread != block.threads.rend(); ++thread) {
    (*thread)->state = Thread::State::kIdle;
    (*thread)->fences.Clear();
    idle_threads_.push_back(*thread);
  }
  resident_.erase(std::find(resident_.begin(), resident_.end(), &block));
  idle_blocks_.push_back(&block);
}

void Scheduler::Deadlock(const char* what) {
  std::string text;
  for (const emulation::Block* block : resident_) {
    text += "\n  block (" + std::to_string(block->position.x) + "," + std::to_string(block->position.y) + "," +
            std::to_string(block->position.z) + "):" + DescribeWaiting(*block);
    if (text.size() > 4000) break;
  }
  running_coordinates = nullptr;
  Die("deadlock: %s%s", what, text.c_str());
}

Thread* Scheduler::AtGuardPage(const void* address) const {
  for (const auto& thread : threads_made_)
    if (thread->fiber.InGuardPage(address)) return thread.get();
  return nullptr;
}

}  // namespace eaq::kernels::emulation
