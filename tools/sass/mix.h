// What a kernel's machine code consists of: its instructions by name, and its innermost loops.
#ifndef TOOLS_SASS_MIX_H_
#define TOOLS_SASS_MIX_H_

#include <map>
#include <string>
#include <vector>

#include "tools/sass/cubin.h"

namespace eaq::sass {

using Histogram = std::map<std::string, int>;  // name -> instructions; NOP (padding) left out

struct Loop {
  int first = 0, last = 0;  // instructions
  bool innermost = true;
  Histogram histogram;
  int slots = 0;  // instructions: each takes one issue slot
  int mmas = 0;
  int calls =
      0;  // but not those to right behind the loop: ptxas' way to leave one (CALL.REL.NOINC, never returned from)
  int local = 0;  // LDL, STL
  double SlotsPerMma() const { return mmas == 0 ? 0 : static_cast<double>(slots) / mmas; }
};

struct Mix {
  Histogram histogram;
  int slots = 0, mmas = 0, calls = 0, local = 0;
  // A loop is a range with a branch from its last instruction back to its first. Here are the innermost ones, which
  // have none inside, and of those with MMAs the ones that have none with MMAs inside (but perhaps a loop that copies,
  // whose instructions then count once).
  std::vector<Loop> loops;

  // The one with the most MMAs, the longest of those; null without loops.
  const Loop* MainLoop() const;
};

Mix Analyse(const Kernel& kernel, int architecture);

}  // namespace eaq::sass

#endif  // TOOLS_SASS_MIX_H_
