#include "tools/sass/mix.h"

#include <algorithm>
#include <tuple>

namespace eaq::sass {
namespace {

template <typename Counts>  // Loop, Mix
void Count(const std::string& name, Counts& counts) {
  if (name == "NOP") return;
  ++counts.histogram[name];
  ++counts.slots;
  counts.mmas += IsMma(name);
  counts.calls += name == "CALL";
  counts.local += name == "LDL" || name == "STL";
}

}  // namespace

const Loop* Mix::MainLoop() const {
  const auto most = std::max_element(loops.begin(), loops.end(), [](const Loop& a, const Loop& b) {
    return std::tie(a.mmas, a.slots) < std::tie(b.mmas, b.slots);
  });
  return most == loops.end() ? nullptr : &*most;
}

Mix Analyse(const Kernel& kernel, int architecture) {
  Mix mix;
  std::vector<std::string> names;
  std::vector<int64_t> targets;
  std::vector<std::pair<int, int>> ranges;
  for (size_t i = 0; i < kernel.code.size(); ++i) {
    names.push_back(Name(kernel.code[i]));
    Count(names.back(), mix);
    const auto here = static_cast<int64_t>(i);
    const int64_t target = here + 1 + BranchOffset(kernel.code[i], architecture) / 16;
    targets.push_back(target);
    // A branch to itself is the end of the code, no loop.
    if (names.back() == "BRA" && target >= 0 && target < here) {
      ranges.emplace_back(static_cast<int>(target), static_cast<int>(here));
    }
  }
  std::sort(ranges.begin(), ranges.end());
  ranges.erase(std::unique(ranges.begin(), ranges.end()), ranges.end());
  auto mmas_in = [&](const std::pair<int, int>& range) {
    return std::count_if(names.begin() + range.first, names.begin() + range.second + 1, IsMma);
  };
  for (const auto& range : ranges) {
    bool innermost = true, innermost_with_mmas = mmas_in(range) > 0;
    for (const auto& other : ranges) {
      if (other == range || other.first < range.first || other.second > range.second) continue;
      innermost = false;
      innermost_with_mmas = innermost_with_mmas && mmas_in(other) == 0;
    }
    if (!innermost && !innermost_with_mmas) continue;
    Loop loop;
    std::tie(loop.first, loop.last) = range;
    loop.innermost = innermost;
    for (int i = range.first; i <= range.second; ++i) {
      Count(names[i], loop);
      const bool leaves = names[i] == "CALL" && i < range.second && targets[i] == range.second + 1;
      loop.calls -= leaves;
    }
    mix.loops.push_back(std::move(loop));
  }
  return mix;
}

}  // namespace eaq::sass
