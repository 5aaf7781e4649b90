#include "kernels/emulation/launch.h"

#include "kernels/emulation/faults.h"
#include "kernels/emulation/launch_log.h"
#include "kernels/emulation/limits.h"
#include "kernels/emulation/scheduler.h"

namespace eaq::kernels::emulation {

void Run(const void* kernel, const Dim3& grid, const Dim3& block, size_t dynamic_bytes, void (*call)(const void*),
         const void* closure) {
  CheckLaunch(grid, block, dynamic_bytes);
  LogLaunch({kernel, static_cast<int>(block.Count()), dynamic_bytes});
  const FaultReports reports;
  Scheduler::Own().Run(grid, block, dynamic_bytes, {call, closure});
}

void Spin(Site site) {
  Thread& thread = RunningIn("__nanosleep");
  thread.its_block->scheduler->Spin(thread, site);
}

}  // namespace eaq::kernels::emulation
