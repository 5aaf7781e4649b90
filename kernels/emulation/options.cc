#include "kernels/emulation/options.h"

#include <cstdlib>
#include <cstring>

#include "kernels/emulation/report.h"

namespace eaq::kernels::emulation {
namespace {

constexpr const char* kNames[] = {"in_order", "reverse", "random", "ahead"};

int64_t Number(const char* name, int64_t otherwise) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == 0) return otherwise;
  char* end = nullptr;
  const int64_t value = std::strtoll(text, &end, 0);
  if (*end != 0 || value < 0) Die("%s=%s is no number", name, text);
  return value;
}

int Choice(const char* name, const char* const* words, int count, int otherwise) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == 0) return otherwise;
  for (int i = 0; i < count; ++i)
    if (std::strcmp(text, words[i]) == 0) return i;
  Die("%s=%s is not known", name, text);
}

Options FromEnvironment() {
  const char* const landings[] = {"early", "late"};
  Options o;
  o.schedule = static_cast<Schedule>(Choice("EAQ_EMU_SCHEDULE", kNames, 4, 0));
  o.seed = static_cast<uint64_t>(Number("EAQ_EMU_SEED", 1));
  o.copies_land_late = Choice("EAQ_EMU_COPIES", landings, 2, 1) == 1;
  o.resident_blocks = static_cast<int>(Number("EAQ_EMU_BLOCKS", o.resident_blocks));
  o.architecture = static_cast<int>(Number("EAQ_EMU_ARCH", o.architecture));
  o.stack_bytes = static_cast<size_t>(Number("EAQ_EMU_STACK", 0));
  return o;
}

}  // namespace

Options& CurrentOptions() {
  static Options options = FromEnvironment();
  return options;
}

std::string ToString(const Options& options) {
  std::string text = kNames[static_cast<int>(options.schedule)];
  text += ", seed " + std::to_string(options.seed);
  return text + (options.copies_land_late ? ", copies land late" : ", copies land early");
}

std::vector<Options> AllSchedules(uint64_t seed) {
  std::vector<Options> all;
  for (const bool late : {true, false}) {
    for (int s = 0; s < 4; ++s) {
      Options o = CurrentOptions();
      o.schedule = static_cast<Schedule>(s);
      o.seed = seed;
      o.copies_land_late = late;
      all.push_back(o);
    }
  }
  return all;
}

}  // namespace eaq::kernels::emulation
