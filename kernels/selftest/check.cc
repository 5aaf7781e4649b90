#include "kernels/selftest/check.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace eaq::kernels::selftest {
namespace {

constexpr size_t kMessages = 10;

std::vector<CheckCase>& Registered() {
  static auto& checks = *new std::vector<CheckCase>;
  return checks;
}

Checker* running = nullptr;

}  // namespace

bool Checker::Near(double got, double want, double bound, const char* what, int64_t index) {
  ++expectations_;
  const bool same = std::isnan(got) ? std::isnan(want) : got == want;
  if (same || std::fabs(got - want) <= bound) return true;
  std::ostringstream text;
  text.precision(9);
  text << what;
  if (index >= 0) text << "[" << index << "]";
  text << " is " << got << ", expected " << want << " within " << bound << " (off by " << std::fabs(got - want) << ")";
  Fail(text.str());
  return false;
}

void Checker::Fail(const std::string& message) {
  ++failures_;
  if (messages_.size() < kMessages) messages_.push_back(message);
}

bool RegisterCheck(const char* name, void (*run)(Checker&)) {
  Registered().push_back({name, run});
  return true;
}

std::vector<CheckCase> AllChecks() {
  std::vector<CheckCase> checks = Registered();
  std::sort(checks.begin(), checks.end(),
            [](const CheckCase& a, const CheckCase& b) { return std::string(a.name) < b.name; });
  return checks;
}

Outcome RunCheck(const CheckCase& check, uint64_t seed, Shapes shapes) {
  Checker checker(seed, shapes);
  running = &checker;
  const auto start = std::chrono::steady_clock::now();
  check.run(checker);
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  running = nullptr;
  if (checker.expectations() == 0) checker.Fail("the check expects nothing");
  return {check.name, checker.expectations(), checker.failures(), checker.messages(), passed.count()};
}

Checker* RunningChecker() { return running; }

}  // namespace eaq::kernels::selftest
