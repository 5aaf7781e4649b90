// The line of a kernel that called the emulator: `Site site = Site::Here()` as the last parameter of a function is the
// line of its caller.
#ifndef KERNELS_EMULATION_SITE_H_
#define KERNELS_EMULATION_SITE_H_

namespace eaq::kernels::emulation {

struct Site {
  const char* file = "";
  int line = 0;
  static constexpr Site Here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }
};

bool operator==(const Site& a, const Site& b);
inline bool operator!=(const Site& a, const Site& b) { return !(a == b); }

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_SITE_H_
