// Every check of the self-test, emulated: one test each.
#include <string>

#include "gtest/gtest.h"
#include "kernels/selftest/check.h"

namespace eaq::kernels::selftest {
namespace {

class Emulated : public testing::Test {
 public:
  explicit Emulated(const CheckCase& check) : check_(check) {}
  void TestBody() override {
    const Outcome outcome = RunCheck(check_, /*seed=*/1);
    for (const std::string& message : outcome.messages) ADD_FAILURE() << message;
    EXPECT_EQ(outcome.failures, 0) << "of " << outcome.expectations << " expectations";
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
