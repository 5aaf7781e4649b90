// A stack and the place where it stopped: a thread of control that runs only when another hands it the core. Internal.
//
// On x86-64 a switch saves the six registers that a call keeps and changes the stack pointer (about 20 instructions);
// elsewhere, or with -DEAQ_EMULATION_UCONTEXT, it is POSIX's swapcontext, which makes a system call. Below each stack
// lies a page without access: a kernel whose frames do not fit faults there instead of writing into its neighbour.
// AddressSanitizer and ThreadSanitizer are told of every switch; no switch orders memory for the latter.
#ifndef KERNELS_EMULATION_FIBER_H_
#define KERNELS_EMULATION_FIBER_H_

#if !defined(__x86_64__) && !defined(EAQ_EMULATION_UCONTEXT)
#define EAQ_EMULATION_UCONTEXT 1
#endif

#include <cstddef>

#if defined(EAQ_EMULATION_UCONTEXT)
#include <ucontext.h>
#endif

namespace eaq::kernels::emulation {

class Fiber {
 public:
  // The calling thread of the operating system itself.
  Fiber();
  // Runs entry(argument) on its first turn; entry never returns.
  Fiber(size_t stack_bytes, void (*entry)(void*), void* argument);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Stops FROM, which must be the one that runs, and goes on with TO. Returns when somebody switches back.
  static void Switch(Fiber& from, Fiber& to);

  bool InGuardPage(const void* address) const;

 private:
  static void Start(Fiber* fiber);
#if defined(EAQ_EMULATION_UCONTEXT)
  static void StartByHalves(unsigned low, unsigned high);
  ucontext_t context_;
#else
  static void Trampoline();
  void* stack_pointer_ = nullptr;
#endif
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
  char* mapping_ = nullptr;  // guard page, then the stack
  char* stack_ = nullptr;
  size_t stack_bytes_ = 0;
  void* fake_stack_ = nullptr;  // AddressSanitizer's
  void* tsan_ = nullptr;
};

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_FIBER_H_
