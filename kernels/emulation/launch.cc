#include "kernels/emulation/launch.h"

#include "kernels/emulation/faults.h"
#include "kernels/emulation/limits.h"
#include "kernels/emulation/scheduler.h"

namespace eaq::kernels::emulation {

void Run(const Dim3& grid, const Dim3& block, size_t dynamic_bytes, void (*call)(const void*), const void* closure) {
  CheckLaunch(grid, block, dynamic_bytes);
  const FaultReports reports;
  Scheduler::Own().Run(grid, block, dynamic_bytes, {call, closure});
}

void Spin(Site site) {
  Thread& thread = RunningIn("__nanosleep");
  thread.its_block->scheduler->Spin(thread, site);
}

}  // namespace eaq::kernels::emulation
