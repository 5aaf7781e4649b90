// A fixed set of threads that run the iterations of a loop.
//
//   ThreadPool pool(2);
//   pool.ParallelFor(windows.size(), [&](int64_t w) { nll[w] = Score(windows[w]); });
//
// Determinism is the caller's by construction: iterations may run in any order on any thread, so each writes only
// what belongs to its own index, and reductions happen afterwards in index order. Then the result has the same
// bits for any number of threads.
#ifndef EAQ_BASE_THREAD_POOL_H_
#define EAQ_BASE_THREAD_POOL_H_

#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"

namespace eaq {

class ThreadPool {
 public:
  // `threads` >= 1 counts the calling thread; ThreadPool(1) starts none and runs loops inline.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Calls body(0) ... body(n - 1), each once, and returns when all are done. Not reentrant: a body must not call
  // ParallelFor of the same pool; one caller at a time. Bodies must not throw.
  void ParallelFor(int64_t n, absl::FunctionRef<void(int64_t)> body);

 private:
  struct State;
  const int threads_;
  std::unique_ptr<State> state_;
};

// The number of processors this process may use, at least 1.
int AvailableProcessors();

}  // namespace eaq

#endif  // EAQ_BASE_THREAD_POOL_H_
