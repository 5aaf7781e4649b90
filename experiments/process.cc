#include "experiments/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace eaq {
namespace {

constexpr int kMessages = 3;

absl::Status SystemError(absl::string_view what) {
  return absl::UnavailableError(absl::StrCat("cannot start a worker: ", what, ": ", strerror(errno)));
}

}  // namespace

absl::StatusOr<Child> StartSelf(const std::vector<std::string>& args, const std::string& input) {
  int fds[5] = {-1, -1, -1, -1, -1};  // messages read, write; output read, write; input
  const auto fail = [&](absl::string_view what) {
    const absl::Status status = SystemError(what);
    for (const int fd : fds) {
      if (fd >= 0) close(fd);
    }
    return status;
  };
  if (pipe2(fds, O_CLOEXEC) != 0) return fail("pipe2");
  if (pipe2(fds + 2, O_CLOEXEC) != 0) return fail("pipe2");
  fds[4] = memfd_create("job", MFD_CLOEXEC);
  if (fds[4] < 0) return fail("memfd_create");
  for (size_t at = 0; at < input.size();) {
    const ssize_t n = write(fds[4], input.data() + at, input.size() - at);
    if (n < 0) return fail("write");
    at += n;
  }
  lseek(fds[4], 0, SEEK_SET);
  for (int& fd : fds) {  // out of the way of 0 .. 3, which the child fills
    const int high = fcntl(fd, F_DUPFD_CLOEXEC, 16);
    if (high < 0) return fail("fcntl");
    close(fd);
    fd = high;
  }
  std::vector<char*> argv;
  for (const std::string& arg : args) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return fail("fork");
  if (pid == 0) {  // only async-signal-safe calls from here
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);  // it died before the line above
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    dup2(fds[4], 0);
    dup2(fds[3], 1);
    dup2(fds[3], 2);
    dup2(fds[1], kMessages);
    execv("/proc/self/exe", argv.data());
    _exit(127);
  }
  close(fds[1]);
  close(fds[3]);
  close(fds[4]);
  fcntl(fds[0], F_SETFL, O_NONBLOCK);
  fcntl(fds[2], F_SETFL, O_NONBLOCK);
  return Child{pid, fds[0], fds[2]};
}

bool ReadAvailable(int fd, std::string& into) {
  char buffer[65536];
  for (int i = 0; i < 16; ++i) {  // a child that prints without end must not hold us
    const ssize_t n = read(fd, buffer, sizeof buffer);
    if (n > 0) {
      into.append(buffer, n);
    } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
      return true;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace eaq
