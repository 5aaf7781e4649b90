// Atomics and fences. One thread of the operating system runs a grid, so that every operation is atomic by itself; what
// is left to model is order, for ThreadSanitizer: CUDA's atomics are relaxed and order nothing, unless the writer calls
// __threadfence() before the atomic and the reader after it (PTX's fence.acq_rel).
//
// Modelled: what happened before a fence of one thread happens before what follows a fence of another, if the second
// thread did an atomic on an address between the first one's atomic on it and its own fence. Chains of atomics of other
// threads on the address (release sequences) count, as in PTX.
#ifndef KERNELS_EMULATION_ATOMICS_H_
#define KERNELS_EMULATION_ATOMICS_H_

#include <cstring>
#include <type_traits>
#include <vector>

namespace eaq::kernels::emulation {

void Fence();

// Around each relaxed atomic operation on ADDRESS.
void BeforeAtomic(void* address);
void AfterAtomic(void* address);

// Internal: the fences of one thread.
class Fences {
 public:
  Fences() = default;
  ~Fences();
  Fences(const Fences&) = delete;
  Fences& operator=(const Fences&) = delete;

  void Fence();
  void Before(void* address);
  void After(void* address);
  void Clear();

 private:
  bool fenced_ = false;
  char tag_ = 0;                // holds what happened before the last fence
  void* ghost_ = nullptr;       // a fiber of ThreadSanitizer that knows that and nothing else
  std::vector<void*> touched_;  // by atomics since the last fence
};

// *ADDRESS <- op(*ADDRESS); returns the old value. T: 4 or 8 bytes.
template <typename T, typename Op>
T AtomicUpdate(T* address, Op op) {
  static_assert(std::is_trivially_copyable<T>::value && (sizeof(T) == 4 || sizeof(T) == 8));
  using Bits = std::conditional_t<sizeof(T) == 8, unsigned long long, unsigned>;
  auto* word = reinterpret_cast<Bits*>(address);
  BeforeAtomic(address);
  Bits before = __atomic_load_n(word, __ATOMIC_RELAXED), after;
  T old;
  do {
    std::memcpy(&old, &before, sizeof(T));
    const T value = op(old);
    std::memcpy(&after, &value, sizeof(T));
  } while (!__atomic_compare_exchange_n(word, &before, after, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  AfterAtomic(address);
  return old;
}

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_ATOMICS_H_
