// Checks that run on two machines: emulated under `bazel test` (checks_test.cc), and on a GPU by tools/gpu_check.sh
// (gpu_check.cc), which has no Bazel, Abseil or GoogleTest. A check compares a kernel with its naive twin:
//
//   EAQ_CHECK_CASE(Axpy) {
//     Random random(c.seed());
//     const std::vector<float> x = random.Normals(100);
//     DeviceArray<float> device_x("x", x), device_y("y", 100);
//     c.Expect(Axpy(2, device_x.data(), device_y.data(), 100, nullptr) == 0, "launch");
//     const std::vector<float> y = device_y.Download();
//     for (int64_t i = 0; i < 100; ++i) c.Near(y[i], 2.0 * x[i], 1e-7 * std::fabs(x[i]), "y", i);
//   }
//
// A failed expectation is written down and the check goes on. A check without a single expectation fails.
#ifndef KERNELS_SELFTEST_CHECK_H_
#define KERNELS_SELFTEST_CHECK_H_

#include <cstdint>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

namespace eaq::kernels::selftest {

// kSmallest: for ThreadSanitizer, under which a kernel takes some ten times as long.
enum class Shapes { kAll, kSmallest };

class Checker {
 public:
  explicit Checker(uint64_t seed, Shapes shapes = Shapes::kAll) : seed_(seed), shapes_(shapes) {}

  // For the check's random inputs: new numbers in every run of gpu_check, fixed ones in bazel test.
  uint64_t seed() const { return seed_; }
  // Whether the smallest shapes will do: a check then leaves out what only has more of the same.
  bool small() const { return shapes_ == Shapes::kSmallest; }

  // `message...` are streamed one after the other; returns `ok`.
  template <typename... Message>
  bool Expect(bool ok, const Message&... message) {
    ++expectations_;
    if (ok) return true;
    std::ostringstream text;
    ((text << message), ...);
    Fail(text.str());
    return false;
  }

  // |got - want| <= bound. NaN is near to NaN alone, an infinity to itself.
  bool Near(double got, double want, double bound, const char* what, int64_t index = -1);

  // The same bits, element by element.
  template <typename T>
  bool Same(const std::vector<T>& got, const std::vector<T>& want, const char* what) {
    if (!Expect(got.size() == want.size(), what, ": ", got.size(), " elements, expected ", want.size())) return false;
    int64_t wrong = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      if (std::memcmp(&got[i], &want[i], sizeof(T)) == 0) continue;
      if (wrong++ == 0) Expect(false, what, "[", i, "] is ", +got[i], ", expected ", +want[i]);
    }
    return Expect(wrong == 0, what, ": ", wrong, " of ", got.size(), " elements differ");
  }

  void Fail(const std::string& message);

  int64_t expectations() const { return expectations_; }
  int64_t failures() const { return failures_; }
  const std::vector<std::string>& messages() const { return messages_; }  // the first ten

 private:
  uint64_t seed_;
  Shapes shapes_;
  int64_t expectations_ = 0;
  int64_t failures_ = 0;
  std::vector<std::string> messages_;
};

struct CheckCase {
  const char* name;
  void (*run)(Checker&);
};

struct Outcome {
  std::string name;
  int64_t expectations = 0;
  int64_t failures = 0;
  std::vector<std::string> messages;
  double seconds = 0;
  bool passed() const { return failures == 0; }
};

bool RegisterCheck(const char* name, void (*run)(Checker&));
// All registered ones, by name.
std::vector<CheckCase> AllChecks();
Outcome RunCheck(const CheckCase& check, uint64_t seed, Shapes shapes = Shapes::kAll);
// The checker of the running check, or null: where DeviceArray reports a broken red zone.
Checker* RunningChecker();

}  // namespace eaq::kernels::selftest

#define EAQ_CHECK_CASE(name)                                          \
  static void EaqCheck##name(::eaq::kernels::selftest::Checker& c);   \
  [[maybe_unused]] static const bool eaq_check_registered_##name =    \
      ::eaq::kernels::selftest::RegisterCheck(#name, EaqCheck##name); \
  static void EaqCheck##name([[maybe_unused]] ::eaq::kernels::selftest::Checker& c)

#endif  // KERNELS_SELFTEST_CHECK_H_
