#include "kernels/emulation/fiber.h"

#include <cstdint>
#include <memory>
#include <vector>

#include "gtest/gtest.h"

namespace eaq::kernels::emulation {
namespace {

struct Counter {
  Fiber* main = nullptr;
  std::unique_ptr<Fiber> fiber;
  Counter* next = nullptr;
  uint64_t value = 0;
  double real = 0;
  bool aligned = false;
};

// Keeps values in registers over the switches, and hands on to the next of the ring.
void Count(void* self) {
  auto& counter = *static_cast<Counter*>(self);
  alignas(32) char wide[32];
  counter.aligned = reinterpret_cast<uintptr_t>(&wide) % 32 == 0;
  uint64_t a = counter.value, b = 1;
  double c = 0.5;
  for (;;) {
    a += b;
    b = a ^ b << 1;
    c = c * 1.5 + 1;
    counter.value = a;
    counter.real = c;
    Fiber::Switch(*counter.fiber, counter.next != nullptr ? *counter.next->fiber : *counter.main);
  }
}

TEST(FiberTest, ManyFibersKeepTheirState) {
  Fiber main;
  std::vector<Counter> ring(300);
  for (size_t i = 0; i < ring.size(); ++i) {
    ring[i].main = &main;
    ring[i].value = i;
    ring[i].fiber = std::make_unique<Fiber>(64 << 10, &Count, &ring[i]);
    if (i > 0) ring[i - 1].next = &ring[i];
  }
  for (int round = 0; round < 50; ++round) Fiber::Switch(main, *ring[0].fiber);
  for (size_t i = 0; i < ring.size(); ++i) {
    uint64_t a = i, b = 1;
    double c = 0.5;
    for (int round = 0; round < 50; ++round) {
      a += b;
      b = a ^ b << 1;
      c = c * 1.5 + 1;
    }
    EXPECT_EQ(ring[i].value, a);
    EXPECT_EQ(ring[i].real, c);
    EXPECT_TRUE(ring[i].aligned);
  }
}

TEST(FiberTest, KnowsItsGuardPage) {
  Counter counter;
  Fiber main;
  counter.main = &main;
  counter.fiber = std::make_unique<Fiber>(1, &Count, &counter);  // rounded up to a page
  const int local = 0;
  EXPECT_FALSE(counter.fiber->InGuardPage(&local));
  EXPECT_FALSE(main.InGuardPage(&local));
}

}  // namespace
}  // namespace eaq::kernels::emulation
