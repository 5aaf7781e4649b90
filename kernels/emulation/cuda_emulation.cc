#include "kernels/emulation/cuda_emulation.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace eaq::kernels::emulation {
namespace {

[[noreturn]] void Die(const char* what, const char* file, int line) {
  fprintf(stderr, "CUDA emulation: %s (%s:%d)\n", what, file, line);
  fflush(stderr);
  std::abort();
}

// A barrier that threads may leave for good, as CUDA threads that return do.
class Barrier {
 public:
  void Join() { ++expected_; }  // before any thread runs

  void Arrive(const char* file, int line) {
    std::unique_lock<std::mutex> lock(mutex_);
    const unsigned mine = generation_;
    if (++arrived_ == expected_) return Release();
    if (!open_.wait_for(lock, std::chrono::seconds(20), [&] { return generation_ != mine; })) {
      Die("threads wait for others that never come: a barrier or shuffle that not all of them reach", file, line);
    }
  }
  void Leave() {
    std::lock_guard<std::mutex> lock(mutex_);
    --expected_;
    if (arrived_ > 0 && arrived_ == expected_) Release();
  }

 private:
  void Release() {
    arrived_ = 0;
    ++generation_;
    open_.notify_all();
  }
  std::mutex mutex_;
  std::condition_variable open_;
  unsigned expected_ = 0, arrived_ = 0, generation_ = 0;
};

struct Warp {
  Barrier barrier;
  unsigned lanes = 0;
  uint64_t slots[32] = {};
};

struct FreeDeleter {
  void operator()(void* p) const { std::free(p); }
};

struct Block {
  Barrier barrier;
  std::vector<Warp> warps;
  std::mutex shared_mutex;
  std::map<const void*, std::unique_ptr<void, FreeDeleter>> shared;  // exact sizes, so that ASan sees an overrun
};

struct Self {
  Coordinates here;
  Block* block = nullptr;
  Warp* warp = nullptr;
  int lane = 0;
};
thread_local Self self;

void RunBlock(const Coordinates& first, const std::function<void()>& body) {
  const Dim3 size = first.block_size;
  const unsigned count = size.x * size.y * size.z;
  Block block;
  block.warps = std::vector<Warp>((count + 31) / 32);
  for (unsigned t = 0; t < count; ++t) {
    block.barrier.Join();
    block.warps[t / 32].barrier.Join();
    ++block.warps[t / 32].lanes;
  }
  std::vector<std::thread> threads;
  threads.reserve(count);
  for (unsigned t = 0; t < count; ++t) {
    threads.emplace_back([&, t] {
      self.here = first;
      self.here.thread = Dim3(t % size.x, t / size.x % size.y, t / (size.x * size.y));
      self.block = &block;
      self.warp = &block.warps[t / 32];
      self.lane = static_cast<int>(t % 32);
      body();
      self.warp->barrier.Leave();
      self.block->barrier.Leave();
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

const Coordinates& Here() { return self.here; }
int Lane() { return self.lane; }

void Run(Dim3 grid, Dim3 block, const std::function<void()>& body) {
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (threads < 1 || threads > 1024) Die("a block has 1 to 1024 threads", __FILE__, __LINE__);
  if (uint64_t{grid.x} * grid.y * grid.z == 0) Die("a grid has at least one block", __FILE__, __LINE__);
  Coordinates at;
  at.block_size = block;
  at.grid_size = grid;
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        at.block = Dim3(x, y, z);
        RunBlock(at, body);
      }
    }
  }
}

void* Shared(const void* key, size_t bytes) {
  std::lock_guard<std::mutex> lock(self.block->shared_mutex);
  std::unique_ptr<void, FreeDeleter>& array = self.block->shared[key];
  if (array == nullptr) {
    array.reset(std::malloc(bytes));
    std::memset(array.get(), 0xff, bytes);
  }
  return array.get();
}

void SyncThreads(const char* file, int line) { self.block->barrier.Arrive(file, line); }

uint64_t Shuffle(uint64_t bits, int source, const char* file, int line) {
  if (source == -1000) Die("shuffles with a partial mask are not emulated", file, line);
  Warp& warp = *self.warp;
  warp.slots[self.lane] = bits;
  warp.barrier.Arrive(file, line);
  const bool exists = source >= 0 && source < static_cast<int>(warp.lanes);
  const uint64_t got = exists ? warp.slots[source] : bits;
  warp.barrier.Arrive(file, line);  // nobody overwrites a slot that is still to be read
  return got;
}

}  // namespace eaq::kernels::emulation
