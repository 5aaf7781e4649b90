// The one door to the disk (SQLite has its own). All errors name the path and what the system said.
#ifndef EAQ_BASE_FILE_H_
#define EAQ_BASE_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace eaq {

absl::StatusOr<std::string> ReadFile(const std::string& path);

// All or nothing: writes PATH.tmp.<pid>.<n>, fsyncs it, renames it to PATH, fsyncs the folder. On error (full
// disk, read-only folder, ...) PATH is as it was before and the temporary file is gone.
absl::Status WriteFileAtomic(const std::string& path, absl::string_view bytes);

bool FileExists(const std::string& path);
bool IsDirectory(const std::string& path);
absl::StatusOr<int64_t> FileSize(const std::string& path);
// Creates the folder and its parents; OK if it exists.
absl::Status MakeDirectories(const std::string& path);
// Names (not paths) of the entries, sorted; "." and ".." left out.
absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path);
absl::Status RemoveFile(const std::string& path);            // OK if it does not exist
absl::StatusOr<int64_t> FreeBytes(const std::string& path);  // for an unprivileged user, on PATH's file system

std::string JoinPath(absl::string_view folder, absl::string_view name);
std::string Dirname(absl::string_view path);
std::string Basename(absl::string_view path);
// A path that a user typed: relative ones count from where the user stood ($BUILD_WORKING_DIRECTORY under
// `bazel run`, the working directory otherwise).
std::string ResolveUserPath(absl::string_view path);
// A file or folder of the repository ("models/ref-s"), wherever the program runs: under $BUILD_WORKSPACE_DIRECTORY,
// in the runfiles tree, or below the working directory or one of its parents. NotFound says where it looked.
absl::StatusOr<std::string> FindInRepository(absl::string_view relative);

// A read-only view of a whole file. The bytes stay valid while the object lives.
class MappedFile {
 public:
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Open(const std::string& path);
  ~MappedFile();
  absl::string_view bytes() const { return absl::string_view(data_, size_); }
  const std::string& path() const { return path_; }
  // FailedPrecondition if the file's size is no longer what was mapped (reading on could raise SIGBUS).
  absl::Status CheckUnchanged() const;

 private:
  MappedFile() = default;
  std::string path_;
  int fd_ = -1;
  const char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace eaq

#endif  // EAQ_BASE_FILE_H_
