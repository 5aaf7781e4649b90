// While a kernel runs, turns the signals of its mistakes into reports: a stack that has run over its guard page, an
// access to memory that is not there, a misaligned access (its .cu file is compiled with -fsanitize=alignment, which
// traps: EMULATION_COPTS of tools/cuda/cuda.bzl). Internal.
#ifndef KERNELS_EMULATION_FAULTS_H_
#define KERNELS_EMULATION_FAULTS_H_

#include <csignal>

namespace eaq::kernels::emulation {

class FaultReports {
 public:
  FaultReports();
  ~FaultReports();
  FaultReports(const FaultReports&) = delete;
  FaultReports& operator=(const FaultReports&) = delete;

 private:
  struct sigaction before_[3];
  stack_t stack_before_;
};

}  // namespace eaq::kernels::emulation

#endif  // KERNELS_EMULATION_FAULTS_H_
