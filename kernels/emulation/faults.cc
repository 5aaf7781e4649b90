#include "kernels/emulation/faults.h"

#include <sys/mman.h>

#include "kernels/emulation/report.h"
#include "kernels/emulation/sanitizer.h"
#include "kernels/emulation/scheduler.h"

namespace eaq::kernels::emulation {
namespace {

constexpr int kSignals[3] = {SIGILL, SIGSEGV, SIGBUS};
constexpr size_t kStackBytes = 64 << 10;

// After this nothing goes on, so that calls which a handler must not make (a lock might be held) can at worst hang.
void Report(int signal, siginfo_t* info, void*) {
  std::signal(signal, SIG_DFL);
  if (Running() == nullptr) return;  // not a kernel's: happens again, with the default end
  if (signal == SIGILL) {
    Die("a misaligned access: an address is no multiple of the size of what is read or written there (or another check "
        "of the compiler that traps)");
  }
  if (Scheduler::Own().AtGuardPage(info->si_addr) != nullptr) {
    Die("the stack of a CUDA thread is full: local arrays too large, or set Options::stack_bytes (EAQ_EMU_STACK)");
  }
  Die("an access to address %p, where there is no memory, or a misaligned one", info->si_addr);
}

#if !defined(EAQ_EMULATION_ASAN)
// Signals need a stack of their own: that of the CUDA thread may be the very thing that is full.
void* SignalStack() {
  static thread_local void* stack =
      mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return stack;
}
#endif

}  // namespace

FaultReports::FaultReports() {
#if !defined(EAQ_EMULATION_ASAN)  // which has one of its own
  stack_t stack = {};
  stack.ss_sp = SignalStack();
  stack.ss_size = kStackBytes;
  sigaltstack(&stack, &stack_before_);
#endif
  for (int i = 0; i < 3; ++i) {
    struct sigaction action = {};
    action.sa_sigaction = &Report;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
#if defined(EAQ_EMULATION_ASAN)
    if (kSignals[i] != SIGILL) {  // AddressSanitizer reports these better
      sigaction(kSignals[i], nullptr, &before_[i]);
      continue;
    }
#endif
    sigaction(kSignals[i], &action, &before_[i]);
  }
}

FaultReports::~FaultReports() {
  for (int i = 0; i < 3; ++i) sigaction(kSignals[i], &before_[i], nullptr);
#if !defined(EAQ_EMULATION_ASAN)
  sigaltstack(&stack_before_, nullptr);
#endif
}

}  // namespace eaq::kernels::emulation
