// Child processes made from this program's own image (never by path: a rebuild may have replaced the file).
#ifndef EXPERIMENTS_PROCESS_H_
#define EXPERIMENTS_PROCESS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace eaq {

struct Child {
  pid_t pid = -1;
  int messages = -1;  // what it writes to descriptor 3; non-blocking
  int output = -1;    // its standard output and error; non-blocking
};

// Starts /proc/self/exe with ARGS (args[0] is the name), INPUT as standard input. The child has its own process group
// (Ctrl-C does not reach it) and is killed when the calling thread ends.
absl::StatusOr<Child> StartSelf(const std::vector<std::string>& args, const std::string& input);

// Appends what can be read without waiting; false at the end of the stream.
bool ReadAvailable(int fd, std::string& into);

}  // namespace eaq

#endif  // EXPERIMENTS_PROCESS_H_
