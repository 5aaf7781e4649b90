// Every check of the self-test, emulated: one test each, as an sm_86 in the default order and as an sm_90 (which has
// another way with int4) in another. With EAQ_ALL_SCHEDULES=1 in the environment under all schedules, on both: minutes.
// Under ThreadSanitizer on the smallest shapes.
#include <cstdlib>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "kernels/emulation/options.h"
#include "kernels/selftest/check.h"

namespace eaq::kernels::selftest {
namespace {

std::vector<emulation::Options> Schedules() {
  std::vector<emulation::Options> schedules = {emulation::CurrentOptions()};
  for (emulation::Options options : emulation::AllSchedules()) {
    options.architecture = 90;
    schedules.push_back(options);
    options.architecture = 86;
    schedules.push_back(options);
  }
  if (std::getenv("EAQ_ALL_SCHEDULES") == nullptr) {
    schedules = {schedules[0], schedules[schedules.size() - 2]};
  }
  return schedules;
}

#if defined(__SANITIZE_THREAD__)
constexpr Shapes kShapes = Shapes::kSmallest;
#else
constexpr Shapes kShapes = Shapes::kAll;
#endif

class Emulated : public testing::Test {
 public:
  explicit Emulated(const CheckCase& check) : check_(check) {}
  void TestBody() override {
    for (const emulation::Options& options : Schedules()) {
      const emulation::ScopedOptions scope(options);
      const Outcome outcome = RunCheck(check_, /*seed=*/1, kShapes);
      for (const std::string& message : outcome.messages) ADD_FAILURE() << message;
      EXPECT_EQ(outcome.failures, 0) << "of " << outcome.expectations << " expectations, sm_" << options.architecture
                                     << ", " << emulation::ToString(options);
    }
  }

 private:
  CheckCase check_;
};

}  // namespace
}  // namespace eaq::kernels::selftest

int main(int argc, char** argv) {
  using eaq::kernels::selftest::CheckCase;
  using eaq::kernels::selftest::Emulated;
  testing::InitGoogleTest(&argc, argv);
  for (const CheckCase& check : eaq::kernels::selftest::AllChecks()) {
    testing::RegisterTest("Emulated", check.name, nullptr, nullptr, __FILE__, __LINE__,
                          [check]() -> testing::Test* { return new Emulated(check); });
  }
  return RUN_ALL_TESTS();
}
