// The version of the numbers. It enters every trial key: raise it when a change of the code changes what any stage
// computes, so that old results stay apart from new ones instead of mixing with them.
#ifndef EAQ_RECIPE_VERSION_H_
#define EAQ_RECIPE_VERSION_H_

namespace eaq {

inline constexpr int kNumericsVersion = 3;

// The same of what a trial's device computes (eaq/device): enters, times 1000, the version of trials on other backends
// than the CPU alone.
inline constexpr int kDeviceNumericsVersion = 4;

}  // namespace eaq

#endif  // EAQ_RECIPE_VERSION_H_
