#include "kernels/emulation/launch_log.h"

#include <atomic>
#include <mutex>

#include "kernels/emulation/report.h"

namespace eaq::kernels::emulation {
namespace {

std::atomic<bool> logging = false;
std::mutex mutex;

std::set<LaunchShape>& Logged() {
  static auto& shapes = *new std::set<LaunchShape>;
  return shapes;
}

}  // namespace

LaunchLog::LaunchLog() {
  std::lock_guard<std::mutex> lock(mutex);
  if (logging) Die("a second LaunchLog while one lives");
  Logged().clear();
  logging = true;
}

LaunchLog::~LaunchLog() { logging = false; }

std::set<LaunchShape> LaunchLog::Shapes() const {
  std::lock_guard<std::mutex> lock(mutex);
  return Logged();
}

void LogLaunch(const LaunchShape& shape) {
  if (!logging) return;
  std::lock_guard<std::mutex> lock(mutex);
  Logged().insert(shape);
}

}  // namespace eaq::kernels::emulation
