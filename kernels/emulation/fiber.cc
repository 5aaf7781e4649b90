#include "kernels/emulation/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

#include "kernels/emulation/report.h"
#include "kernels/emulation/sanitizer.h"

#if defined(EAQ_EMULATION_ASAN)
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined(EAQ_EMULATION_UCONTEXT)
// void EaqEmulationSwitch(void** save, void* load): pushes what a called function must preserve, swaps stack pointers,
// pops, and returns on the other stack.
asm(R"(
.text
.globl EaqEmulationSwitch
.hidden EaqEmulationSwitch
.type EaqEmulationSwitch,@function
EaqEmulationSwitch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  retq
.size EaqEmulationSwitch,.-EaqEmulationSwitch
)");
extern "C" void EaqEmulationSwitch(void** save, void* load);
#endif

namespace eaq::kernels::emulation {
namespace {

size_t PageBytes() {
  static const auto bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

// The fiber that a first turn starts on: x86-64's entry has no argument.
__thread Fiber* starting = nullptr;

}  // namespace

Fiber::Fiber() {
#if defined(EAQ_EMULATION_ASAN)
  pthread_attr_t attributes;
  void* lowest = nullptr;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) Die("no bounds of the thread's own stack");
  pthread_attr_getstack(&attributes, &lowest, &stack_bytes_);
  pthread_attr_destroy(&attributes);
  stack_ = static_cast<char*>(lowest);
#endif
  if (UnderTsan()) tsan_ = __tsan_get_current_fiber();
}

Fiber::Fiber(size_t stack_bytes, void (*entry)(void*), void* argument) : entry_(entry), argument_(argument) {
  const size_t page = PageBytes();
  stack_bytes_ = (stack_bytes + page - 1) / page * page;
  void* memory = mmap(nullptr, stack_bytes_ + page, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) Die("no memory for the stack of a CUDA thread (%zu bytes)", stack_bytes_);
  mapping_ = static_cast<char*>(memory);
  stack_ = mapping_ + page;
  if (mprotect(mapping_, page, PROT_NONE) != 0) Die("no guard page for a stack");
  if (UnderTsan()) tsan_ = __tsan_create_fiber(0);
#if defined(EAQ_EMULATION_UCONTEXT)
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_;
  context_.uc_stack.ss_size = stack_bytes_;
  context_.uc_link = nullptr;
  const auto bits = reinterpret_cast<uintptr_t>(this);
  makecontext(&context_, reinterpret_cast<void (*)()>(&Fiber::StartByHalves), 2, static_cast<unsigned>(bits),
              static_cast<unsigned>(uint64_t{bits} >> 32));
#else
  auto** top = reinterpret_cast<void**>(stack_ + stack_bytes_);
  *--top = nullptr;  // where a return address would be: keeps the alignment that a called function expects
  *--top = reinterpret_cast<void*>(&Fiber::Trampoline);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  stack_pointer_ = top;
#endif
}

Fiber::~Fiber() {
  if (mapping_ == nullptr) return;
#if defined(EAQ_EMULATION_ASAN)
  __asan_unpoison_memory_region(stack_, stack_bytes_);
#endif
  if (UnderTsan()) __tsan_destroy_fiber(tsan_);
  munmap(mapping_, stack_bytes_ + PageBytes());
}

bool Fiber::InGuardPage(const void* address) const {
  const auto* byte = static_cast<const char*>(address);
  return mapping_ != nullptr && byte >= mapping_ && byte < stack_;
}

void Fiber::Start(Fiber* fiber) {
#if defined(EAQ_EMULATION_ASAN)
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
  fiber->entry_(fiber->argument_);
  Die("a fiber's entry returned");
}

#if defined(EAQ_EMULATION_UCONTEXT)
void Fiber::StartByHalves(unsigned low, unsigned high) {
  Start(reinterpret_cast<Fiber*>(static_cast<uintptr_t>(uint64_t{high} << 32 | low)));
}
#else
void Fiber::Trampoline() { Start(starting); }
#endif

void Fiber::Switch(Fiber& from, Fiber& to) {
  starting = &to;
#if defined(EAQ_EMULATION_ASAN)
  __sanitizer_start_switch_fiber(&from.fake_stack_, to.stack_, to.stack_bytes_);
#endif
  if (UnderTsan()) __tsan_switch_to_fiber(to.tsan_, kTsanNoSync);
#if defined(EAQ_EMULATION_UCONTEXT)
  swapcontext(&from.context_, &to.context_);
#else
  EaqEmulationSwitch(&from.stack_pointer_, to.stack_pointer_);
#endif
#if defined(EAQ_EMULATION_ASAN)
  __sanitizer_finish_switch_fiber(from.fake_stack_, nullptr, nullptr);
#endif
}

}  // namespace eaq::kernels::emulation
