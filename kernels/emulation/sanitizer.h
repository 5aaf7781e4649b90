// What the emulator tells ThreadSanitizer and AddressSanitizer. Internal.
//
// The emulator's own .cc files are compiled without ThreadSanitizer (BUILD: -fno-sanitize=thread): it then sees only
// what kernels read and write, ordered only by what kernels call. So whether it is there is known at run time only.
#ifndef KERNELS_EMULATION_SANITIZER_H_
#define KERNELS_EMULATION_SANITIZER_H_

#if defined(__SANITIZE_ADDRESS__)
#define EAQ_EMULATION_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EAQ_EMULATION_ASAN 1
#endif
#endif

extern "C" {
__attribute__((weak)) void* __tsan_get_current_fiber();
__attribute__((weak)) void* __tsan_create_fiber(unsigned flags);
__attribute__((weak)) void __tsan_destroy_fiber(void* fiber);
__attribute__((weak)) void __tsan_switch_to_fiber(void* fiber, unsigned flags);
__attribute__((weak)) void __tsan_acquire(void* address);
__attribute__((weak)) void __tsan_release(void* address);
__attribute__((weak)) void AnnotateIgnoreReadsBegin(const char*, int);
__attribute__((weak)) void AnnotateIgnoreReadsEnd(const char*, int);
__attribute__((weak)) void AnnotateIgnoreWritesBegin(const char*, int);
__attribute__((weak)) void AnnotateIgnoreWritesEnd(const char*, int);
}

namespace eaq::kernels::emulation {

inline bool UnderTsan() { return &__tsan_acquire != nullptr; }

// What one thread did before Release(tag) happened before what another does after Acquire(tag).
inline void TsanRelease(void* tag) {
  if (UnderTsan()) __tsan_release(tag);
}
inline void TsanAcquire(void* tag) {
  if (UnderTsan()) __tsan_acquire(tag);
}

constexpr unsigned kTsanNoSync = 1;  // __tsan_switch_to_fiber_no_sync

// malloc, free and memset of the emulator are no accesses of the CUDA thread that happens to run.
class Quiet {
 public:
  Quiet() {
    if (!UnderTsan()) return;
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~Quiet() {
    if (!UnderTsan()) return;
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
  Quiet(const Quiet&) = delete;
  Quiet& operator=(const Quiet&) = delete;
};

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_SANITIZER_H_
